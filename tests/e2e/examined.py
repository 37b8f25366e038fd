"""`perdure doctor` as a process with settings and a kubeconfig of its own, and what it has found, check by check."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Findings", "examine", "results"]

Findings = dict[str, list[dict[str, str]]]
"""By the name of the check."""


async def examine(kubeconfig: Path, settings: Mapping[str, str], *words: str, code: int = 0) -> Findings:
    """Give what the command finds with these settings (names without `PERDURE_`); it must end with this code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "KUBE"))}
    chosen = {f"PERDURE_{name}": value for name, value in settings.items()}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "perdure", "doctor", "--output=json", *words],
        env={**inherited, **chosen, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    found: Findings = {}
    for finding in json.loads(ended.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def results(found: Findings) -> dict[str, set[str]]:
    """Give the results of each check."""
    return {check: {finding["result"] for finding in findings} for check, findings in found.items()}
