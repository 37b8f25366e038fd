"""The fixtures of client, command line and inventory: a desk, a terminal, a shelf; each with a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from perdure.client import Client
from tests.store.desk import Desk
from tests.store.shelf import Shelf
from tests.store.terminal import Terminal


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    """Give a desk."""
    outside = await asyncpg.connect(dsn)
    async with await Client.connect(dsn) as client:
        yield Desk(dsn, client, outside)
    await outside.close()


@pytest.fixture
async def shelf(dsn: str) -> AsyncIterator[Shelf]:
    """Give a shelf in a database that is Perdure's own too, as it is by default."""
    shelf = Shelf(dsn)
    yield shelf
    await shelf.database.close()


@pytest.fixture
def terminal(dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Give a terminal with a fresh database in its environment."""
    return Terminal(dsn, capsys, monkeypatch)


@pytest.fixture
def bare_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Give a terminal without any setting."""
    return Terminal(None, capsys, monkeypatch)
