"""Every event and command, whatever stands in it, is read back as it was written."""

from __future__ import annotations

import datetime
import json
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from perdure._core import failure, history, retry

AT = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
seqs = st.integers(1, 2**31)
raws = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
).map(lambda value: msgspec.Raw(json.dumps(value).encode()))
moments = st.integers(0, 10**15).map(lambda microseconds: AT + datetime.timedelta(microseconds=microseconds))
seconds = st.floats(0, 1e9)
failures = st.builds(
    failure.Failure,
    code=texts,
    type=texts,
    message=texts,
    retryable=st.booleans(),
    attempts=st.integers(0, 1_000),
    activity=texts,
)
policies = st.builds(
    retry.Retry,
    max_attempts=st.integers(1, 100),
    base=seconds,
    multiplier=st.floats(1, 10),
    increment=seconds,
    max_delay=seconds,
    timeout=st.none() | seconds,
    jitter=st.floats(0, 1),
)
signals = st.builds(history.SignalReceived, texts, raws)

EVENTS = [
    st.builds(history.OrchestrationStarted, texts, texts, raws, st.integers(1, 9)),
    st.builds(history.ActivityCompleted, seqs, raws),
    st.builds(history.ActivityFailed, seqs, failures),
    st.builds(history.TimerFired, seqs),
    signals,
    st.builds(history.SignalRefused, texts),
    st.builds(history.ChildCompleted, seqs, raws),
    st.builds(history.ChildFailed, seqs, failures),
    st.builds(history.CancelRequested, texts),
    st.builds(history.GraceEnded),
]
COMMANDS = [
    st.builds(
        history.ScheduleActivity,
        seq=seqs,
        name=texts,
        input=raws,
        retry=policies,
        total_timeout=st.none() | seconds,
        queue=texts,
        priority=st.integers(-1_000, 1_000),
        heartbeat_timeout=st.none() | seconds,
    ),
    st.builds(history.CancelActivity, seqs),
    st.builds(history.CreateTimer, seqs, moments),
    st.builds(history.CancelTimer, seqs),
    st.builds(history.WaitForSignal, seqs, texts),
    st.builds(history.CancelWait, seqs),
    st.builds(history.ScheduleSubOrchestration, seqs, texts, raws, texts, texts),
    st.builds(history.CancelSubOrchestration, seqs, texts),
    st.builds(history.StartOrchestration, seqs, texts, raws, texts, texts),
    st.builds(history.SendSignal, seqs, texts, texts, raws),
    st.builds(history.SetReady, st.booleans(), texts),
    st.builds(history.SetCustomStatus, raws),
    st.builds(history.SetProgress, st.integers(0, 10**6), st.integers(0, 10**6), texts),
    st.builds(history.CompleteOrchestration, raws),
    st.builds(history.FailOrchestration, failures),
    st.builds(history.CancelOrchestration, texts, st.none() | failures),
    st.builds(history.ContinueAsNew, raws, texts, st.lists(signals, max_size=3)),
]


@given(st.lists(st.one_of(EVENTS), max_size=5), st.lists(st.one_of(COMMANDS), max_size=5))
def test_a_turn_is_read_back_as_it_was_written(events: list[history.Event], commands: list[history.Command]) -> None:
    """Kinds, numbers, moments to the microsecond, payloads byte by byte; written again, it is the same again."""
    body = history.encode_turn(events, commands)

    turn = history.decode_turn(AT, body)

    assert (turn.at, turn.events, turn.commands) == (AT, events, commands)
    assert history.encode_turn(turn.events, turn.commands) == body


@given(st.one_of(EVENTS))
def test_an_event_is_read_back_from_an_inbox(event: history.Event) -> None:
    """What came in elsewhere is the same event here."""
    assert history.decode_event(history.encode_event(event)) == event


@given(st.lists(signals, max_size=4))
def test_carried_signals_are_read_back(carried: list[history.SignalReceived]) -> None:
    """What one execution leaves is what the next begins with."""
    assert history.decode_carried(history.encode_carried(carried)) == carried


def test_every_kind_is_written_and_read_here() -> None:
    """A new event or command is added to the lists above."""
    assert len(EVENTS) == len(get_args(history.Event))
    assert len(COMMANDS) == len(get_args(history.Command))
