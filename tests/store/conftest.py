"""The fixtures of client, command line and inventory: a desk, a terminal, a shelf; each with a fresh database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from perdure._kube.client import Api
from perdure._store import connect
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
async def pool(dsn: str) -> AsyncIterator[connect.Pool]:
    """Lend connections, as a process has them."""
    made = await connect.create_pool(dsn, application_name="test")
    yield made
    made.terminate()


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


@pytest.fixture
async def no_api(tmp_path: Path) -> AsyncIterator[Api]:
    """Give an API server that is away, for what needs none but is given one."""
    cluster = {"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    user = {"name": "none", "user": {"token": "none"}}
    config = {"clusters": [cluster], "contexts": [context], "current-context": "none", "users": [user]}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    api = await Api.connect(str(tmp_path / "kubeconfig"))
    yield api
    await api.close()
