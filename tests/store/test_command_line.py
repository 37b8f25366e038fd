"""The command line against a real database: what it prints, and the exit codes that scripts rely on.

Without an operator: commands speak to the database alone. What has to be so before is arranged behind their back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from perdure.cli.application import Exit
from perdure.cli.printing import print_instance, time
from perdure.client import Failure, InstanceInfo, InstanceWait
from tests.store.terminal import Terminal


def arrange(dsn: str, sql: str, *arguments: object) -> None:
    """Change the database behind everybody's back."""

    async def work() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.fetch(sql, *arguments)
        await connection.close()

    asyncio.run(work())


def end(dsn: str, instance_id: str, phase: str = "Completed") -> None:
    """Let an instance have ended."""
    arrange(
        dsn,
        "update instances set phase = $2, wake_at = null, finished_at = now() where instance_id = $1",
        instance_id,
        phase,
    )


def start(terminal: Terminal, *instance_ids: str) -> None:
    """Start instances that nobody takes."""
    for instance_id in instance_ids:
        terminal.done("start", "greet", "--id", instance_id)


def test_an_instance_is_started_listed_shown_and_asked_to_end(terminal: Terminal) -> None:
    """The life of an instance that no worker takes, in the words of the command line."""
    started = terminal.done("start", "greet", "--id", "hello", "--input", '{"name": "world"}')
    again = terminal.done("start", "greet", "--id", "hello", "--input", '{"name": "world"}')
    header, row = terminal.done("list").splitlines()
    shown = json.loads(terminal.done("get", "hello", "--output", "json"))
    cancelled = terminal.done("cancel", "hello", "--reason", "enough")

    assert (started, again) == ("hello started\n", "hello was there already\n")
    assert header.split() == ["INSTANCE", "ORCHESTRATION", "VERSION", "PHASE", "CREATED", "FINISHED", "ERROR"]
    assert row.split()[:3] == ["hello", "greet", "Pending"]
    assert (shown["phase"], shown["input"]) == ("Pending", {"name": "world"})
    assert cancelled == "hello is asked to end\n"


@pytest.mark.parametrize(
    "command",
    [
        ["get", "hello"],
        ["signal", "hello", "go"],
        ["cancel", "hello"],
        ["suspend", "hello"],
        ["resume", "hello"],
        ["terminate", "hello"],
        ["start", "greet", "--id", "hello"],
    ],
    ids=lambda command: command[0],
)
def test_the_json_of_an_instance_has_the_fields_of_its_info(terminal: Terminal, command: list[str]) -> None:
    """Whatever was done, a program gets the instance as it is then, by the same names."""
    start(terminal, "hello")

    shown = json.loads(terminal.done(*command, "-o", "json"))

    assert set(shown) == {field.name for field in dataclasses.fields(InstanceInfo)}


@pytest.mark.parametrize(
    "command",
    [
        ["get", "nobody"],
        ["history", "nobody"],
        ["executions", "nobody"],
        ["tree", "nobody"],
        ["signal", "nobody", "go"],
        ["cancel", "nobody"],
        ["suspend", "nobody"],
        ["resume", "nobody"],
        ["terminate", "nobody"],
        ["delete", "nobody"],
    ],
    ids=lambda command: command[0],
)
def test_what_is_not_there_has_an_exit_code_of_its_own(terminal: Terminal, command: list[str]) -> None:
    """The sentence with its code is on stderr, nothing on stdout."""
    ended = terminal.types(*command)

    assert (ended.code, ended.out) == (Exit.NOT_FOUND, "")
    assert "PERDURE-1203" in ended.err


@pytest.mark.parametrize(
    ("phase", "code"), [("Completed", Exit.DONE), ("Failed", Exit.FAILED), ("Cancelled", Exit.CANCELLED)]
)
def test_who_waits_learns_the_end_from_the_exit_code(terminal: Terminal, dsn: str, phase: str, code: Exit) -> None:
    """A script decides by a number, whichever command it waited with."""
    start(terminal, "hello")
    end(dsn, "hello", phase)

    codes = [
        terminal.types(*command, "--wait").code
        for command in (
            ["start", "greet", "--id", "hello"],
            ["cancel", "hello"],
            ["terminate", "hello"],
            ["signal", "hello", "go"],
        )
    ]

    assert codes == [code] * 4


