"""What replay compares and what it leaves alone, command by command, and how a difference is told."""

from __future__ import annotations

import datetime
from typing import get_args

import msgspec
import pytest

from perdure import errors
from perdure._core import comparison, failure, history, retry

AT = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
BROKEN = failure.Failure("PERDURE-1200", "ValueError", "broken")
ONE, TWO = msgspec.Raw(b'{"n":1}'), msgspec.Raw(b'{"n":2}')

ACTIVITY = history.ScheduleActivity(1, "step", ONE)
CHILD = history.ScheduleSubOrchestration(1, "flow", ONE, "run::sub::1.1", "1.0.0")
DETACHED = history.StartOrchestration(1, "flow", ONE, "own-way")
SENT = history.SendSignal(1, "neighbour", "go", ONE)
SAMPLES: list[tuple[history.Command, str]] = [
    (ACTIVITY, 'activity 1 step({"n":1})'),
    (history.CancelActivity(1), "cancelling of activity 1"),
    (history.CreateTimer(1, AT), "timer 1"),
    (history.CancelTimer(1), "cancelling of timer 1"),
    (history.WaitForSignal(1, "go"), "wait 1 for signal go"),
    (history.CancelWait(1), "cancelling of wait 1"),
    (CHILD, 'sub-orchestration 1 flow 1.0.0({"n":1}) as run::sub::1.1'),
    (history.CancelSubOrchestration(1, "run::sub::1.1"), "cancelling of sub-orchestration 1"),
    (DETACHED, 'detached orchestration 1 flow({"n":1}) as own-way'),
    (SENT, 'signal 1 go to neighbour ({"n":1})'),
    (history.SetReady(True), "SetReady"),
    (history.SetCustomStatus(ONE), "SetCustomStatus"),
    (history.SetProgress(1, 2), "SetProgress"),
    (history.CompleteOrchestration(ONE), 'completion with {"n":1}'),
    (history.FailOrchestration(BROKEN), "failure with ValueError: broken"),
    (history.CancelOrchestration("enough"), "the end by cancellation"),
    (history.ContinueAsNew(ONE), 'continuing as new with {"n":1}'),
    (history.ContinueAsNew(ONE, "2.0.0"), 'continuing as new as version 2.0.0 with {"n":1}'),
]
SHOWN_ONLY = (history.SetReady, history.SetCustomStatus, history.SetProgress)

CHANGES: list[tuple[history.Command, history.Command]] = [
    (ACTIVITY, msgspec.structs.replace(ACTIVITY, seq=2)),
    (ACTIVITY, msgspec.structs.replace(ACTIVITY, name="stairs")),
    (ACTIVITY, msgspec.structs.replace(ACTIVITY, input=TWO)),
    (ACTIVITY, msgspec.structs.replace(ACTIVITY, queue="gpu")),
    (history.CancelActivity(1), history.CancelActivity(2)),
    (history.CreateTimer(1, AT), history.CreateTimer(2, AT)),
    (history.CancelTimer(1), history.CancelTimer(2)),
    (history.WaitForSignal(1, "go"), history.WaitForSignal(2, "go")),
    (history.WaitForSignal(1, "go"), history.WaitForSignal(1, "stop")),
    (history.CancelWait(1), history.CancelWait(2)),
    (CHILD, msgspec.structs.replace(CHILD, seq=2)),
    (CHILD, msgspec.structs.replace(CHILD, name="stream")),
    (CHILD, msgspec.structs.replace(CHILD, input=TWO)),
    (CHILD, msgspec.structs.replace(CHILD, instance_id="mine")),
    (CHILD, msgspec.structs.replace(CHILD, version="2.0.0")),
    (history.CancelSubOrchestration(1, "run::sub::1.1"), history.CancelSubOrchestration(2, "run::sub::1.2")),
    (DETACHED, msgspec.structs.replace(DETACHED, name="stream")),
    (DETACHED, msgspec.structs.replace(DETACHED, input=TWO)),
    (DETACHED, msgspec.structs.replace(DETACHED, instance_id="other-way")),
    (DETACHED, msgspec.structs.replace(DETACHED, version="2.0.0")),
    (SENT, msgspec.structs.replace(SENT, instance_id="other")),
    (SENT, msgspec.structs.replace(SENT, name="stop")),
    (SENT, msgspec.structs.replace(SENT, payload=TWO)),
    (history.CompleteOrchestration(ONE), history.CompleteOrchestration(TWO)),
    (history.FailOrchestration(BROKEN), history.FailOrchestration(msgspec.structs.replace(BROKEN, type="KeyError"))),
    (history.CancelOrchestration("enough"), history.CancelOrchestration("too much")),
    (history.ContinueAsNew(ONE), history.ContinueAsNew(TWO)),
    (history.ContinueAsNew(ONE), history.ContinueAsNew(ONE, "2.0.0")),
]

NO_CHANGES: list[tuple[history.Command, history.Command]] = [
    (history.CreateTimer(1, AT), history.CreateTimer(1, AT + datetime.timedelta(days=1))),
    (ACTIVITY, msgspec.structs.replace(ACTIVITY, retry=retry.Retry(max_attempts=9), total_timeout=5.0)),
    (ACTIVITY, msgspec.structs.replace(ACTIVITY, priority=7, heartbeat_timeout=5.0)),
    (
        history.FailOrchestration(BROKEN),
        history.FailOrchestration(msgspec.structs.replace(BROKEN, message="broken, at line 7", attempts=2)),
    ),
    (history.CancelOrchestration("enough"), history.CancelOrchestration("enough", BROKEN)),
    (history.ContinueAsNew(ONE), history.ContinueAsNew(ONE, "", [history.SignalReceived("go", ONE)])),
]


