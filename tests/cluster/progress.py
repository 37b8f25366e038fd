"""Lines on a terminal, or in a pipe, that show that something slow is alive.

On a terminal one line counts the seconds in place; elsewhere the same line is followed by one every half minute, so
that a log shows life and stays short.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TextIO

SECONDS_BETWEEN_LINES = 30


class Progress:
    """Writes steps and their durations to a stream."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, in place where it is a terminal."""
        self._stream = stream
        self._is_terminal = stream.isatty()

    def say(self, line: str) -> None:
        """Write one line."""
        self._stream.write(line + "\n")
        self._stream.flush()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` with the seconds it takes, until the block ends."""
        began = time.monotonic()
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(title, began, ended), name="progress", daemon=True)
        if not self._is_terminal:
            self.say(f"{title} ...")
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()
            mark = "\r" if self._is_terminal else ""
            self.say(f"{mark}{title} ... {time.monotonic() - began:.0f} s")

    def _tick(self, title: str, began: float, ended: threading.Event) -> None:
        while not ended.wait(1 if self._is_terminal else SECONDS_BETWEEN_LINES):
            mark, end = ("\r", "") if self._is_terminal else ("", "\n")
            self._stream.write(f"{mark}{title} ... {time.monotonic() - began:.0f} s{end}")
            self._stream.flush()
