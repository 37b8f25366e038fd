"""What a person sees who types `kubectl get orch --watch`: the status of each run, as the API server gives it.

Knows kubectl and the fields of `.status`; neither Postgres nor the operator is asked.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from dataclasses import dataclass
from typing import Any, Self

from tests.cluster.errors import ProgramFailedError
from tests.cluster.handle import Cluster
from tests.demo import cast

__all__ = ["Run", "Watch"]

_ONE_LINE = 'jsonpath={.metadata.name} {.status}{"\\n"}'
_STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """An Orchestration at one moment."""

    name: str
    status: dict[str, Any]

    @property
    def instance_id(self) -> str:
        """The id of its instance; empty before there is one."""
        return str(self.status.get("instanceId", ""))

    @property
    def phase(self) -> str:
        """Pending, Running, Suspended, Completed, Failed or Cancelled."""
        return str(self.status.get("phase", "Pending"))

    @property
    def steps_done(self) -> int:
        """How many steps its code says are done."""
        return int(self.status.get("progress", {}).get("done", 0))

    @property
    def columns(self) -> tuple[str, str, str, str, str]:
        """Phase, step, progress and the condition Ready, as `kubectl get` shows them, and what is going on."""
        progress = self.status.get("progress", {})
        conditions: list[dict[str, str]] = self.status.get("conditions", [])
        ready = next((one for one in conditions if one["type"] == "Ready"), {})
        message = progress.get("message") if self.phase == "Running" else ready.get("message")
        step = str(self.status.get("step", ""))
        return self.phase, step, str(progress.get("text", "")), ready.get("status", ""), str(message or "")


class Watch:
    """The changes in one namespace, as they come."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        """Begin with what is there now."""
        self._kubectl = subprocess.Popen(
            cast.tied_to_us(
                *(cluster.kubectl_program, f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}"),
                *("get", "orchestrations", "--watch", f"--output={_ONE_LINE}"),
            ),
            env=cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._seen: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="watch", daemon=True).start()

    def __enter__(self) -> Self:
        """End at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop kubectl."""
        self._kubectl.kill()
        self._kubectl.wait(_STOP_SECONDS)

    def next_or_none(self, seconds: float) -> Run | None:
        """Give the next change; None when there is none for so long."""
        try:
            run = self._seen.get(timeout=seconds)
        except queue.Empty:
            return None
        if run is None:
            raise ProgramFailedError(f"kubectl get --watch ended by itself with {self._kubectl.wait()}")
        return run

    def _read(self) -> None:
        assert self._kubectl.stdout is not None
        with self._kubectl.stdout as lines:
            for line in lines:
                name, _, status = line.partition(" ")
                self._seen.put(Run(name, json.loads(status or "{}")))
        self._seen.put(None)