def kind(command: object) -> str:
    """Name a case of a test after the kind of its command."""
    return type(command).__name__ if isinstance(command, msgspec.Struct) else ""


def test_every_kind_of_command_is_here() -> None:
    """A new command needs its words, and a decision on what of it is compared."""
    assert {type(command) for command, _ in SAMPLES} == set(get_args(history.Command))
    assert {type(old) for old, _ in CHANGES} | set(SHOWN_ONLY) == set(get_args(history.Command))


@pytest.mark.parametrize(("command", "words"), SAMPLES, ids=kind)
def test_a_command_is_said_in_a_few_words(command: history.Command, words: str) -> None:
    """Kind, number, name and the head of what goes with it."""
    assert comparison.describe(command) == words


def test_a_large_input_is_shown_by_its_head() -> None:
    """An error is read in a terminal."""
    said = comparison.describe(history.CompleteOrchestration(msgspec.Raw(b'"' + b"x" * 5_000 + b'"')))

    assert said.endswith("...")
    assert len(said) < 100


@pytest.mark.parametrize(("old", "new"), CHANGES, ids=kind)
def test_a_change_of_what_has_an_effect_is_found(old: history.Command, new: history.Command) -> None:
    """Both sides are told, whichever was recorded."""
    for recorded, actual in ((old, new), (new, old)):
        with pytest.raises(errors.NondeterminismError) as raised:
            comparison.compare([recorded], [actual])

        assert raised.value.expected == comparison.describe(recorded)
        assert raised.value.actual == comparison.describe(actual)


VALUES = [
    (b'{"a":1}', b'{"a":1,"b":0}', True),
    (b'{"a":{"b":[1,{"c":null}]}}', b'{"a":{"b":[1,{"c":null,"d":"new"}],"e":{}}}', True),
    (b"[]", b"[]", True),
    (b'{"a":1}', b'{"a":2,"b":0}', False),
    (b'{"a":1,"b":0}', b'{"a":1}', False),
    (b'{"a":1}', b'{"b":1}', False),
    (b"[1]", b"[1,2]", False),
    (b"[1,2]", b"[2,1]", False),
    (b"1", b"1.0", False),
    (b"1", b"true", False),
    (b'{"a":1}', b"null", False),
    (b"null", b"{}", False),
]


@pytest.mark.parametrize(("recorded", "actual", "is_same"), VALUES)
def test_a_value_may_have_grown_fields_since_it_was_recorded(recorded: bytes, actual: bytes, *, is_same: bool) -> None:
    """A type may be given a new field with a default while instances run; all else of a value must be as it was."""
    for command, field in (
        (ACTIVITY, "input"),
        (CHILD, "input"),
        (DETACHED, "input"),
        (SENT, "payload"),
        (history.CompleteOrchestration(ONE), "output"),
        (history.ContinueAsNew(ONE), "input"),
    ):
        old, new = (msgspec.structs.replace(command, **{field: msgspec.Raw(value)}) for value in (recorded, actual))
        if is_same:
            comparison.compare([old], [new])
        else:
            with pytest.raises(errors.NondeterminismError):
                comparison.compare([old], [new])


@pytest.mark.parametrize(("old", "new"), NO_CHANGES, ids=kind)
def test_what_is_no_change_passes(old: history.Command, new: history.Command) -> None:
    """What was recorded stands, or is only shown, or is worded anew."""
    comparison.compare([old], [new])
    comparison.compare([new], [old])


def test_every_kind_differs_from_every_other() -> None:
    """An activity is no timer: commands of two kinds are never taken for the same."""
    effects = [command for command, _ in SAMPLES if not isinstance(command, SHOWN_ONLY)]

    for recorded in effects:
        for actual in effects:
            if type(recorded) is not type(actual):
                with pytest.raises(errors.NondeterminismError):
                    comparison.compare([recorded], [actual])


def test_more_and_less_is_found_where_it_begins() -> None:
    """The first command that is not what was recorded is told; a missing one as well."""
    with pytest.raises(errors.NondeterminismError) as more:
        comparison.compare([ACTIVITY], [ACTIVITY, SENT])
    with pytest.raises(errors.NondeterminismError) as less:
        comparison.compare([ACTIVITY, SENT], [ACTIVITY])

    assert (more.value.expected, more.value.actual) == ("nothing more in this turn", comparison.describe(SENT))
    assert (less.value.expected, less.value.actual) == (comparison.describe(SENT), "nothing more in this turn")


@pytest.mark.parametrize("shown", [command for command, _ in SAMPLES if isinstance(command, SHOWN_ONLY)], ids=kind)
def test_what_is_only_shown_may_come_and_go(shown: history.Command) -> None:
    """Status, progress and readiness are for people: words may change while instances run."""
    comparison.compare([shown, ACTIVITY], [ACTIVITY])
    comparison.compare([ACTIVITY], [shown, ACTIVITY, shown])
