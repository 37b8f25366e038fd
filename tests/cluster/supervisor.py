"""The process that owns a local control plane: it starts it, does what its owner asks, and stops it in order.

Under pytest the owner is at the other end of standard input (`--lifeline`): a command a line, an answer a line, and
the end of the input, also by a SIGKILL of the owner, means stop. Behind `make cluster-up` nobody is there: the
process says `ready`, lives in a session of its own and ends on SIGTERM. Either way the programs are children of
this process alone and of its main thread, so that the kernel takes them down with it.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from pathlib import Path

from tests.cluster.control_plane import ControlPlane
from tests.cluster.errors import ClusterError
from tests.cluster.kubelet import Kubelet

READY = "ready"
DONE = "done"
CHECK_SECONDS = 1.0


async def supervise(folder: Path, programs: Mapping[str, Path], *, has_lifeline: bool) -> None:
    """Run a control plane and its kubelet in `folder` until the owner is gone, SIGTERM comes, or a part dies."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    control_plane = ControlPlane(folder, programs)
    try:
        await control_plane.start()
        async with control_plane.session("perdure:kubelet") as session:
            kubelet = Kubelet(session)
            await kubelet.register()
            _say(READY)
            ends = [stop.wait(), kubelet.run(), _watch_over(control_plane)]
            await _until_first(*ends, *([_obey(control_plane)] if has_lifeline else []))
    finally:
        await control_plane.stop()


async def _until_first(*works: Coroutine[object, object, object]) -> None:
    """Return, or raise, with the first that ends, and cancel the others."""
    tasks = [asyncio.create_task(work) for work in works]
    ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in ended:
        task.result()


async def _obey(control_plane: ControlPlane) -> None:
    """Read commands until the input ends, which ends the control plane."""
    commands: Mapping[str, Callable[[], Awaitable[None]]] = {
        "kill-server": control_plane.kill_server,
        "start-server": control_plane.start_server,
        "back-up": control_plane.back_up,
        "restore": control_plane.restore,
    }
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            await commands[line.decode().strip()]()
        except ClusterError as error:
            _say(repr(error))
        else:
            _say(DONE)


async def _watch_over(control_plane: ControlPlane) -> None:
    """Raise when one program has died: half a control plane would only puzzle its user."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        control_plane.check()


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Lock the file for the block, or until this process ends in any other way, with the process id inside."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(f"another control plane holds {path}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def main() -> int:
    """Read the command line and run; the exit code is 1 when the control plane could not start."""
    parser = argparse.ArgumentParser(description="Own a local control plane.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--program", action="append", type=Path, required=True, help="the path of a program, several times"
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--lifeline", action="store_true", help="take commands on standard input, and end with it")
    mode.add_argument(
        "--detach", type=Path, metavar="LOCK", help="outlive the caller; hold LOCK, with the process id inside"
    )
    given = parser.parse_args()
    programs = {path.name: path for path in given.program}
    if given.detach and os.fork() != 0:
        return 0
    try:
        with _held(given.detach) if given.detach else contextlib.nullcontext():
            asyncio.run(supervise(given.folder, programs, has_lifeline=given.lifeline))
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
