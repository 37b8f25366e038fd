"""Tests in several processes beside each other (`make test`, `make floors`): which of them stay together.

pytest-xdist starts the processes, each with a Postgres of its own. A module stays in one of them, for the sake of what
its tests share. All that need a cluster are one lane: so there is one control plane, and what kills its API server or
counts what that was asked has it for itself. It must not know what the tests are about.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ON_A_CLUSTER = tuple(f"tests/{room}/" for room in ("chart", "cluster", "demo", "e2e", "gitops", "kind"))


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types
    """Gives out lanes, the one with the most tests first."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "cluster" if module.startswith(ON_A_CLUSTER) else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Have tests given out by lanes, whatever `--dist` says."""
    return Lanes(config, log)
