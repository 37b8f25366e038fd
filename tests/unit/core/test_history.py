"""The stored form of turns, failures and phases: a promise to every database that is out there."""

from __future__ import annotations

import datetime
import json

import msgspec
import pytest

from perdure import ActivityError, NonRetryableError, errors
from perdure._core import failure, history, lifecycle, limits, retry

AT = datetime.datetime(2030, 1, 1, 12, 0, 0, 123_456, tzinfo=datetime.UTC)
BROKEN = failure.Failure("PERDURE-1301", "ValueError", "broken", retryable=False, attempts=2, activity="step")
EVENTS: list[history.Event] = [
    history.OrchestrationStarted("name", "1.0.0", msgspec.Raw(b'{"a":1}'), history.PROTOCOL),
    history.ActivityCompleted(1, msgspec.Raw(b'"zero \\u0000"')),
    history.ActivityFailed(2, BROKEN),
    history.TimerFired(3),
    history.CancelRequested("reason"),
    history.GraceEnded(),
]
COMMANDS: list[history.Command] = [
    history.ScheduleActivity(1, "step", msgspec.Raw(b"[1]"), retry.Retry(max_attempts=3, base=1.5, timeout=2.0), 60.0),
    history.ScheduleActivity(2, "step", msgspec.Raw(b"null")),
    history.CreateTimer(3, AT),
    history.CancelActivity(1),
    history.CancelTimer(3),
    history.SetCustomStatus(msgspec.Raw(b'"busy"')),
    history.SetProgress(1, 2, "half"),
    history.CompleteOrchestration(msgspec.Raw(b"42")),
    history.FailOrchestration(BROKEN),
    history.CancelOrchestration("reason", BROKEN),
]
RECORDED = (
    '{"events":[{"type":"OrchestrationStarted","name":"name","version":"1.0.0","input":{"a":1},"protocol":1},'
    '{"type":"ActivityCompleted","seq":1,"result":"zero \\u0000"},'
    '{"type":"ActivityFailed","seq":2,"failure":{"code":"PERDURE-1301","type":"ValueError","message":"broken",'
    '"retryable":false,"attempts":2,"activity":"step"}},{"type":"TimerFired","seq":3},'
    '{"type":"CancelRequested","reason":"reason"},{"type":"GraceEnded"}],'
    '"commands":[{"type":"ScheduleActivity","seq":1,"name":"step","input":[1],"retry":{"max_attempts":3,"base":1.5,'
    '"timeout":2.0},"total_timeout":60.0},{"type":"ScheduleActivity","seq":2,"name":"step","input":null},'
    '{"type":"CreateTimer","seq":3,"fire_at":"2030-01-01T12:00:00.123456Z"},{"type":"CancelActivity","seq":1},'
    '{"type":"CancelTimer","seq":3},{"type":"SetCustomStatus","value":"busy"},'
    '{"type":"SetProgress","done":1,"total":2,"message":"half"},{"type":"CompleteOrchestration","output":42},'
    '{"type":"FailOrchestration","failure":{"code":"PERDURE-1301","type":"ValueError","message":"broken",'
    '"retryable":false,"attempts":2,"activity":"step"}},{"type":"CancelOrchestration","reason":"reason",'
    '"failure":{"code":"PERDURE-1301","type":"ValueError","message":"broken","retryable":false,"attempts":2,'
    '"activity":"step"}}]}'
)

RELATED_EVENTS: list[history.Event] = [
    history.SignalReceived("go", msgspec.Raw(b'{"a":1}')),
    history.ChildCompleted(1, msgspec.Raw(b"[1]")),
    history.ChildFailed(2, BROKEN),
]
RELATED_COMMANDS: list[history.Command] = [
    history.ScheduleActivity(1, "step", msgspec.Raw(b"1"), queue="gpu", priority=-1, heartbeat_timeout=2.5),
    history.WaitForSignal(2, "go"),
    history.CancelWait(2),
    history.ScheduleSubOrchestration(3, "flow", msgspec.Raw(b"1"), "run::sub::1.3"),
    history.ScheduleSubOrchestration(4, "flow", msgspec.Raw(b"1"), "mine", "1.0.0"),
    history.CancelSubOrchestration(4, "mine"),
    history.StartOrchestration(5, "flow", msgspec.Raw(b"1"), "own-way", "1.0.0"),
    history.SendSignal(6, "own-way", "go", msgspec.Raw(b"1")),
    history.SetReady(True, "serving"),
    history.SetReady(False),
    history.ContinueAsNew(msgspec.Raw(b"1")),
    history.ContinueAsNew(msgspec.Raw(b"1"), "2.0.0", [history.SignalReceived("go", msgspec.Raw(b"1"))]),
]
RELATED_RECORDED = (
    '{"events":[{"type":"SignalReceived","name":"go","payload":{"a":1}},{"type":"ChildCompleted","seq":1,"result":[1]},'
    '{"type":"ChildFailed","seq":2,"failure":{"code":"PERDURE-1301","type":"ValueError","message":"broken",'
    '"retryable":false,"attempts":2,"activity":"step"}}],'
    '"commands":[{"type":"ScheduleActivity","seq":1,"name":"step","input":1,"queue":"gpu","priority":-1,'
    '"heartbeat_timeout":2.5},{"type":"WaitForSignal","seq":2,"name":"go"},{"type":"CancelWait","seq":2},'
    '{"type":"ScheduleSubOrchestration","seq":3,"name":"flow","input":1,"instance_id":"run::sub::1.3"},'
    '{"type":"ScheduleSubOrchestration","seq":4,"name":"flow","input":1,"instance_id":"mine","version":"1.0.0"},'
    '{"type":"CancelSubOrchestration","seq":4,"instance_id":"mine"},{"type":"StartOrchestration","seq":5,"name":"flow","input":1,'
    '"instance_id":"own-way","version":"1.0.0"},{"type":"SendSignal","seq":6,"instance_id":"own-way","name":"go",'
    '"payload":1},{"type":"SetReady","ready":true,"message":"serving"},{"type":"SetReady","ready":false},'
    '{"type":"ContinueAsNew","input":1},{"type":"ContinueAsNew","input":1,"version":"2.0.0",'
    '"carried":[{"type":"SignalReceived","name":"go","payload":1}]}]}'
)