def test_what_failed_is_shown_with_its_class_and_its_way(terminal: Terminal, dsn: str) -> None:
    """The sentence of a KeyError is a key: the class, the activity and the author's lines make an error of it."""
    start(terminal, "hello")
    end(dsn, "hello", "Failed")
    error = '{"code": "PERDURE-1301", "type": "KeyError", "message": "7", "attempts": 3, "activity": "pick", %s}'
    arrange(dsn, "update instances set error = $1", (error % '"traceback": "shop.order, line 7, in pick"').encode())

    shown = [line.split(maxsplit=1) for line in terminal.done("get", "hello").splitlines()]

    assert ["error", "PERDURE-1301: KeyError: 7"] in shown
    assert ["failed", "in     pick, attempt 3"] in shown
    assert ["came", "through  shop.order, line 7, in pick"] in shown
    assert terminal.done("list").rstrip().endswith("KeyError: 7")


def test_what_is_waited_for_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Of an activity with the attempt, the error before it and the next time; of a queued one with who has it."""
    since, later = (datetime.datetime(2026, 5, 1, hour, tzinfo=datetime.UTC) for hour in (12, 13))
    info = InstanceInfo("hello", "greet", "1.0.0", "Running", 1, "", None, None, None, None, since, since, None)
    error = Failure("PERDURE-1301", "KeyError", "7")

    print_instance(
        info,
        [
            InstanceWait("timer", "", None, later),
            InstanceWait("activity", "first", since, attempt=1),
            InstanceWait("activity", "again", since, attempt=3, last_error=error, next_attempt_at=later),
            InstanceWait("activity", "taken", since, attempt=1, queue="gpu", worker="host:7", servers=1),
            InstanceWait("activity", "left", since, attempt=1, queue="gpu", servers=1),
            InstanceWait("activity", "lost", since, attempt=1, queue="disk"),
        ],
    )

    lines = [line.split("waits for")[1].strip() for line in capsys.readouterr().out.splitlines() if "waits for" in line]
    assert lines == [
        f"timer until {time(later)}",
        f"activity first since {time(since)}",
        f"activity again since {time(since)}; attempt 3 at {time(later)} after KeyError: 7",
        f"activity taken since {time(since)}; queue gpu, on host:7",
        f"activity left since {time(since)}; queue gpu, not taken yet",
        f"activity lost since {time(since)}; queue disk, which no worker serves",
    ]


def test_who_waits_for_a_worker_that_is_not_there_says_so(terminal: Terminal) -> None:
    """Pending for a moment and Pending for ever look alike, but for this sentence; programs are told nothing of it."""
    start(terminal, "hello")

    for_people, for_programs = terminal.types("get", "hello"), terminal.types("get", "hello", "-o", "json")

    assert for_people.err == "No worker that is up offers greet (any version): it waits for one.\n"
    assert for_programs.err == ""


def test_an_execution_that_has_no_history_is_an_error(terminal: Terminal) -> None:
    """Not an empty table: it never was, or was pruned, and the sentence says where to look."""
    start(terminal, "hello")

    ended = terminal.types("history", "hello", "--execution", "9")

    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert "no history of execution 9 of hello" in ended.err


def test_no_line_of_a_table_ends_in_blanks(terminal: Terminal) -> None:
    """What is copied into a ticket, or wraps in a narrow window, is text."""
    start(terminal, "hello", "a-much-longer-hello")

    lines = [*terminal.done("list").splitlines(), *terminal.done("get", "hello").splitlines()]

    assert lines == [line.rstrip() for line in lines]


def test_waiting_is_bounded(terminal: Terminal) -> None:
    """What has not ended in time goes on; the exit code says that nothing is known."""
    ended = terminal.types("start", "greet", "--id", "hello", "--wait", "--timeout", "0.05")

    assert (ended.code, "it is Pending, and goes on" in ended.err) == (Exit.TIMEOUT, True)
    assert "hello" in terminal.done("list")


def test_a_signal_is_sent_once_under_a_key(terminal: Terminal, dsn: str) -> None:
    """What is said is what was done: sent, known, or not taken any more."""
    start(terminal, "hello")

    first = terminal.done("signal", "hello", "approved", '{"by": "ann"}', "--dedupe-key", "k")
    second = terminal.done("signal", "hello", "approved", '{"by": "ann"}', "--dedupe-key", "k")
    end(dsn, "hello")
    third = terminal.done("signal", "hello", "approved")

    assert (first, second, third) == (
        "approved is sent to hello\n",
        "approved was sent to hello before, under this key\n",
        "hello has ended and takes no signals\n",
    )


def test_a_payload_may_come_from_a_file_or_from_stdin(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`@file` and `@-`, for what is too long to type."""
    (tmp_path / "input.json").write_text('{"from": "file"}')
    reader, writer = os.pipe()
    os.write(writer, b'{"from": "stdin"}')
    os.close(writer)

    terminal.done("start", "greet", "--id", "a", "--input", f"@{tmp_path / 'input.json'}")
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        terminal.done("start", "greet", "--id", "b", "--input", "@-")

    inputs = [json.loads(terminal.done("get", each, "-o", "json"))["input"] for each in "ab"]
    assert inputs == [{"from": "file"}, {"from": "stdin"}]


