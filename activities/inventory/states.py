"""The states of a server: which may follow which, as a table. Pure.

Two ends are protected. A server that failed stays `failed` while it is cleaned up: that the clean-up is under way, or
over, is noted as an event, and the reason of the failure stays where people look for it. And of a server that is being
deleted nobody who looks late says that it runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from activities.types import ServerState

__all__ = ["FOLLOWERS", "KEEPERS", "Verdict", "judge"]

FOLLOWERS: Mapping[ServerState, frozenset[ServerState]] = {
    "creating": frozenset({"running", "degraded", "failed", "deleting"}),
    "running": frozenset({"degraded", "upgrading", "failed", "deleting"}),
    "degraded": frozenset({"running", "upgrading", "failed", "deleting"}),
    "upgrading": frozenset({"running", "degraded", "failed", "deleting"}),
    "failed": frozenset({"creating", "running", "upgrading"}),
    "deleting": frozenset({"failed", "deleted"}),
    "deleted": frozenset(),
}
"""What a server may come to from each state. Out of `failed` leads only what makes it work again."""

KEEPERS: Mapping[ServerState, frozenset[ServerState]] = {
    "failed": frozenset({"degraded", "deleting", "deleted"}),
    "deleting": frozenset({"running", "degraded"}),
    "deleted": frozenset({"running", "degraded", "deleting"}),
}
"""What a state takes note of and stays: the clean-up of what failed, a late look at what is going."""

Verdict = Literal["change", "say again", "keep", "unexpected", "refuse"]


def judge(current: ServerState, wanted: ServerState, *, expected: Collection[ServerState] = ()) -> Verdict:
    """Say what becomes of the wish that a server comes to a state."""
    if expected and current not in expected:
        return "unexpected"
    if wanted == current:
        return "say again"
    if wanted in FOLLOWERS[current]:
        return "change"
    return "keep" if wanted in KEEPERS.get(current, ()) else "refuse"