@pytest.mark.parametrize(
    ("events", "commands", "recorded"),
    [(EVENTS, COMMANDS, RECORDED), (RELATED_EVENTS, RELATED_COMMANDS, RELATED_RECORDED)],
    ids=["alone", "related"],
)
def test_the_stored_form_is_what_it_always_was(
    events: list[history.Event], commands: list[history.Command], recorded: str
) -> None:
    """Protocol 1, byte by byte: databases hold it, and these lines are never edited."""
    assert history.PROTOCOL == 1
    assert history.encode_turn(events, commands).decode() == recorded
    assert history.decode_turn(AT, recorded.encode()) == history.Turn(AT, events, commands)


def test_every_event_and_command_is_read_back() -> None:
    """What is written is read: kinds, numbers, moments to the microsecond, payloads byte by byte."""
    turn = history.decode_turn(AT, RECORDED.encode())

    assert [type(event) for event in turn.events] == [type(event) for event in EVENTS]
    assert [type(command) for command in turn.commands] == [type(command) for command in COMMANDS]
    assert turn.commands[2] == COMMANDS[2]
    assert history.encode_turn(turn.events, turn.commands).decode() == RECORDED


def test_a_field_of_a_later_release_is_ignored() -> None:
    """Fields may be added: an older worker reads what it knows."""
    turn = history.decode_turn(AT, b'{"events":[{"type":"TimerFired","seq":3,"mood":"fine"}],"commands":[],"more":1}')

    assert turn.events == [history.TimerFired(3)]


@pytest.mark.parametrize("body", [b"", b"{", b'{"events":[{"type":"Unheard"}],"commands":[]}', b'{"events":3}'])
def test_bytes_that_are_no_turn_are_told(body: bytes) -> None:
    """Whatever stands in the row: an error of its own, not half a turn."""
    with pytest.raises(msgspec.DecodeError):
        history.decode_turn(AT, body)


@pytest.mark.parametrize(
    ("outcome", "phase", "output", "code"),
    [
        (None, "Running", None, ""),
        (history.CompleteOrchestration(msgspec.Raw(b"42")), "Completed", b"42", ""),
        (history.FailOrchestration(BROKEN), "Failed", None, "PERDURE-1301"),
        (history.CancelOrchestration("reason"), "Cancelled", None, "PERDURE-1206"),
        (history.ContinueAsNew(msgspec.Raw(b"42")), "Running", None, ""),
    ],
    ids=["none", "complete", "fail", "cancel", "continue"],
)
def test_the_phase_follows_from_the_outcome(
    outcome: history.Outcome | None, phase: str, output: bytes | None, code: str
) -> None:
    """One table from the end of the code to what people see."""
    assert lifecycle.phase_after(outcome) == phase
    assert lifecycle.output_of(outcome) == output
    error = lifecycle.error_of(outcome)
    assert (lifecycle.decode_failure(error).code if error else "") == code


def test_the_last_custom_status_of_a_turn_counts() -> None:
    """Last write wins; a turn without one keeps what was there."""
    first, last = (history.SetCustomStatus(msgspec.Raw(text)) for text in (b'"a"', b'"b"'))

    assert lifecycle.custom_status_of([first, last, history.CancelTimer(1)]) == b'"b"'
    assert lifecycle.custom_status_of([history.CancelTimer(1)]) is None


def test_a_failure_keeps_what_is_worth_keeping() -> None:
    """Code, class, words, whether another try helps; NUL is no text anywhere, and a novel is cut."""
    plain, final = failure.of(KeyError("zero \0")), failure.of(NonRetryableError("no"))
    long = failure.of(ValueError("x" * 10_000))

    assert (plain.code, plain.type, plain.retryable, "\0" in plain.message) == ("PERDURE-1200", "KeyError", True, False)
    assert (final.code, final.message, final.retryable) == ("PERDURE-1303", "no", False)
    assert len(long.message) <= limits.ERROR_MESSAGE_CHARACTERS
    assert long.message.endswith("(cut)")
    assert json.loads(lifecycle.encode_failure(plain))["type"] == "KeyError"
    assert lifecycle.decode_failure(lifecycle.encode_failure(BROKEN)) == BROKEN


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("PERDURE-1301", ActivityError),
        ("PERDURE-1302", errors.ActivityTimeoutError),
        ("PERDURE-1304", errors.UnknownActivityError),
        ("PERDURE-9999", ActivityError),
    ],
)
def test_a_failure_becomes_the_error_it_was(code: str, kind: type[ActivityError]) -> None:
    """The class follows from the code, unknown ones are plain; uncaught, it is the same failure again."""
    told = failure.Failure(code, "ValueError", "broken", retryable=False, attempts=2, activity="step")

    error = failure.to_exception(told)

    assert type(error) is kind
    assert (error.type, error.message, error.attempts, error.activity) == ("ValueError", "broken", 2, "step")
    assert failure.of(error).type == "ValueError"