def test_an_instance_is_paused_and_goes_on(terminal: Terminal) -> None:
    """The list says why it stands still."""
    start(terminal, "hello")

    terminal.done("suspend", "hello", "--reason", "disk is full")
    paused = terminal.done("list", "--phase", "suspended")
    terminal.done("resume", "hello")

    assert "disk is full" in paused
    assert "Pending" in terminal.done("list")


def test_pausing_what_has_ended_is_refused(terminal: Terminal, dsn: str) -> None:
    """It could not be done, and the sentence says why."""
    start(terminal, "hello")
    end(dsn, "hello")

    ended = terminal.types("suspend", "hello")

    assert (ended.code, "PERDURE-1211" in ended.err) == (Exit.FAULT, True)


def test_an_instance_is_terminated_without_a_worker(terminal: Terminal) -> None:
    """Nobody owns it: it has ended when the command has."""
    start(terminal, "hello")

    ended = terminal.types("terminate", "hello", "--reason", "now", "--wait")

    assert ended.code == Exit.CANCELLED
    assert "PERDURE-1208: InstanceTerminatedError: now" in ended.out


def test_another_input_under_the_same_id_is_refused(terminal: Terminal) -> None:
    """An id belongs to one request."""
    terminal.done("start", "greet", "--id", "hello", "--input", "1")

    ended = terminal.types("start", "greet", "--id", "hello", "--input", "2")

    assert (ended.code, "PERDURE-1204" in ended.err) == (Exit.FAULT, True)


def test_a_list_is_filtered_and_paged(terminal: Terminal, dsn: str) -> None:
    """By phase, name, prefix and age; the next page begins after the last id, which is named on stderr."""
    start(terminal, "a-1", "a-2", "a-3", "b-1")
    end(dsn, "a-2", "Failed")

    failed = json.loads(terminal.done("list", "--phase", "failed", "--phase", "Completed", "-o", "json"))
    young = json.loads(terminal.done("list", "--created-after", "1h", "--prefix", "a-", "-o", "json"))
    old = json.loads(terminal.done("list", "--created-before", "1h", "-o", "json"))
    page = terminal.types("list", "--limit", "2", "-o", "json")
    rest = json.loads(terminal.done("list", "--after", "a-2", "-o", "json"))

    assert [[info["instance_id"] for info in infos] for infos in (failed, young, old, rest)] == [
        ["a-2"],
        ["a-1", "a-2", "a-3"],
        [],
        ["a-3", "b-1"],
    ]
    assert "--after a-2" in page.err


def test_a_list_may_leave_out_children(terminal: Terminal, dsn: str) -> None:
    """Whoever looks for what was started sees no steps of it, unless they ask for them."""
    start(terminal, "a", "b")
    arrange(dsn, "update instances set parent_id = 'a', parent_execution = 1, parent_seq = 1 where instance_id = 'b'")

    roots = json.loads(terminal.done("list", "--roots", "-o", "json"))
    everything = json.loads(terminal.done("list", "-o", "json"))

    assert [[info["instance_id"] for info in infos] for infos in (roots, everything)] == [["a"], ["a", "b"]]


def test_instances_are_counted(terminal: Terminal) -> None:
    """How many of what, and how many of those that nobody can run."""
    start(terminal, "a", "b")

    counted = json.loads(terminal.done("count", "-o", "json"))
    waiting = json.loads(terminal.done("count", "--unoffered", "-o", "json"))
    table = terminal.done("count", "--unoffered")

    assert counted == [{"name": "greet", "version": "", "phase": "Pending", "instances": 2}]
    assert [(each["name"], each["instances"]) for each in waiting] == [("greet", 2)]
    assert table.splitlines()[1].split()[:3] == ["greet", "(any)", "2"]


def test_instances_are_removed_by_name_or_by_filter(terminal: Terminal, dsn: str) -> None:
    """What runs needs force; a filter takes only what has ended; the answer says how many went."""
    start(terminal, "a", "b", "c", "d")
    end(dsn, "a")
    end(dsn, "b", "Failed")

    refused = terminal.types("delete", "c")
    named = terminal.done("delete", "c", "d", "--force")
    filtered = json.loads(terminal.done("delete", "--phase", "failed", "-o", "json"))

    assert (refused.code, "PERDURE-1212" in refused.err) == (Exit.FAULT, True)
    assert (named, filtered) == ("removed 2 instances\n", {"removed": 1})
    assert [info["instance_id"] for info in json.loads(terminal.done("list", "-o", "json"))] == ["a"]


