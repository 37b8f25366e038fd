"""Running a command to its end: kubectl, helm and kind.

One place, so that none of them hangs for ever and each failure shows what the command said.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.errors import CommandFailedError

PATIENCE_SECONDS = 600
"""No command here may hang for ever; kubectl and helm have timeouts of their own, far below."""


def run(
    *command: str | Path, input: str | None = None, check: bool = True, environment: Mapping[str, str] = os.environ
) -> str:
    """Return the standard output of the command; raise `CommandFailedError` when it fails and `check` is set."""
    words = [str(word) for word in command]
    ended = subprocess.run(
        words, input=input, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    if check and ended.returncode != 0:
        raise CommandFailedError(words, ended.returncode, ended.stdout, ended.stderr)
    return ended.stdout
