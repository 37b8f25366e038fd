"""What the operator itself may do in the cluster, and why: the one list.

The chart's roles, `perdure doctor` and the tests are held to it: a test runs an operator with exactly these rights and
finds each of them used. What runs do is not here: they act as their ServiceAccounts, with the rights of those (I13).
Whoever makes the operator call something new adds a line, and a word to the story that `tests/e2e/test_rights.py`
tells. A table, and how it is written as rules of RBAC; it must not know who calls.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from pydantic import JsonValue

from perdure._kube.api import base, orchestration, orchestration_schedule, orchestration_signal

__all__ = ["RIGHTS", "Right", "Where", "rules"]

Where = Literal["cluster", "watched", "runs", "own", "everybody"]
"""Once in the cluster; in every namespace that is watched; where runs may act; in the operator's own namespace; and
what Kubernetes gives to everybody who is somebody."""


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """Verbs on a resource, as a Role names them; with `names` on objects of these names alone."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    where: Where
    why: str
    names: tuple[str, ...] = ()

    @property
    def rule(self) -> dict[str, JsonValue]:
        """Write it as a rule of RBAC."""
        rule: dict[str, JsonValue] = {
            "apiGroups": [self.group],
            "resources": [self.resource],
            "verbs": list(self.verbs),
        }
        return rule | ({"resourceNames": list(self.names)} if self.names else {})


_RUNS = orchestration.PLURAL
_SIGNALS = orchestration_signal.PLURAL
_SCHEDULES = orchestration_schedule.PLURAL

RIGHTS = (
    Right(base.GROUP, _RUNS, ("list", "watch"), "watched", "The controller sees what is applied, and what is gone."),
    Right(base.GROUP, _RUNS, ("get",), "watched", "A resource that seems to be gone, or is new, is looked at."),
    Right(base.GROUP, _RUNS, ("create",), "watched", "A schedule makes one at each tick."),
    Right(base.GROUP, _RUNS, ("patch",), "watched", "Finalizers keep what compensates; schedules replace runs."),
    Right(base.GROUP, _RUNS, ("delete",), "watched", "A TTL and a schedule's history remove what has finished."),
    Right(base.GROUP, f"{_RUNS}/status", ("patch",), "watched", "Every process shows the runs that it works on."),
    Right(base.GROUP, _SIGNALS, ("get", "list", "watch"), "watched", "Signals are seen as runs are."),
    Right(base.GROUP, _SIGNALS, ("delete",), "watched", "A TTL removes signals that were delivered."),
    Right(base.GROUP, f"{_SIGNALS}/status", ("patch",), "watched", "What became of a signal is shown in it."),
    Right(base.GROUP, _SCHEDULES, ("get", "list", "watch"), "watched", "Schedules are seen as runs are."),
    Right(base.GROUP, f"{_SCHEDULES}/status", ("patch",), "watched", "The last and the next tick are shown."),
    Right("events.k8s.io", "events", ("create",), "watched", "What is news of a run stands in `kubectl describe`."),
    Right("", "serviceaccounts", ("get",), "watched", "The API server lets us act as one that does not exist."),
    Right("", "serviceaccounts", ("impersonate",), "runs", "Activities act as the ServiceAccount of their run."),
    Right("coordination.k8s.io", "leases", ("get", "create", "update"), "own", "Controllers elect one that works."),
    Right("", "namespaces", ("get",), "cluster", "A database is of one cluster, known by this uid.", ("kube-system",)),
    Right(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        ("create",),
        "everybody",
        "Whether a run can act as its ServiceAccount is asked before it starts.",
    ),
)
"""All of them. Reading what kinds there are (`/api`, `/apis`) is everybody's as well, by `system:discovery`."""


def rules(*where: Where) -> list[dict[str, JsonValue]]:
    """Give the rules of a role for these places."""
    return [right.rule for right in RIGHTS if right.where in where]
