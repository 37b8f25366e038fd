"""The verdicts of kstatus: resources go through a Go program with its code in it (`go/judge`).

It knows nothing of clusters; it is asked about any number of resources at once, since a process each would be slow.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tests.cluster.progress import Progress
from tests.cluster.toolchain import OURS, Program, Toolchain, cache_folder

__all__ = ["Judge", "Manifest", "Verdict", "answers", "built"]

Manifest: TypeAlias = dict[str, Any]

PROGRAM = Program("judge", "judge", "sigs.k8s.io/cli-utils", OURS, 0.5)


class Verdict(NamedTuple):
    """What kstatus says of a resource."""

    status: str
    message: str


class Judge:
    """Asks the program."""

    def __init__(self, progress: Progress) -> None:
        """Find the program, or build it and show that by `progress`."""
        self._program = built(PROGRAM, progress)

    def kstatus(self, resources: Iterable[Manifest]) -> list[Verdict]:
        """Give what kstatus concludes from each of these resources."""
        told = answers([self._program], resources)
        return [Verdict(answer["status"], answer.get("message", "")) for answer in told]


def built(program: Program, progress: Progress) -> Path:
    """Give where a program of `go` is, after it was built if need be."""
    toolchain = Toolchain(cache_folder(), root=Path(__file__).parent / "go", programs={program.name: program})
    return toolchain.ensure((program.name,), progress)[program.name]


def answers(
    command: Iterable[str | Path], questions: Iterable[object], *, environment: Mapping[str, str] = os.environ
) -> list[dict[str, Any]]:
    """Ask a program that answers each line of JSON by one, and give all answers."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    ended = subprocess.run(list(command), input=lines, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    failed = [answer["error"] for answer in told if "error" in answer]
    assert not failed, failed
    return told
