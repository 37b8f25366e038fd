"""The fixture of the client's tests: a desk with a client and a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from perdure.client import Client
from tests.store.desk import Desk


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    """Give a desk."""
    outside = await asyncpg.connect(dsn)
    async with await Client.connect(dsn) as client:
        yield Desk(dsn, client, outside)
    await outside.close()
