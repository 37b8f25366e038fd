"""Tests in several processes beside each other (`make test`, `make floors`): which of them stay together.

pytest-xdist starts the processes, each with a Postgres of its own, and with a control plane of its own where that is a
local one. A module stays in one of them, for the sake of what its tests share. A cluster that all of them share is for
one alone, so that what kills its API server, takes its definitions away or counts what it was asked has it for itself.
It must not know what the tests are about.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.plugin import CHOICE

ON_A_CLUSTER = tuple(f"tests/{room}/" for room in ("awaits", "chart", "cluster", "demo", "e2e", "gitops", "kind"))


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types
    """Gives out lanes, the one with the most tests first."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module.startswith(ON_A_CLUSTER) and self.config.stash[CHOICE].kind != "local":
            return "on the cluster"
        return module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Have tests given out by lanes, whatever `--dist` says."""
    return Lanes(config, log)
