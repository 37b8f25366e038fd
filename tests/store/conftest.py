"""The fixtures of the client and of the command line: a desk with a client, a terminal; each with a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from perdure.client import Client
from tests.store.desk import Desk
from tests.store.terminal import Terminal


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    """Give a desk."""
    outside = await asyncpg.connect(dsn)
    async with await Client.connect(dsn) as client:
        yield Desk(dsn, client, outside)
    await outside.close()


@pytest.fixture
def terminal(dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Give a terminal with a fresh database in its environment."""
    return Terminal(dsn, capsys, monkeypatch)


@pytest.fixture
def bare_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Give a terminal without any setting."""
    return Terminal(None, capsys, monkeypatch)
