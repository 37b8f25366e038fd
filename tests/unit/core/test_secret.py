"""References to secrets travel like values, and the values they lead to stay where they are."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import pickle
from collections.abc import Hashable

import pydantic
import pytest

from perdure import ActivityContext, ActivityInfo, Manifest, SecretRef, errors
from perdure._core import failure, lifecycle, payload, secret
from perdure._core.activity import ActivityLogger

PASSWORD = "p\"ß's/wörd+0123"
INFO = ActivityInfo("run-1", "o", 1, "a", 1, 1, run_as="system:serviceaccount:shop:runner")


class Model(pydantic.BaseModel):
    """An input as authors write it."""

    password: SecretRef
    spare: list[SecretRef] = []


@dataclasses.dataclass
class Plain:
    """Another."""

    password: SecretRef
    model: Model | None = None


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (SecretRef("db", "password"), SecretRef),
        (Model(password=SecretRef("db", "password", "team-a"), spare=[SecretRef("old", "tls.key")]), Model),
        (Plain(SecretRef("db", "password"), Model(password=SecretRef("db", "user"))), Plain),
        ({"any": [SecretRef("db", "password")]}, dict[str, list[SecretRef]]),
    ],
)
def test_a_reference_survives_a_round_trip_wherever_it_stands(value: object, annotation: Hashable) -> None:
    """Alone, in models, in dataclasses and in lists, it is the same reference again."""
    data = payload.encode(value, "input")

    assert payload.decoder(annotation)(data) == value


def test_the_json_form_of_a_reference_is_fixed() -> None:
    """What people write in a manifest and what stands in history is one form; a namespace only where one was given."""
    near, far = SecretRef("db", "password"), SecretRef("db", "password", "team-a")

    assert json.loads(payload.encode(near, "x")) == {"secretRef": {"name": "db", "key": "password"}}
    assert json.loads(Model(password=far).model_dump_json())["password"] == {
        "secretRef": {"name": "db", "key": "password", "namespace": "team-a"}
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secretRef": {"name": "db"}}, "password: expected a reference"),
        ({"secretRef": {"name": "db", "key": "a", "value": "hunter2hunter2"}}, "password: expected a reference"),
        ({"secretRef": {"name": "db", "key": "a", "namespace": 1}}, "password: expected a reference"),
        ({"secretRef": {"name": "db", "key": "a"}, "more": 1}, "password: expected a reference"),
        ({"secretRef": {"name": "hunter2HUNTER2", "key": "a"}}, "password: the name of a SecretRef is wrong"),
        ("hunter2hunter2", "password: expected a reference"),
    ],
)
def test_what_is_no_reference_is_refused_with_its_path_and_not_shown(given: object, said: str) -> None:
    """People put the secret itself where its reference belongs; the error must not carry it into history."""
    with pytest.raises(errors.InputInvalidError) as refused:
        payload.decoder(Model)(json.dumps({"password": given}).encode())

    assert said in str(refused.value)
    assert "hunter2" not in lifecycle.encode_failure(failure.of(refused.value)).decode()


def test_the_form_of_a_reference_can_be_described() -> None:
    """A type with a reference in it has a JSON schema, like any other."""
    described = Model.model_json_schema()["properties"]["password"]

    assert described["properties"]["secretRef"]["required"] == ["name", "key"]


@pytest.mark.parametrize(
    ("name", "key", "namespace"),
    [
        ("", "k", None),
        ("../etc", "k", None),
        ("Db", "k", None),
        ("db", "", None),
        ("db", "..", None),
        ("db", "..data", None),
        ("db", ".", None),
        ("db", "a/b", None),
        ("db", "k", "Team A"),
        ("x" * 254, "k", None),
    ],
)
def test_a_reference_names_what_can_be_a_secret(name: str, key: str, namespace: str | None) -> None:
    """Also where references lead to files: no name leads out of its folder. What was given is not shown."""
    with pytest.raises(ValueError, match="of a SecretRef is wrong: expected") as refused:
        SecretRef(name, key, namespace)

    assert str(refused.value).count(name or "nothing") <= 1


def test_a_reference_is_a_value() -> None:
    """Equal ones are one key of a dict, it cannot be changed, and copies are equal."""
    reference = SecretRef("db", "password")

    assert {reference: 1}[SecretRef("db", "password")] == 1
    assert reference != SecretRef("db", "password", "team-a")
    assert reference != "db"
    assert copy.deepcopy(reference) == pickle.loads(pickle.dumps(reference)) == reference  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError, match="make another"):
        reference.key = "user"


def test_a_reference_shows_itself_and_nothing_else() -> None:
    """Its printed form can stand in any log."""
    assert repr(SecretRef("db", "password")) == "SecretRef(name='db', key='password')"
    assert repr(SecretRef("db", "k", "n")) == "SecretRef(name='db', key='k', namespace='n')"
    assert str(SecretRef("db", "k", "n")) == "key k of Secret db in namespace n"


# --- resolving -------------------------------------------------------------------------------------------------------


class Kubernetes:
    """Stands for the API server as a run sees it: its Secrets, or the error that it answers with."""

    namespace = "shop"

    def __init__(self, secrets: dict[str, Manifest] | None = None, error: Exception | None = None) -> None:
        self.secrets = secrets or {}
        self.error = error
        self.asked: list[tuple[str | None, ...]] = []

    async def get(self, api_version: str, kind: str, name: str, *, namespace: str | None = None) -> Manifest | None:
        """Give a Secret."""
        self.asked.append((api_version, kind, name, namespace))
        if self.error is not None:
            raise self.error
        return self.secrets.get(name)


class Silent:
    """A logger that nobody reads."""

    def info(self, event: str, **_: object) -> None:
        """Say nothing."""

    warning = error = info


def context(
    kubernetes: Kubernetes | None = None, *, source: secret.Secrets | None = None
) -> tuple[ActivityContext, secret.Secrecy]:
    """Give an attempt, and what it remembers."""
    logger: ActivityLogger = Silent()
    secrecy = secret.Secrecy(source)
    lent = None if kubernetes is None else lambda *_: kubernetes
    return ActivityContext(INFO, logger, lent, None, secrecy), secrecy  # type: ignore[arg-type]  # only `get` is asked for


def holding(**values: str) -> Kubernetes:
    """Give a cluster with one Secret, `db`."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return Kubernetes({"db": {"data": data}})  # type: ignore[dict-item]  # values of text are JSON


