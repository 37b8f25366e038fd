"""A child process that dies with this one, and the ending of those that could not.

It knows processes, signals and user ids; it must not know Postgres' files or SQL (`embedded.py` does).

Theory of operation. The kernel sends a child the signal it asked for when the *thread* that forked it ends. So each
child gets a keeper: a daemon thread that starts it and then does nothing but wait for it. The thread lives exactly as
long as the child or this process, whichever ends first, whatever thread called `Child(...)`. SIGKILL of this process
ends the keeper too, and the kernel delivers. The program starts through `launch.py`, in a session of its own: Ctrl-C
on the terminal reaches this process alone, which then stops its children in the order it wants.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Account", "Child", "Launch", "end", "running_in"]

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.01
# What a program needs to run, and nothing that was meant for this process (passwords in its environment above all).
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


class Account(NamedTuple):
    """The user and group a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How a child is started: where it stands, as whom, where it writes, and the signal it gets at our death."""

    folder: Path
    account: Account
    output: IO[bytes]
    input: IO[bytes] | None = None
    death_signal: signal.Signals = signal.SIGINT


class Child:
    """A running program that gets a signal when this process dies, however it dies."""

    def __init__(self, command: Sequence[str], launch: Launch) -> None:
        """Start it; raises OSError when it cannot be started at all."""
        self._command = command
        self._launch = launch
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._started = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._keep, name="perdure-child-keeper", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _keep(self) -> None:
        account = self._launch.account
        words = (os.getpid(), int(self._launch.death_signal), account.uid, account.gid)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCH), *(str(word) for word in words), *self._command],
                cwd=self._launch.folder,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C"},
                stdin=self._launch.input or subprocess.DEVNULL,
                stdout=self._launch.output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as failure:
            self._failure = failure
            return
        finally:
            self._started.set()
        self._process.wait()
        self._ended.set()

    @property
    def pid(self) -> int:
        """The process id, the program's own (launching replaces, it does not fork)."""
        assert self._process is not None  # noqa: S101 - __init__ returned, so it runs
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._ended.is_set()

    def send(self, what: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self._process is not None and self.is_running:
            self._process.send_signal(what)

    def wait(self, seconds: float) -> int | None:
        """Return the exit status, or None when it still runs after so many seconds."""
        if self._process is None or not self._ended.wait(seconds):
            return None
        return self._process.returncode


def running_in(folder: Path, program: str) -> list[int]:
    """Return the ids of the processes of that program that stand in the folder and may be looked at by us.

    Linux only, by `/proc/<pid>/cwd`; empty elsewhere. A process id in a file is no proof: ids are used again, in
    containers within seconds.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == program and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue  # ended meanwhile, or not ours to look at
    return found


def end(pids: Sequence[int], how: signal.Signals, *, seconds: float) -> list[int]:
    """Send the signal to each and wait; return those that still run after so many seconds."""
    for pid in pids:
        _signal(pid, how)
    deadline = time.monotonic() + seconds
    alive = [pid for pid in pids if _exists(pid)]
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        alive = [pid for pid in alive if _exists(pid)]
    return alive


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def _exists(pid: int) -> bool:
    """Tell whether the process runs; a zombie that its parent has not collected does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return False
    except OSError:
        return sys.platform != "linux"
