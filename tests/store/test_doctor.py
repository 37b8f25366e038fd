"""`perdure doctor` where there is no cluster: what it finds in a real database, how it prints, and how it ends."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from perdure.cli.application import Exit
from tests.store.terminal import Terminal

LIVES = (
    "insert into workers (worker_id, lease_until, description, orchestrations, queues, has_cluster) "
    "values (gen_random_uuid(), now() + interval '1 hour', 'desk pid 1', '{greet@1.0.0}', '{gpu}', false)"
)


def arrange(dsn: str, sql: str) -> None:
    """Change the database behind everybody's back."""

    async def work() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(work())


@pytest.fixture
def desk(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Give a terminal of an installation without a cluster."""
    monkeypatch.setenv("PERDURE_KUBERNETES", "off")
    monkeypatch.setenv("PERDURE_ROLES", "worker")
    return terminal


def test_a_worker_is_enough_without_a_cluster(desk: Terminal, dsn: str) -> None:
    """A line for each check, for people, and the sum beside it."""
    arrange(dsn, LIVES)

    ended = desk.types("doctor")

    header, *rows = ended.out.splitlines()
    assert ended.code == Exit.DONE, ended.out
    assert header.split() == ["CHECK", "RESULT", "FOUND", "WHAT", "TO", "DO"]
    assert [row.split()[:2] for row in rows] == [
        [check, "ok"] for check in ("settings", "modules", "database", "clock", "schema", "kubernetes", "worker")
    ]
    assert "desk pid 1: 1 orchestrations, queues gpu, without a cluster" in rows[-1]
    assert ended.err == "7 ok, 0 warnings, 0 failed.\n"


def test_what_waits_for_a_version_is_worth_a_warning(desk: Terminal, dsn: str) -> None:
    """Nothing has failed: somebody may bring it."""
    arrange(dsn, LIVES)
    desk.done("start", "greet", "--id", "a", "--version", "2.0.0")

    ended = desk.types("doctor", "--output", "json")

    found = ended.value()
    assert ended.code == Exit.DONE
    assert isinstance(found, dict)
    assert (found["ok"], found["warning"], found["failed"]) == (7, 1, 0)
    assert found["findings"][-1]["found"] == "greet@2.0.0: 1 run(s) wait, and no live worker offers it"


def test_without_a_worker_it_ends_as_a_fault(desk: Terminal) -> None:
    """And says what to do."""
    ended = desk.types("doctor")

    assert ended.code == Exit.FAULT
    assert "Start one (perdure run)" in ended.out


def test_a_newer_schema_is_told(desk: Terminal, dsn: str) -> None:
    """What needs the schema is not looked at."""
    arrange(dsn, "insert into perdure_migrations (number, name, checksum) values (9999, '9999_later.sql', 'x')")

    ended = desk.types("doctor")

    assert ended.code == Exit.FAULT
    assert "9999_later.sql" in ended.out
    assert "worker" not in [row.split()[0] for row in ended.out.splitlines()]


def test_a_resource_needs_a_cluster(desk: Terminal, dsn: str) -> None:
    """It is told that there are none, and nobody is left in the dark."""
    arrange(dsn, LIVES)

    ended = desk.types("doctor", "shop/db")

    assert ended.code == Exit.FAULT
    assert "there are no resources" in ended.out


@pytest.mark.parametrize("resource", ["db", "/db", "shop/", "a/b/c"])
def test_what_is_no_resource_is_a_wrong_command(desk: Terminal, resource: str) -> None:
    """Before anything is asked."""
    ended = desk.types("doctor", resource)

    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert "NAMESPACE/NAME" in ended.err


def test_without_a_database_or_with_a_wrong_setting_it_ends_as_any_command(
    bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to examine."""
    assert bare_terminal.types("doctor").code == Exit.USAGE
    monkeypatch.setenv("PERDURE_LEASE_SECONDS", "soon")
    assert bare_terminal.types("doctor").code == Exit.USAGE
