"""The command line against a real database: what it prints, and the exit codes that scripts rely on.

Without an operator: commands speak to the database alone. Each invocation is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def perdure(dsn: str | None, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command with this database, or with none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    if dsn is not None:
        environment["PERDURE_DATABASE_URL"] = dsn
    command = [sys.executable, "-m", "perdure", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def done(dsn: str | None, *arguments: str | Path) -> str:
    """Run a command that must succeed; give what it prints."""
    ended = perdure(dsn, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_an_instance_is_started_listed_shown_and_asked_to_end(dsn: str) -> None:
    """The life of an instance that no worker takes, in the words of the command line."""
    started = done(dsn, "start", "greet", "--id", "hello", "--input", '{"name": "world"}')
    again = done(dsn, "start", "greet", "--id", "hello", "--input", '{"name": "world"}')
    header, row = done(dsn, "list").splitlines()
    shown = json.loads(done(dsn, "get", "hello", "--output", "json"))
    cancelled = done(dsn, "cancel", "hello", "--reason", "enough")

    assert (started, again) == ("hello started\n", "hello was there already\n")
    assert header.split() == ["INSTANCE", "ORCHESTRATION", "VERSION", "PHASE", "CREATED", "FINISHED", "ERROR"]
    assert row.split()[:3] == ["hello", "greet", "Pending"]
    assert (shown["phase"], shown["input"]) == ("Pending", {"name": "world"})
    assert cancelled == "hello is asked to end\n"


def test_what_is_not_there_is_an_error_with_a_code(dsn: str) -> None:
    """Exit code 1, the sentence on stderr, nothing on stdout."""
    ended = [perdure(dsn, command, "nobody") for command in ("get", "history", "cancel")]

    assert [each.returncode for each in ended] == [1, 1, 1]
    assert all("PERDURE-1203" in each.stderr and not each.stdout for each in ended)


def test_another_input_under_the_same_id_is_refused(dsn: str) -> None:
    """An id belongs to one request."""
    done(dsn, "start", "greet", "--id", "hello", "--input", "1")

    ended = perdure(dsn, "start", "greet", "--id", "hello", "--input", "2")

    assert (ended.returncode, "PERDURE-1204" in ended.stderr) == (1, True)


def test_migrating_is_done_once(empty_dsn: str) -> None:
    """The first call says what it applied, the second that there was nothing to do."""
    first, second = done(empty_dsn, "migrate"), done(empty_dsn, "migrate")

    assert "applied 0001_engine.sql\n" in first
    assert second == "nothing to do\n"


def test_the_definitions_that_are_printed_are_those_that_are_committed(tmp_path: Path) -> None:
    """To a folder or to stdout, the same text as in `crds/`."""
    committed = Path(__file__).parents[2] / "crds" / "perdure.dev_orchestrations.yaml"

    done(None, "crds", "--output", tmp_path / "crds")
    printed = done(None, "crds")

    assert (tmp_path / "crds" / committed.name).read_text() == committed.read_text() == printed


def test_without_a_database_the_settings_are_explained() -> None:
    """Exit code 1 for a question that can be answered, 2 for a setting that is wrong."""
    missing = perdure(None, "list")
    wrong = perdure("mysql://me:secret@localhost/x", "list")

    assert (missing.returncode, "PERDURE_DATABASE_URL" in missing.stderr) == (1, True)
    assert (wrong.returncode, "PERDURE-1601" in wrong.stderr, "secret" in wrong.stderr) == (2, True, False)


def test_input_that_is_no_json_is_explained(dsn: str) -> None:
    """The text that was given, what is wrong with it, and what was expected."""
    ended = perdure(dsn, "start", "greet", "--id", "hello", "--input", "{name: world}")

    assert ended.returncode == 1
    assert "{name: world}" in ended.stderr
    assert "Expected JSON" in ended.stderr


def test_a_run_with_wrong_settings_ends_before_it_begins() -> None:
    """An operator that nobody could start rightly says all that is wrong, with exit code 2."""
    ended = perdure("mysql://localhost/x", "run", "--roles", "boss")

    assert ended.returncode == 2
    assert "PERDURE_DATABASE_URL" in ended.stderr
    assert "PERDURE_ROLES is 'boss'" in ended.stderr