async def test_a_secret_is_read_as_the_run() -> None:
    """The value comes through the run's own identity, from its namespace or from the one that was named."""
    kubernetes = holding(password=PASSWORD)
    ctx, _ = context(kubernetes)

    values = [await ctx.resolve_secret(SecretRef("db", "password", where)) for where in (None, "team-a")]

    assert values == [PASSWORD, PASSWORD]
    assert kubernetes.asked == [("v1", "Secret", "db", None), ("v1", "Secret", "db", "team-a")]


@pytest.mark.parametrize(
    ("kubernetes", "said"),
    [
        (Kubernetes(), "key password of Secret db cannot be resolved: there is no such Secret"),
        (holding(user="u"), "key password of Secret db cannot be resolved: the Secret has the keys user."),
        (Kubernetes({"db": {}}), "the Secret has the keys \\(none\\)"),
    ],
)
async def test_a_missing_secret_may_come(kubernetes: Kubernetes, said: str) -> None:
    """It is retryable, and says which key of which Secret is missing."""
    ctx, _ = context(kubernetes)

    with pytest.raises(errors.SecretMissingError, match=said) as missing:
        await ctx.resolve_secret(SecretRef("db", "password"))

    assert failure.of(missing.value).retryable


async def test_a_secret_that_may_not_be_read_is_an_error_with_the_verb() -> None:
    """What the API server says of the missing right is what the activity gets."""
    call = errors.KubernetesCall("get", "secrets", namespace="shop", name="db", user="runner")
    ctx, _ = context(Kubernetes(error=errors.KubernetesForbiddenError(call, "runner may not get secrets shop/db")))

    with pytest.raises(errors.KubernetesForbiddenError, match="get secrets") as forbidden:
        await ctx.resolve_secret(SecretRef("db", "password"))

    assert not failure.of(forbidden.value).retryable


@pytest.mark.parametrize("data", ["/w==", "no base64!"])
async def test_a_secret_that_is_no_text_is_no_value(data: str) -> None:
    """Bytes that are no UTF-8 are refused without being shown."""
    ctx, _ = context(Kubernetes({"db": {"data": {"password": data}}}))

    with pytest.raises(errors.SecretNotTextError) as refused:
        await ctx.resolve_secret(SecretRef("db", "password"))

    assert data not in str(refused.value)


