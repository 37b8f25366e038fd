"""Tests in several processes beside each other (`make test`, `make floors`): which of them stay together.

pytest-xdist starts the processes, each with a Postgres of its own. A module stays in one of them, for the sake of what
its tests share. What needs a cluster is one lane, so that what kills its API server, takes its definitions away or
counts what it was asked has it for itself; where each process has a control plane of its own, it is two: the operator,
and what is around it. It must not know what the tests are about.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.plugin import CHOICE

OPERATOR = tuple(f"tests/{room}/" for room in ("e2e", "kind"))
AROUND_IT = tuple(f"tests/{room}/" for room in ("awaits", "chart", "cluster", "demo", "gitops"))


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types
    """Gives out lanes, the one with the most tests first."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module.startswith(OPERATOR):
            return "operator"
        if module.startswith(AROUND_IT):
            return "around it" if self.config.stash[CHOICE].kind == "local" else "operator"
        return module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Have tests given out by lanes, whatever `--dist` says."""
    return Lanes(config, log)
