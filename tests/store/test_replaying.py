"""`perdure replay` and `replay-check`: code against histories of files and of a database, before it is deployed.

The code at hand is a package in a folder, as a pipeline has it. The histories are written into the database as a worker
that ran `greet` 1.0.0 would have: one turn taken, an activity asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest

from perdure.cli.application import Exit
from tests.store.terminal import Terminal

RIGHT = 'return await ctx.schedule_activity("say", {"to": input})'
WRONG = 'return await ctx.schedule_activity("shout", {"to": input})'
REGISTRY = """
from perdure import OrchestrationRegistry, orchestration

@orchestration("greet")
async def greet(ctx, input):
    {code}

def create_orchestration_registry():
    return OrchestrationRegistry.of(greet)
"""
Code = Callable[[str], str]


def turn(version: str) -> object:
    """Give what the first turn of `greet` wrote."""
    return {
        "events": [
            {"type": "OrchestrationStarted", "name": "greet", "version": version, "input": "ann", "protocol": 1}
        ],
        "commands": [{"type": "ScheduleActivity", "seq": 1, "name": "say", "input": {"to": "ann"}}],
    }


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    """Give a function that makes a package with this body of `greet`; it gives the name of the package."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(body: str) -> str:
        package = tmp_path / f"greetings_{tmp_path.name.replace('-', '_')}_{abs(hash(body))}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "registry.py").write_text(REGISTRY.format(code=body))
        return package.name

    return made


def begun(dsn: str, *instance_ids: str, version: str = "1.0.0", body: object = None) -> None:
    """Let instances of `greet` have taken their first turn, and wait for an activity."""

    async def work() -> None:
        connection = await asyncpg.connect(dsn)
        for instance_id in instance_ids:
            await connection.execute(
                "insert into instances (instance_id, name, version, phase, turn, input, wake_at) "
                "values ($1, 'greet', $2, 'Running', 1, '\"ann\"', now())",
                instance_id,
                version,
            )
            await connection.execute(
                "insert into history values ($1, 1, 0, now(), $2)",
                instance_id,
                body if isinstance(body, bytes) else msgspec.json.encode(body or turn(version)),
            )
        await connection.close()

    asyncio.run(work())


def state(dsn: str) -> list[object]:
    """Give everything that a replay could have changed."""

    async def work() -> list[object]:
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch("select i::text from instances i union all select h::text from history h")
        await connection.close()
        return sorted(row[0] for row in rows)

    return asyncio.run(work())


def test_code_that_fits_every_open_instance_passes(terminal: Terminal, dsn: str, code: Code) -> None:
    """Exit code 0, and the database is as it was: nothing is claimed, nothing is written."""
    begun(dsn, "a", "b")
    terminal.done("start", "greet", "--id", "not-begun")
    before = state(dsn)

    ended = terminal.types("replay-check", "--modules", code(RIGHT))

    assert (ended.code, ended.out) == (Exit.DONE, "")
    assert "2 fit, 0 differ" in ended.err
    assert state(dsn) == before


def test_the_first_difference_of_each_instance_is_reported(terminal: Terminal, dsn: str, code: Code) -> None:
    """Exit code 1 for a pipeline; for people what was recorded, what the code asks for, and the likely cause."""
    begun(dsn, "a", "b")

    ended = terminal.types("replay-check", "--modules", code(WRONG), "-o", "json")
    table = terminal.types("replay-check", "--modules", code(WRONG + "\n    # again")).out

    report = json.loads(ended.out)
    assert (ended.code, report["fits"]) == (Exit.FAULT, 0)
    assert [finding["source"] for finding in report["findings"]] == ["a", "b"]
    first = report["findings"][0]
    assert (first["verdict"], first["turn"]) == ("Differs", 0)
    assert (first["expected"], first["actual"]) == ('activity 1 say({"to":"ann"})', 'activity 1 shout({"to":"ann"})')
    assert "replaced" in first["cause"]
    assert 'activity 1 shout({"to":"ann"})' in table


def test_versions_that_are_not_offered_are_reported_apart(terminal: Terminal, dsn: str, code: Code) -> None:
    """They wait for a worker that offers them, which is no difference; unless that is asked for."""
    begun(dsn, "a")
    begun(dsn, "old", version="0.9.0")
    package = code(RIGHT)

    ended = terminal.types("replay-check", "--modules", package, "-o", "json")
    strict = terminal.types("replay-check", "--modules", package, "--strict")

    [finding] = json.loads(ended.out)["findings"]
    assert (ended.code, finding["source"], finding["verdict"]) == (Exit.DONE, "old", "NotOffered")
    assert "1.0.0" in finding["cause"]
    assert strict.code == Exit.FAULT