async def test_without_identity_or_source_there_are_no_secrets() -> None:
    """The error names the two ways to have some."""
    ctx, _ = context()

    with pytest.raises(errors.SecretsUnavailableError, match=r"Orchestration resource, .*\(PERDURE_KUBERNETES=off\)"):
        await ctx.resolve_secret(SecretRef("db", "password"))


# --- the guard -------------------------------------------------------------------------------------------------------


async def resolved(value: str, *, guard: bool = True) -> secret.Secrecy:
    """Resolve a secret of this value in an attempt; give what the attempt remembers."""
    ctx, secrecy = context(holding(password=value))
    await ctx.resolve_secret(SecretRef("db", "password"), guard=guard)
    return secrecy


@pytest.mark.parametrize(
    "result",
    [
        PASSWORD,
        {"dsn": f"postgresql://me:{PASSWORD}@db/x"},
        ["far", {"down": [f"in {PASSWORD} here"]}],
        {PASSWORD: 1},
        base64.b64encode(PASSWORD.encode()).decode(),
        "postgresql://me:p%22%C3%9F%27s%2Fw%C3%B6rd%2B0123@db/x",
        repr(PASSWORD),
    ],
)
async def test_a_result_with_a_secret_in_it_is_refused(result: object) -> None:
    """Wherever it stands, escaped or encoded as people do; the error names the reference and not the value."""
    secrecy = await resolved(PASSWORD)

    with pytest.raises(errors.SecretLeakError) as refused:
        secrecy.refuse_in(payload.encode(result, "result"), "result of activity a")

    assert "result of activity a contains the value of key password of Secret db" in str(refused.value)
    assert "0123" not in str(refused.value)
    assert not failure.of(refused.value).retryable


async def test_a_result_without_a_secret_passes() -> None:
    """References, other values, and what was resolved without a guard are no leaks."""
    secrecy, free = await resolved(PASSWORD), await resolved("postgres", guard=False)

    secrecy.refuse_in(payload.encode([SecretRef("db", "password"), PASSWORD[:6]], "result"), "result")
    free.refuse_in(b'"postgres"', "result")


async def test_a_short_secret_is_not_looked_for() -> None:
    """A few characters stand everywhere by chance; refusing those would refuse nearly everything."""
    (await resolved("1234567")).refuse_in(b'"1234567"', "result")

    with pytest.raises(errors.SecretLeakError):
        (await resolved("12345678")).refuse_in(b'"12345678"', "result")


async def test_an_error_with_a_secret_in_it_is_masked() -> None:
    """Sentence, details and the errors behind it are kept; the value is not, also where a limit would cut it."""
    secrecy = await resolved(PASSWORD)
    error = errors.NonRetryableError("x" * 3_980 + PASSWORD * 9, details={"dsn": f"me:{PASSWORD}"})
    error.__cause__ = ValueError(f"refused {PASSWORD!r}")

    told = failure.of(error, activity="a", hide=secrecy.masked)

    assert told.message.startswith("x" * 3_980 + "***")
    assert told.details == {"dsn": "me:***"}
    assert "caused by ValueError: refused '***'" in told.traceback
    stored = lifecycle.encode_failure(told).decode()
    assert not [part for part in ("wörd", "0123", PASSWORD) if part in stored]


async def test_of_two_secrets_the_longer_is_masked_whole() -> None:
    """One value may be a part of another; nothing of the rest is left over."""
    kubernetes = holding(one="abcdefgh", two="abcdefgh-ijkl")
    ctx, secrecy = context(kubernetes)
    for key in ("one", "two"):
        await ctx.resolve_secret(SecretRef("db", key))

    assert secrecy.masked("<abcdefgh-ijkl> <abcdefgh>") == "<***> <***>"


async def test_a_value_of_a_log_line_is_masked_only_where_it_would_show() -> None:
    """Numbers and lists stay what they are, but for those with the secret in them."""
    secrecy = await resolved("abcdefgh")

    assert [secrecy.masked_value(value) for value in (1, None, ["abcdefgh"], {"a": 1})] == [
        1,
        None,
        "['***']",
        {"a": 1},
    ]
    assert secret.Secrecy().masked_value(["abcdefgh"]) == ["abcdefgh"]
