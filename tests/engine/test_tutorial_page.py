"""The tutorial tells the truth: a reader who does what it says, command by command, sees what it shows.

The reader is a shell in an empty folder. Blocks that begin with the name of a file are written to it, lines after `$`
are typed, and what follows must come out: with other times, and with anything for `...`. A reader is slower than a
test, and looks again; so whatever only looks, or finds the database not yet up, is typed again until it shows that.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^(<!-- not run: .*? -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+)\n")
LOOKS = re.compile(r"(perdure (get|list|tree|history|count|replay-check)|cat|grep) ")
TRIES = 60
PATIENCE_SECONDS = 600.0
"""Then a command that never ends is ended with its shell; no measure of anything."""
DONE = "--- typed ---"


class Typed(NamedTuple):
    """A command, and what the page shows for it."""

    command: str
    shown: list[str]


def steps() -> Iterator[tuple[Path, str] | Typed]:
    """Give what the page says to do, in order: files to write, commands to type."""
    for skipped, language, content in BLOCK.findall(PAGE.read_text("utf-8")):
        if skipped:
            continue
        if language == "console":
            first, *commands = re.split(r"^\$ ", content, flags=re.MULTILINE)
            assert not first, f"a line before the first command: {first}"
            for command in commands:
                yield Typed(command.splitlines()[0], command.splitlines()[1:])
        else:
            named = FILE.match(content)
            assert named, f"a block that is neither typed nor a file:\n{content}"
            yield Path(named[1]), content


class Shell:
    """A shell in a folder of its own, with the commands of this environment."""

    def __init__(self, folder: Path) -> None:
        """Begin with no PERDURE variable."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "PYTEST_"))}
        variables |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
        variables.pop("KUBECONFIG", None)
        self._bash = subprocess.Popen(
            ["/bin/bash"],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def types(self, command: str) -> list[str]:
        """Type a command; give the lines that come out."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {command}\n}} 2>&1\necho '{DONE}'\n")
        self._bash.stdin.flush()
        lines = []
        while (line := self._bash.stdout.readline().rstrip()) != DONE:
            assert self._bash.poll() is None, f"the shell ended at {command}"
            lines.append(line)
        return lines

    def kill(self) -> None:
        """End the shell and all that it began."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)

    def close(self) -> None:
        """End everything, and wait for that."""
        self.kill()
        self._bash.communicate()


@pytest.fixture
def shell() -> Iterator[tuple[Shell, Path]]:
    """Open a shell in an empty folder; its path is short, since a socket will lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="tutorial-"))
    opened = Shell(folder)
    watchdog = threading.Timer(PATIENCE_SECONDS, opened.kill)
    watchdog.start()
    yield opened, folder
    watchdog.cancel()
    opened.close()
    shutil.rmtree(folder, ignore_errors=True)


def pattern(shown: list[str]) -> re.Pattern[str]:
    """Match what is shown, with other times and other widths, and anything for `...`."""
    lines = [re.escape(flat(line)).replace(r"\.\.\.", ".*") + "\n" for line in shown]
    return re.compile("".join(r"(?:.*\n)*?" if line == ".*\n" else line for line in lines))


def flat(line: str) -> str:
    """Take the times out of a line, and what a column is padded with."""
    timeless = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\bin [\d.]+s\b", "TIME", line)
    return re.sub(r"\s+", " ", timeless).strip()


def come_out(shell: Shell, typed: Typed) -> None:
    """Type a command until what comes out is what is shown."""
    wanted, lines = pattern(typed.shown), [""]
    for _ in range(TRIES):
        lines = shell.types(typed.command)
        if wanted.fullmatch("".join(flat(line) + "\n" for line in lines)):
            return
        is_down = any("PERDURE-1401" in line for line in lines)
        if not is_down and not LOOKS.match(f"{typed.command} "):
            break
        shell.types("sleep 0.2")
    shown = "\n".join(lines)
    pytest.fail(f"$ {typed.command}\n{shown}\n\nand the page shows\n" + "\n".join(typed.shown))


def wait_for_the_worker(shell: Shell, log: Path, *, starts: int) -> None:
    """Look into the log until the worker has come up so many times: without its Postgres each command waits in vain."""
    while not log.exists() or log.read_text("utf-8").count("http_listening") < starts:
        shell.types("sleep 0.2")


@pytest.mark.slow
def test_who_does_what_the_tutorial_says_sees_what_it_shows(shell: tuple[Shell, Path]) -> None:
    """Every block of the page is a file of the reader or a line of the terminal, and all of it comes out as shown."""
    terminal, folder = shell
    starts = 0

    for step in steps():
        if not isinstance(step, Typed):
            (folder / step[0]).write_text(step[1], "utf-8")
            continue
        come_out(terminal, step)
        if step.command.startswith("sh worker.sh"):
            starts += 1
            wait_for_the_worker(terminal, folder / "worker.log", starts=starts)

    assert PAGE.read_text("utf-8").count("\n```") == 2 * len(BLOCK.findall(PAGE.read_text("utf-8")))
