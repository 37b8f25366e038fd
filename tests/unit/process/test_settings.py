"""Settings come from the environment, checked once; a wrong one is refused with name, value and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from perdure import errors
from perdure._core import codec
from perdure.settings import Settings, masked


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any variable of ours."""
    import os  # noqa: PLC0415 - only to empty it

    for name in [name for name in os.environ if name.startswith("PERDURE_")]:
        monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], **overrides: object) -> Settings:
    """Read the settings with these variables set."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load(**overrides)


def refused(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> list[str]:
    """Give why these variables are refused."""
    with pytest.raises(errors.SettingsError) as caught:
        load(monkeypatch, variables)
    return caught.value.problems


def test_everything_has_a_default() -> None:
    """An empty environment is a whole configuration."""
    settings = Settings.load()

    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    assert settings.roles == ("controller", "worker")
    assert settings.modules == ("workflows", "activities")
    assert settings.namespaces == ()
    assert settings.database_url is None


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and empty parts count nothing."""
    settings = load(
        monkeypatch,
        {"PERDURE_NAMESPACES": "shop, bank,", "PERDURE_ROLES": "worker", "PERDURE_QUEUES": "gpu, team-a/slow"},
    )

    assert settings.namespaces == ("shop", "bank")
    assert settings.queues == ("gpu", "team-a/slow")
    assert settings.roles == ("worker",)


def test_what_namespaces_may_run_is_a_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """In YAML or JSON, as a chart renders it."""
    variables = {"PERDURE_ALLOWED_ORCHESTRATIONS": '{"shop": ["shop::*"], "*": ["workflows::*"]}'}
    settings = load(monkeypatch, variables)
    again = load(monkeypatch, {"PERDURE_ALLOWED_ORCHESTRATIONS": "shop:\n- shop::*\n'*':\n- workflows::*\n"})

    assert settings.allowed_orchestrations == {"shop": ("shop::*",), "*": ("workflows::*",)}
    assert again.allowed_orchestrations == settings.allowed_orchestrations


@pytest.mark.parametrize("value", ["shop", "[shop]", "{shop", '{"Shop!": []}', '{"shop": "all"}'])
def test_a_mapping_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A rule that nobody could read must not allow everything."""
    (said,) = refused(monkeypatch, {"PERDURE_ALLOWED_ORCHESTRATIONS": value})

    assert "PERDURE_ALLOWED_ORCHESTRATIONS" in said


def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given there replaces the variable; what is not given does not."""
    settings = load(
        monkeypatch, {"PERDURE_ROLES": "worker", "PERDURE_HTTP_PORT": "1"}, roles="controller", http_port=None
    )

    assert (settings.roles, settings.http_port) == (("controller",), 1)


def test_a_worker_can_do_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its role comes from the command line; its secrets may then be files."""
    settings = load(
        monkeypatch, {"PERDURE_KUBERNETES": "off", "PERDURE_SECRETS_FOLDER": "/run/secrets"}, roles="worker"
    )

    assert (settings.kubernetes, settings.secrets_folder) == ("off", Path("/run/secrets"))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PERDURE_HTTP_PORT", "many", "valid integer"),
        ("PERDURE_HTTP_PORT", "70000", "less than or equal to 65535"),
        ("PERDURE_ROLES", "boss", "'controller' or 'worker'"),
        ("PERDURE_ROLES", ",", "at least 1 item"),
        ("PERDURE_LOG_FORMAT", "xml", "'pretty' or 'json'"),
        ("PERDURE_NAMESPACES", "team-a,T1", "no name of a namespace"),
        ("PERDURE_QUEUES", "gpu,-slow", "no name for a queue"),
        ("PERDURE_MIGRATE", "maybe", "'on' or 'off'"),
        ("PERDURE_KUBERNETES", "maybe", "'auto' or 'off'"),
        ("PERDURE_KUBERNETES", "off", "only PERDURE_ROLES=worker can do without"),
        ("PERDURE_SECRETS_FOLDER", "/run/secrets", "as the ServiceAccount of the run"),
        ("PERDURE_LEASE_SECONDS", "0", "greater than or equal to 0.5"),
        ("PERDURE_DATABASE_URL", "mysql://localhost/x", "postgresql://"),
        (
            "PERDURE_DATABASE_URL",
            "postgresql://db/x?application_name=a?sslmode=verify-full",
            "options stand behind options",
        ),
        ("PERDURE_INVENTORY_URL", "mysql://localhost/x", "postgresql://"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    """The message has the variable, the value and what was expected."""
    [problem] = refused(monkeypatch, {variable: value})

    assert problem.startswith(f"{variable} is {value!r}: ")
    assert expected in problem


ADDRESS = {"PERDURE_DATABASE_URL": "postgresql://me@db/x"}
FILE = {"PERDURE_DATABASE_PASSWORD_FILE": "/run/password"}
COMMAND = {"PERDURE_DATABASE_PASSWORD_COMMAND": "token --role 'a b'"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (FILE, "a password without the address of a database"),
        ({**FILE, "PERDURE_DATABASE_URL": "postgresql://me:hunter2@db/x"}, "holds a password already"),
        ({**ADDRESS, **FILE, **COMMAND}, "PERDURE_DATABASE_PASSWORD_FILE is set already"),
        ({**ADDRESS, "PERDURE_DATABASE_PASSWORD_COMMAND": "'open"}, "No closing quotation"),
        ({**ADDRESS, "PERDURE_DATABASE_PASSWORD_COMMAND": " "}, "no command"),
        ({**FILE, "PERDURE_DATABASE_URL": "mysql://db"}, "postgresql://"),
    ],
)
def test_the_password_of_the_database_comes_from_one_place(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: str
) -> None:
    """Of two, nobody could say which one counts."""
    [problem] = refused(monkeypatch, variables)

    assert expected in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("variables", [FILE, COMMAND])
def test_a_password_that_changes_is_asked_for(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """By a file or a command; without either of them the address is all."""
    assert load(monkeypatch, ADDRESS).password() is None
    assert load(monkeypatch, variables).password() is not None


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error does not silently leave the default in force."""
    assert refused(monkeypatch, {"PERDURE_HTP_PORT": "1"}) == [
        "PERDURE_HTP_PORT is no setting; did you mean PERDURE_HTTP_PORT?"
    ]


