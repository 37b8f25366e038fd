"""The verdicts of GitOps tools: resources go through a Go program with kstatus and Lua in it (`go/judge`).

It knows nothing of clusters; it is asked about any number of resources at once, since a process each would be slow.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tests.cluster.progress import Progress
from tests.cluster.toolchain import OURS, Program, Toolchain, cache_folder

__all__ = ["Judge", "Manifest", "Verdict"]

Manifest: TypeAlias = dict[str, Any]

PROGRAM = Program("judge", "judge", "sigs.k8s.io/cli-utils", OURS, 0.5)


class Verdict(NamedTuple):
    """What kstatus says of a resource."""

    status: str
    message: str


class Judge:
    """Asks the program, which is built when it is missing."""

    def __init__(self, progress: Progress) -> None:
        """Find the program, or build it and show that by `progress`."""
        root = Path(__file__).parent / "go"
        toolchain = Toolchain(cache_folder(), root=root, programs={PROGRAM.name: PROGRAM})
        self._program = toolchain.ensure((PROGRAM.name,), progress)[PROGRAM.name]

    def kstatus(self, resources: Iterable[Manifest]) -> list[Verdict]:
        """Give what kstatus concludes from each of these resources."""
        answers = self._ask({"resource": resource} for resource in resources)
        return [Verdict(answer["status"], answer.get("message", "")) for answer in answers]

    def lua(self, script: str, resources: Iterable[Manifest]) -> list[Any]:
        """Give what a script returns for each of these resources, called as Argo CD calls it."""
        return [answer.get("returned") for answer in self._ask({"resource": one, "lua": script} for one in resources)]

    def _ask(self, questions: Iterable[Mapping[str, object]]) -> list[dict[str, Any]]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        ended = subprocess.run([self._program], input=lines, capture_output=True, text=True, check=True)
        answers = [json.loads(line) for line in ended.stdout.splitlines()]
        failed = [answer["error"] for answer in answers if "error" in answer]
        assert not failed, failed
        return answers
