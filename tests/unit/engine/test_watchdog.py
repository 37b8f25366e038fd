"""The watchdog: who it interrupts, whom it leaves alone, and that nothing of it arrives too late."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import pytest

from perdure import errors
from perdure._engine.watchdog import TurnInterrupted, Watchdog, raise_in


@contextlib.contextmanager
def watching(seconds: float, *, at_most_seconds: float = math.inf) -> Iterator[Watchdog]:
    """Give a watchdog on duty."""
    dog = Watchdog(seconds, at_most_seconds=at_most_seconds)
    dog.begin()
    try:
        yield dog
    finally:
        dog.end()


class Contended:
    """A lock at which the interruption arrives: in the moment before it is held for the n-th time, or after it was."""

    def __init__(self, dog: Watchdog, moment: tuple[str, int]) -> None:
        """Take the place of the lock of `dog`."""
        self.dog = dog
        self.moment = moment
        self.lock = threading.Lock()
        self.uses = 0
        vars_of = cast("Any", dog)
        vars_of.lock = self

    def __enter__(self) -> None:
        """Lock."""
        self.uses += 1
        self.strike_at("before")
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Unlock."""
        self.lock.release()
        self.strike_at("after")

    def strike_at(self, side: str) -> None:
        """Interrupt the step, if this is the moment."""
        if self.moment == (side, self.uses):
            self.dog.interruptions += 1
            raise TurnInterrupted


def for_ever() -> NoReturn:
    """Never end, and never await."""
    while True:
        pass


def busy(seconds: float) -> float:
    """Compute for so long."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return seconds


def test_a_step_that_does_not_end_is_interrupted() -> None:
    """`while True` ends with an error that names the instance."""
    with watching(0.02) as dog, pytest.raises(errors.TurnTooLongError, match=r"instance stuck ran for 0\.0 s"):
        dog.step("stuck", for_ever)


def test_who_waits_for_a_processor_is_not_taken_for_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with too much to do a step takes long without running: that time does not count."""
    monkeypatch.setattr(Watchdog, "waited_seconds", lambda _: time.monotonic())

    with watching(0.02) as dog:
        assert dog.step("starved", lambda: busy(0.2)) == 0.2


def test_who_runs_only_now_and_then_is_interrupted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is how long it ran, however little of the machine it gets."""
    monkeypatch.setattr(Watchdog, "waited_seconds", lambda _: 0.9 * time.monotonic())

    with watching(0.02) as dog, pytest.raises(errors.TurnTooLongError):
        dog.step("stuck", for_ever)


def test_who_gets_no_processor_is_interrupted_when_the_lease_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that takes longer than the lease bears would cost its worker all instances, however little it ran."""
    monkeypatch.setattr(Watchdog, "waited_seconds", lambda _: time.monotonic())

    with watching(0.02, at_most_seconds=0.04) as dog, pytest.raises(errors.TurnTooLongError):
        dog.step("starved", for_ever)


def test_how_long_a_thread_has_waited_only_grows() -> None:
    """Read from the kernel where it counts that, and nothing elsewhere."""
    dog = Watchdog(60.0)

    before = dog.waited_seconds()
    busy(0.01)

    assert 0.0 <= before <= dog.waited_seconds()


def test_a_short_step_gives_its_result_or_its_error() -> None:
    """Whoever stays within the time notices nothing of the watch."""

    def fails() -> None:
        raise KeyError

    with watching(60.0) as dog:
        assert dog.step("quick", lambda: 42) == 42
        with pytest.raises(KeyError):
            dog.step("quick", fails)


def test_code_that_would_end_the_process_does_not() -> None:
    """Who asks a worker to end asks its loop; a KeyboardInterrupt of the code is an error of that instance."""

    def interrupts() -> None:
        raise KeyboardInterrupt

    with watching(60.0) as dog, pytest.raises(errors.OrchestrationFailedError, match="instance rude raised Keyboard"):
        dog.step("rude", interrupts)


def test_what_was_interrupted_leaves_no_result() -> None:
    """Code that catches the interruption and goes on in peace has taken too long all the same."""

    def catches() -> str:
        try:
            for_ever()
        except BaseException:  # noqa: BLE001 - what an author may write
            return "nothing happened"

    def wraps() -> None:
        try:
            for_ever()
        except TurnInterrupted as error:
            raise ValueError from error

    with watching(0.02) as dog:
        for code in (catches, wraps):
            with pytest.raises(errors.TurnTooLongError):
                dog.step("stubborn", code)


def test_code_that_goes_on_is_interrupted_again() -> None:
    """One interruption may be caught in a loop; there are as many as it takes."""
    caught = itertools.count()

    def tries_again() -> None:
        while next(caught) < 3:
            with contextlib.suppress(TurnInterrupted):
                for_ever()

    with watching(0.02) as dog, pytest.raises(errors.TurnTooLongError):
        dog.step("stubborn", tries_again)

    assert next(caught) == 4


def test_many_short_steps_are_not_one_long_one() -> None:
    """The time is that of one step, however many are taken without a break."""
    with watching(0.2) as dog:
        results = [dog.step("diligent", lambda: busy(0.001)) for _ in range(400)]

    assert len(results) == 400


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("moment", [("after", 1), ("before", 2)], ids=["entering", "leaving"])
def test_an_interruption_at_the_door_leaves_the_step_in_order(moment: tuple[str, int], *, fails: bool) -> None:
    """It arrives when the step has just been entered, or is about to be left: nobody is watched afterwards."""
    dog = Watchdog(60.0)
    lock = Contended(dog, moment)

    def code() -> None:
        if fails:
            raise KeyError

    with pytest.raises(errors.TurnTooLongError):
        dog.step("racing", code)

    assert (dog.is_stepping, lock.lock.locked()) == (False, False)


def test_what_is_on_its_way_is_taken_back() -> None:
    """The watchdog strikes while the step waits for the lock to leave: the step took too long, and that was all."""
    dog = Watchdog(60.0)
    dog.lock.acquire()
    entered = threading.Event()

    def strike() -> None:
        dog.lock.release()
        entered.wait()
        with dog.lock:
            time.sleep(0.02)  # in which the step comes to the lock
            dog.interruptions += 1
            raise_in(dog.thread_id, TurnInterrupted)

    def code() -> None:
        entered.set()
        while not dog.lock.locked():
            pass

    striking = threading.Thread(target=strike)
    striking.start()
    with pytest.raises(errors.TurnTooLongError):
        dog.step("racing", code)
    striking.join()

    assert busy(0.002) == 0.002


@pytest.mark.slow
def test_no_interruption_arrives_after_its_step() -> None:
    """Steps end in the very moment in which they would be interrupted: each ends well or too long, and then it is over.

    An interruption on its way would hit the code between the steps, which belongs to the engine.
    """
    was_too_long, crossings = False, 0
    seconds, growth = 0.001, 2.0  # in great steps to the edge, wherever it is on this machine, then in small ones
    with watching(0.001) as dog:
        while crossings < 10:
            try:
                assert dog.step("racing", lambda: busy(seconds)) == seconds  # noqa: B023 - called at once
                is_too_long = False
            except errors.TurnTooLongError:
                is_too_long, growth = True, 1.03
            crossings += is_too_long != was_too_long
            was_too_long = is_too_long
            seconds *= 1 / growth if is_too_long else growth
            busy(0.002)  # the engine, in which it could arrive
