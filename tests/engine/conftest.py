"""The fixtures of the engine's tests: a world and a puppet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.engine import world as worlds


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[worlds.World]:
    """Give a fresh world."""
    async with worlds.created(dsn) as created:
        yield created


@pytest.fixture
def puppet() -> worlds.Puppet:
    """Give an activity on strings."""
    return worlds.Puppet()