def test_who_never_took_a_version_fits_any(terminal: Terminal, dsn: str, code: Code) -> None:
    """An instance that was held in its first turn has neither version nor history: the highest is tried."""
    terminal.done("start", "greet", "--id", "held", "--input", '"ann"')
    begun(dsn, "b")

    async def hold() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute("update instances set phase = 'Suspended', hold_reason = 'Stuck' where turn = 0")
        await connection.close()

    asyncio.run(hold())

    ended = terminal.types("replay-check", "--modules", code(RIGHT), "--strict", "-o", "json")

    assert (ended.code, ended.value()) == (Exit.DONE, {"fits": 2, "findings": []})


def test_one_unreadable_history_hides_no_other(terminal: Terminal, dsn: str, code: Code) -> None:
    """It is reported like a difference, and all others are checked."""
    begun(dsn, "a", "c")
    begun(dsn, "b", body=b"{broken")
    begun(dsn, "d", body={"events": [{"type": "TimerFired", "seq": 9}], "commands": []})

    ended = terminal.types("replay-check", "--modules", code(RIGHT), "-o", "json")

    report = json.loads(ended.out)
    assert (ended.code, report["fits"]) == (Exit.FAULT, 2)
    assert [(each["source"], each["verdict"]) for each in report["findings"]] == [("b", "Unreadable"), ("d", "Differs")]


def test_only_what_is_open_and_asked_for_is_checked(terminal: Terminal, dsn: str, code: Code) -> None:
    """What has ended needs no code any more; a prefix or a name narrows further."""
    begun(dsn, "a-1", "a-2", "b-1")

    terminal.done("terminate", "a-2")
    ended = terminal.types("replay-check", "--modules", code(RIGHT), "--prefix", "a-", "--name", "greet")

    assert "1 fit" in ended.err


def test_more_than_a_page_is_checked(terminal: Terminal, dsn: str, code: Code) -> None:
    """Memory holds a page of ids and one history; a database of any size is gone through."""
    begun(dsn, *(f"i-{number:03}" for number in range(450)))

    ended = terminal.types("replay-check", "--modules", code(RIGHT))

    assert "450 fit" in ended.err


def test_an_exported_history_is_replayed_without_a_database(
    terminal: Terminal, dsn: str, code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that `perdure history -o json` writes is what `perdure replay` reads, on another machine."""
    begun(dsn, "a")
    (tmp_path / "a.json").write_text(terminal.done("history", "a", "-o", "json"))
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.delenv("PERDURE_DATABASE_URL")

    fits = terminal.types("replay", tmp_path / "a.json", "--modules", code(RIGHT))
    differs = terminal.types("replay", tmp_path / "a.json", "--modules", code(WRONG), "-o", "json")
    mixed = terminal.types("replay", tmp_path / "broken.json", tmp_path / "a.json", tmp_path / "no-such", "-o", "json")

    assert (fits.code, fits.err[:5]) == (Exit.DONE, "1 fit")
    assert (differs.code, json.loads(differs.out)["findings"][0]["verdict"]) == (Exit.FAULT, "Differs")
    assert mixed.code == Exit.FAULT
    assert [each["verdict"] for each in json.loads(mixed.out)["findings"]] == ["Unreadable", "NotOffered", "Unreadable"]


def test_an_export_says_whose_history_it_is(terminal: Terminal, dsn: str) -> None:
    """One JSON object: the instance, what it runs, which execution, and its turns."""
    begun(dsn, "a")

    exported = json.loads(terminal.done("history", "a", "-o", "json"))

    assert set(exported) == {"format", "instance_id", "name", "version", "execution", "turns"}
    assert (exported["instance_id"], exported["name"], exported["version"], exported["execution"]) == (
        "a",
        "greet",
        "1.0.0",
        1,
    )
    assert [set(turn) for turn in exported["turns"]] == [{"at", "events", "commands"}]


def test_code_that_cannot_be_loaded_is_a_wrong_command(terminal: Terminal, dsn: str) -> None:
    """Which package, and why; no history was judged by code that was not there."""
    ended = terminal.types("replay-check", "--modules", "no_such_package")

    assert (ended.code, "no_such_package" in ended.err) == (Exit.USAGE, True)


def test_code_that_breaks_while_it_is_replayed_hides_no_other_history(terminal: Terminal, dsn: str, code: Code) -> None:
    """Whatever it raises, in whatever way, is a difference of that instance."""
    begun(dsn, "a", "b")
    body = 'import asyncio\n    await asyncio.sleep(1) if ctx.instance_id == "a" else None\n    ' + RIGHT

    ended = terminal.types("replay-check", "--modules", code(body), "-o", "json")

    report = json.loads(ended.out)
    assert (ended.code, report["fits"], [each["source"] for each in report["findings"]]) == (Exit.FAULT, 1, ["a"])


def test_people_see_what_an_instance_waits_for(terminal: Terminal, dsn: str) -> None:
    """`perdure get` says it; a history that cannot be read keeps nobody from seeing the rest."""
    begun(dsn, "a")
    begun(dsn, "b", body=b"{broken")

    shown, rest = terminal.done("get", "a"), terminal.done("get", "b")

    assert "waits for" in shown
    assert "activity say since" in shown
    assert "waits for" not in rest
    assert "Running" in rest
