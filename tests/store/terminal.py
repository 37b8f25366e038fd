"""A terminal for the tests of the command line: commands run in this process, as fast as a call.

Each command opens and closes what it needs in an event loop of its own, as a process would. What only a process shows
(that `python -m perdure` is the same, and what it imports) is shown by one.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from perdure import cli

__all__ = ["Ended", "Terminal"]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, what it printed, what it complained."""

    code: int
    out: str
    err: str

    def value(self) -> object:
        """Read what was printed as JSON."""
        return json.loads(self.out)


class Terminal:
    """Where somebody types, with a database in the environment or with none."""

    def __init__(self, dsn: str | None, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        """Begin with no PERDURE variable but the database."""
        self._capture = capture
        for name in [name for name in os.environ if name.startswith("PERDURE_")]:
            patch.delenv(name)
        if dsn is not None:
            patch.setenv("PERDURE_DATABASE_URL", dsn)

    def types(self, *words: str | Path) -> Ended:
        """Run a command to its end."""
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        out, err = self._capture.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    def done(self, *words: str | Path) -> str:
        """Run a command that must succeed; give what it prints."""
        ended = self.types(*words)
        assert ended.code == 0, ended.err
        return ended.out
