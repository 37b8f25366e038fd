"""A watchdog: it interrupts code of an orchestration that runs on without awaiting anything.

Theory of operation. Code is stepped in the thread of the event loop, between two awaits. While it runs nothing else of
its worker does, heartbeats neither. A thread beside looks several times in the time allowed at which step is being
taken. Finding the same one too often, it has Python raise `TurnInterrupted` in the loop's thread, between any two
bytecodes: the one way into a `while True`. A look counts for no more than the time between two of them, so a process
that was stopped and goes on is not taken for one that ran; nor does the time count in which the thread waited for a
processor, as on a machine with too much to do or in a container that has used up its share: Linux says how long. But
whatever it waited for, nothing of its worker went on meanwhile: at the latest it is interrupted in time for the lease.

An exception that comes from outside must never arrive when the step has been left: it would hit the engine. So
to enter, to leave and to interrupt need one lock, and whoever leaves takes back, under it, what is on its way. It may
still arrive while leaving, before the lock is held, even at the first bytecode of `__exit__`: so nothing is restored
there, and `step` leaves once more when it has caught it. Code that catches everything and goes on is interrupted again,
each time after as long. What was interrupted took too long, whatever its code made of that: no turn comes of it.

Code that blocks in C (a lock, a driver without a timeout) is not between two bytecodes: it cannot be interrupted.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import structlog

from perdure import errors

__all__ = ["TurnInterrupted", "Watchdog", "raise_in"]

_log = structlog.get_logger(__name__)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_LOOKS = 10
"""How often, and once more, the same step is seen before it is interrupted: the grain of the time allowed."""

raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
"""Have a thread raise an exception at its next chance; NULL takes back what is on its way (Python/C API)."""
_NOTHING = ctypes.py_object()


_ENDS_PROCESSES: Final = (
    "The code of instance {instance_id} raised KeyboardInterrupt, which is there to end a process, and is no outcome. "
    "Raise an Exception; it is tried again by each worker that starts, a cancel ends it."
)


class TurnInterrupted(BaseException):
    """This step has taken too long. Raised by the watchdog, in the thread that takes it."""


class _Armed:
    """The block that may be interrupted; after it, nothing arrives any more."""

    __slots__ = ("_dog",)

    def __init__(self, dog: Watchdog) -> None:
        self._dog = dog

    def __enter__(self) -> None:
        dog = self._dog
        with dog.lock:
            dog.steps += 1
            dog.is_stepping, dog.interruptions = True, 0

    def __exit__(self, *_: object) -> None:
        dog = self._dog
        with dog.lock:
            dog.is_stepping = False
            if dog.interruptions:
                raise_in(dog.thread_id, _NOTHING)


class Watchdog:
    """Watches the steps that one thread takes, one after the other."""

    def __init__(self, seconds: float, *, at_most_seconds: float = math.inf) -> None:
        """Allow each step of the calling thread to run for so many seconds, once the watch has begun.

        `at_most_seconds` is how long it may take, running or waiting for a processor.
        """
        self.seconds = seconds
        self.at_most_seconds = at_most_seconds
        self.thread_id = threading.get_ident()
        self.native_id = threading.get_native_id()
        self.lock = threading.Lock()
        self.steps = 0
        self.is_stepping = False
        self.interruptions = 0
        self._is_over = threading.Event()
        self._armed = _Armed(self)

    def begin(self) -> None:
        """Watch, from a thread of its own that keeps no process alive."""
        threading.Thread(target=self._watch, name="perdure-watchdog", daemon=True).start()

    def end(self) -> None:
        """Watch no longer."""
        self._is_over.set()

    def step(self, instance_id: str, code: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Run `code` of an instance. Raises `TurnTooLongError` if it had to be interrupted.

        A `KeyboardInterrupt` of its own is an `OrchestrationFailedError`: one instance ends no worker.
        """
        try:
            with self._armed:
                result = code(*arguments)
        except TurnInterrupted:
            self._armed.__exit__()  # it may have arrived before that was through
            raise self._too_long(instance_id) from None
        except KeyboardInterrupt as error:
            # A process that is to end hears of it through its loop: what arrives here, the code has raised. It would
            # end worker after worker, each in good order, so that nobody would ever be blamed for it.
            raise errors.OrchestrationFailedError(_ENDS_PROCESSES.format(instance_id=instance_id)) from error
        except Exception as error:
            if self.interruptions:
                raise self._too_long(instance_id) from error
            raise
        if self.interruptions:
            raise self._too_long(instance_id)
        return result

    def _too_long(self, instance_id: str) -> errors.TurnTooLongError:
        return errors.TurnTooLongError(instance_id, self.seconds * self.interruptions)

    def waited_seconds(self) -> float:
        """Give how long the watched thread has waited for a processor so far; always 0 where nobody counts that."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            counts = Path(f"/proc/self/task/{self.native_id}/schedstat").read_text(encoding="ascii")
            return int(counts.split()[1]) / 1e9
        return 0.0

    def _is_at(self, step: int) -> bool:
        return self.is_stepping and self.steps == step

    def _watch(self) -> None:
        seen, ran, took = 0, 0.0, 0.0
        interval = self.seconds / _LOOKS
        runnable = before = 0.0
        while not self._is_over.wait(interval):
            if not self.is_stepping:  # read without the lock: at worst this look sees the step that has just begun
                seen = 0
                continue
            runnable, before = time.monotonic() - self.waited_seconds(), runnable
            with self.lock:
                if not self._is_at(seen):
                    seen, ran, took = self.steps, 0.0, 0.0
                    continue
                ran += min(interval, max(0.0, runnable - before))
                took += interval
                if ran >= self.seconds or took >= self.at_most_seconds:
                    ran = took = 0.0
                    self.interruptions += 1
                    raise_in(self.thread_id, TurnInterrupted)
