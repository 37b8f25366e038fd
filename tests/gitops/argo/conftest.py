"""Argo CD's code, and the world that it is let loose on."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.plugin import UncapturedProgress
from tests.e2e.operators import World
from tests.gitops.argo.argo import PROGRAM, Argo
from tests.gitops.judging import built


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest) -> Path:
    """Give the program with Argo CD's code."""
    return built(PROGRAM, UncapturedProgress(request.config))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def argo(world: World, program: Path) -> Argo:
    """Give Argo CD's code with our customizations, in the world's namespace."""
    return await Argo.customized(world, program)