def test_all_problems_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to start five times to find five of them."""
    problems = refused(monkeypatch, {"PERDURE_X": "1", "PERDURE_HTTP_PORT": "x", "PERDURE_ROLES": "y"})

    assert len(problems) == 3


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a refusal nor in what is printed of the settings."""
    problems = refused(monkeypatch, {"PERDURE_DATABASE_URL": "mysql://me:hunter2@db/x"})
    settings = load(monkeypatch, {"PERDURE_DATABASE_URL": "postgresql://me:hunter2@db/x"})

    assert "hunter2" not in "".join(problems)
    assert "hunter2" not in repr(settings)
    assert masked("postgresql://me:hunter2@db:5432/x") == "postgresql://me:***@db:5432/x"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PERDURE_SERVICE_HOST", "10.0.0.1"),
        ("PERDURE_SERVICE_PORT", "8080"),
        ("PERDURE_SERVICE_PORT_HTTP", "8080"),
        ("PERDURE_PORT", "tcp://10.0.0.1:8080"),
        ("PERDURE_OPERATOR_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("PERDURE_TEST_CLUSTER", "local"),
    ],
)
def test_what_kubernetes_puts_into_every_pod_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A Service named perdure gives variables with our prefix; they are let through, as are those of the tests."""
    load(monkeypatch, {variable: value})


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:s3cret@db/x",
        "postgresql://db/x?user=me&password=s3cret",
        "host=db password=s3cret",
        "postgresql://[bad:s3cret",
    ],
)
def test_no_form_of_an_address_shows_its_password(address: str) -> None:
    """Whatever stands in the variable, a log line can be shown to anybody."""
    assert "s3cret" not in masked(address)


KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="


def test_without_keys_payloads_are_plain() -> None:
    """Encryption is asked for, never assumed."""
    assert Settings.load().codec().encode(b"1") == b"1"


def test_the_first_key_encrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys come in a variable, with their ids."""
    settings = load(monkeypatch, {"PERDURE_ENCRYPTION_KEYS": f"new:{KEY},old:{KEY}"})

    assert codec.key_id_of(settings.codec().encode(b"1")) == "new"


def test_keys_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a mounted Secret has them: one a line."""
    file = tmp_path / "keys"
    file.write_text(f"new:{KEY}\nold:{KEY}\n")

    settings = load(monkeypatch, {"PERDURE_ENCRYPTION_KEYS_FILE": str(file)})

    assert codec.key_id_of(settings.codec().encode(b"1")) == "new"


def test_wrong_keys_are_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a refusal nor in what is printed of the settings."""
    [problem] = refused(monkeypatch, {"PERDURE_ENCRYPTION_KEYS": f"new:{KEY[:20]}"})
    settings = load(monkeypatch, {"PERDURE_ENCRYPTION_KEYS": f"new:{KEY}"})

    assert problem.startswith("PERDURE_ENCRYPTION_KEYS is '***': The key 'new' has 15 bytes, expected 32")
    assert KEY[:10] not in problem + repr(settings) + repr(settings.codec())


def test_a_file_of_keys_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that is not there, or not of keys, is found at the start."""
    (tmp_path / "prose").write_text("no keys here")

    missing = refused(monkeypatch, {"PERDURE_ENCRYPTION_KEYS_FILE": str(tmp_path / "none")})
    prose = refused(monkeypatch, {"PERDURE_ENCRYPTION_KEYS_FILE": str(tmp_path / "prose")})

    assert "cannot be read: FileNotFoundError" in missing[0]
    assert "Entry 1 is no key" in prose[0]


def test_keys_come_from_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which of two is meant, nobody should have to guess."""
    (tmp_path / "keys").write_text(f"old:{KEY}")

    [problem] = refused(
        monkeypatch,
        {"PERDURE_ENCRYPTION_KEYS": f"new:{KEY}", "PERDURE_ENCRYPTION_KEYS_FILE": str(tmp_path / "keys")},
    )

    assert "set one of the two" in problem
