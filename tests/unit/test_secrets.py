"""Secrets of a worker outside of Kubernetes: variables and files, by the same references."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import SecretRef, errors
from perdure.secrets import EnvironmentSecrets, FileSecrets, Secrets


@pytest.mark.parametrize(
    ("reference", "variable"),
    [
        (SecretRef("db", "password"), "SECRET_DB__PASSWORD"),
        (SecretRef("db-main", "tls.key"), "SECRET_DB_MAIN__TLS_KEY"),
        (SecretRef("db", "password", "team-a"), "SECRET_TEAM_A__DB__PASSWORD"),
    ],
)
async def test_a_reference_names_a_variable(
    monkeypatch: pytest.MonkeyPatch, reference: SecretRef, variable: str
) -> None:
    """The value of the variable is the secret; without it, the error names the variable."""
    secrets: Secrets = EnvironmentSecrets()

    with pytest.raises(errors.SecretMissingError, match=f"the variable {variable} is not set"):
        await secrets.resolve(reference)
    monkeypatch.setenv(variable, "hunter2")

    assert await secrets.resolve(reference) == "hunter2"


async def test_a_reference_names_a_file(tmp_path: Path) -> None:
    """The content of the file as it is now, to the byte; without it, the error names the file."""
    secrets: Secrets = FileSecrets(tmp_path)
    near, far = SecretRef("db", "password"), SecretRef("db", "password", "team-a")

    with pytest.raises(errors.SecretMissingError, match=r"db/password: No such file"):
        await secrets.resolve(near)
    for folder in ("db", "team-a/db"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "password").write_text(f"of {folder}\n")

    assert [await secrets.resolve(one) for one in (near, far)] == ["of db\n", "of team-a/db\n"]


async def test_a_file_that_is_no_text_is_no_secret(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "key").write_bytes(b"\xff")

    with pytest.raises(errors.SecretNotTextError):
        await FileSecrets(tmp_path).resolve(SecretRef("db", "key"))
