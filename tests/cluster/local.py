"""The owner's end of a local control plane: the supervisor as a child, commands down its standard input."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from tests.cluster.control_plane import AUDIT_LOG
from tests.cluster.errors import ProgramFailedError
from tests.cluster.supervisor import DONE, READY

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60


def supervisor_command(folder: Path, programs: Mapping[str, Path]) -> list[str]:
    """Return the command line of a supervisor for a control plane in `folder`; run it in the root of the checkout."""
    command = [sys.executable, "-m", "tests.cluster.supervisor", str(folder)]
    return command + [f"--program={path}" for path in programs.values()]


class LocalControlPlane:
    """A control plane that lives as long as this object is open, and no longer than this process."""

    def __init__(self, folder: Path, programs: Mapping[str, Path]) -> None:
        """Start it and return when Pods can be made; raise `ProgramFailedError` when that does not come to be."""
        self.kubeconfig = folder / "admin.kubeconfig"
        self.audit_log = folder / AUDIT_LOG
        self._log = folder / "supervisor.log"
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            # a session of its own: Ctrl-C is for the tests, whose end then ends the supervisor in order
            self._supervisor = subprocess.Popen(
                [*supervisor_command(folder, programs), "--lifeline"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._expect(READY)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the control plane, which is ready already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()

    @property
    def pid(self) -> int:
        """The process that owns the programs."""
        return self._supervisor.pid

    def kill_server(self) -> None:
        """End the API server by SIGKILL."""
        self._command("kill-server")

    def start_server(self) -> None:
        """Start the API server on the same port and data, and wait until it is ready."""
        self._command("start-server")

    def back_up(self) -> None:
        """Copy the data of etcd as it is now."""
        self._command("back-up")

    def restore(self) -> None:
        """Go back to that copy: all programs start again on it, on the same ports."""
        self._command("restore")

    def close(self) -> None:
        """Stop all programs in order; calling it again does nothing."""
        for stream in self._streams():
            stream.close()
        try:
            self._supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()

    def _command(self, word: str) -> None:
        with self._lock:
            commands, _ = self._streams()
            commands.write(word + "\n")
            commands.flush()
            self._expect(DONE)

    def _expect(self, word: str) -> None:
        _, answers = self._streams()
        answer = answers.readline().strip()
        if answer != word:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise ProgramFailedError(
                f"the local control plane said {answer!r} instead of {word!r}; {self._log} ends with:\n{tail}"
            )

    def _streams(self) -> tuple[IO[str], IO[str]]:
        commands, answers = self._supervisor.stdin, self._supervisor.stdout
        assert commands is not None
        assert answers is not None
        return commands, answers