@pytest.mark.parametrize(
    "words", [["delete"], ["delete", "a", "--phase", "failed"], ["delete", "--force", "--prefix", "a"]]
)
def test_what_to_remove_must_be_said(terminal: Terminal, words: list[str]) -> None:
    """Nothing said is not everything: ids or a filter, and force only for ids."""
    ended = terminal.types(*words)

    assert (ended.code, "Say which" in ended.err) == (Exit.USAGE, True)


def test_old_executions_are_pruned(terminal: Terminal, dsn: str) -> None:
    """The current one stays; the answer says how many went."""
    start(terminal, "hello")
    arrange(dsn, "update instances set execution = 3, turn = 3 where instance_id = 'hello'")
    arrange(dsn, "insert into history select 'hello', n, n, now(), '{}' from generate_series(1, 3) as n")

    listed = terminal.done("executions", "hello").splitlines()
    pruned = terminal.done("prune", "hello", "--keep", "2")

    assert [line.split()[-1] for line in listed] == ["OUTCOME", "ContinuedAsNew", "ContinuedAsNew", "Pending"]
    assert pruned == "removed 1 execution\n"


def test_migrating_is_done_once(empty_dsn: str, bare_terminal: Terminal) -> None:
    """The first call says what it applied, the second that there was nothing to do."""
    first, second = (bare_terminal.done("migrate", "--database-url", empty_dsn) for _ in range(2))

    assert "applied 0001_engine.sql\n" in first
    assert second == "nothing to do\n"


def test_the_definitions_that_are_printed_are_those_that_are_committed(bare_terminal: Terminal, tmp_path: Path) -> None:
    """To a folder or to stdout, the same text as in `crds/`."""
    folder = Path(__file__).parents[2] / "crds"
    committed = {file.name: file.read_text() for file in folder.iterdir()}

    bare_terminal.done("crds", "--output", tmp_path / "crds")
    printed = bare_terminal.done("crds")

    assert {file.name: file.read_text() for file in (tmp_path / "crds").iterdir()} == committed
    assert sorted(printed.split("---\n")) == sorted(committed.values())


def test_without_a_database_the_settings_are_explained(bare_terminal: Terminal) -> None:
    """Both are errors of whoever typed: a database that is not named, and one that can be none."""
    missing = bare_terminal.types("list")
    wrong = bare_terminal.types("list", "--database-url", "mysql://me:secret@localhost/x")

    assert (missing.code, "PERDURE_DATABASE_URL" in missing.err) == (Exit.USAGE, True)
    assert (wrong.code, "PERDURE-1601" in wrong.err, "secret" in wrong.err) == (Exit.USAGE, True, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start", "greet", "--id", "a", "--input", "{name: world}"], "{name: world}"),
        (["start", "greet", "--id", "a", "--input", "@no-such-file"], "no-such-file"),
        (["list", "--phase", "dead"], "Running"),
        (["list", "--created-after", "yesterday"], "an age (30m, 12h, 7d)"),
        (["list", "--no-such-option"], "No such option"),
        (["signal", "a"], "Missing argument 'name'"),
        (["no-such-command"], "No such command"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_what_is_typed_wrongly_is_explained(terminal: Terminal, words: list[str], said: str) -> None:
    """The text that was given, or what was expected; one exit code for all of it."""
    ended = terminal.types(*words)

    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert said in ended.err


def test_the_help_says_what_exit_codes_mean(bare_terminal: Terminal) -> None:
    """Whoever writes a script finds all of them."""
    text = " ".join(bare_terminal.done("--help").split())

    for code in Exit:
        assert f"{code.value} " in text.partition("Exit codes:")[2]


@pytest.mark.slow
def test_the_module_is_the_command(dsn: str) -> None:
    """`python -m perdure` ends with the same codes, and a command that reads imports nothing of a cluster."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    environment["PERDURE_DATABASE_URL"] = dsn
    command = [sys.executable, "-X", "importtime", "-m", "perdure", "get", "nobody"]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert (ended.returncode, ended.stdout) == (Exit.NOT_FOUND, "")
    assert "PERDURE-1203" in ended.stderr
    assert "asyncpg" in ended.stderr
    assert not re.search(r"\| +(kopf|kubernetes)\b", ended.stderr)


@pytest.mark.slow
def test_a_run_with_wrong_settings_ends_before_it_begins() -> None:
    """An operator that nobody could start rightly says all that is wrong, with exit code 2."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    environment["PERDURE_DATABASE_URL"] = "mysql://localhost/x"
    command = [sys.executable, "-m", "perdure", "run", "--roles", "boss"]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert ended.returncode == Exit.USAGE
    assert "PERDURE_DATABASE_URL" in ended.stderr
    assert "PERDURE_ROLES is 'boss'" in ended.stderr
