"""A turn that is alone is committed by a statement of its own: what it does is what the one of many does."""

from __future__ import annotations

import datetime
import itertools
import json
import uuid
from collections.abc import AsyncIterator

import pytest

from perdure._store import connect, statements

OWNER = uuid.UUID(int=1)
AT = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
BORN = AT - datetime.timedelta(hours=1)
ORDINARY = {
    "instance_id": "one",
    "name": "chain",
    "version": "",
    "phase": "Running",
    "turn": 3,
    "execution": 2,
    "input": b"{}",
    "owner_id": OWNER,
    "created_at": BORN,
    "started_at": BORN,
    "buffered_signals": 4,
    "recoveries": 2,
    "custom_status": b'"old"',
}
ROWS = {
    "ordinary": ORDINARY,
    "first": ORDINARY | {"phase": "Pending", "turn": 0, "started_at": None},
    "with news": ORDINARY | {"wake_at": AT},
    "paused": ORDINARY | {"phase": "Suspended", "is_suspended": True, "suspend_reason": "said so", "wake_at": AT},
    "held": ORDINARY | {"phase": "Suspended", "is_suspended": True, "hold_reason": "Poison", "error": b"{}"},
    "off hold": ORDINARY | {"hold_reason": "Poison", "error": b"{}"},
    "of a resource": ORDINARY | {"run_as": "ns/account", "carried": b"[]"},
    "of somebody else": ORDINARY | {"owner_id": uuid.UUID(int=2)},
    "of nobody": ORDINARY | {"owner_id": None, "wake_at": AT},
    "at another turn": ORDINARY | {"turn": 4},
    "made later": ORDINARY | {"created_at": AT},
    "ended": ORDINARY | {"phase": "Completed", "owner_id": None, "finished_at": AT},
    "not there": ORDINARY | {"instance_id": "another"},
}
ACCEPTED = {"ordinary", "first", "with news", "paused", "held", "off hold", "of a resource"}
GOES_ON: dict[str, object] = {"phase": "Running"}
TURNS: dict[str, dict[str, object]] = {
    "goes on": GOES_ON,
    "takes in": GOES_ON | {"messages": [1, 3], "tasks": [1]},
    "completes": {"phase": "Completed", "output": b"1"},
    "fails": {"phase": "Failed", "error": b"{}", "messages": [2]},
    "is cancelled": {"phase": "Cancelled", "error": b"{}", "tasks": [2]},
}
"""What a turn makes of its instance, which has messages 1 to 3 and activities 1 and 2, and 1 of its first execution."""
LEFT = {"goes on": (4, 4), "takes in": (2, 3), "completes": (1, 1), "fails": (1, 1), "is cancelled": (1, 1)}
"""How many messages and activities there are after it, of four each."""
BESIDE = """
    insert into inbox (message_id, instance_id, kind, payload, created_at) overriding system value
    select n, case when n > 3 then 'another' else 'one' end, 'Event', '{}', 'epoch' from generate_series(1, 4) as n;
    insert into tasks (instance_id, execution, seq, visible_at)
    values ('one', 1, 1, 'epoch'), ('one', 2, 1, 'epoch'), ('one', 2, 2, 'epoch'), ('another', 2, 1, 'epoch');
"""


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[connect.Connection]:
    """Lend a connection as the store makes them."""
    made = await connect.dedicated(dsn)
    yield made
    await made.close()


class Scene:
    """One instance, what lies beside it, and what commits make of all that; nothing of it stays."""

    def __init__(self, connection: connect.Connection, row: dict[str, object]) -> None:
        """Play with the instance that is `row`."""
        self._connection = connection
        self._row = row

    async def after(self, name: str, *arguments: object) -> list[list[object]]:
        """Give what a statement answers, and leaves behind of each table."""
        fetch = self._connection.fetch
        transaction = self._connection.transaction()
        await transaction.start()
        places = ", ".join(f"${number}" for number in range(1, len(self._row) + 1))
        make = f"insert into instances ({', '.join(self._row)}) values ({places})"  # noqa: S608 - the columns stand above
        await fetch(make, *self._row.values())
        await self._connection.execute(BESIDE)
        answer = await fetch(statements.load()[name], OWNER, *arguments)
        left: list[list[object]] = [[(found["instance_id"], found["is_turn"], found["has_news"]) for found in answer]]
        for table in ("instances", "history", "inbox", "tasks"):
            rows = await fetch(f"select t.* from {table} t order by t::text")  # noqa: S608 - these four
            left.append([dict(found) for found in rows])
        await transaction.rollback()
        return left


@pytest.mark.parametrize("what", TURNS)
@pytest.mark.parametrize("kind", ROWS)
async def test_it_does_what_the_statement_of_many_does(connection: connect.Connection, kind: str, what: str) -> None:
    """The same answer, the same rows, for every state that an instance may be in and all that a turn makes of it."""
    row, made = ROWS[kind], TURNS[what]
    turn = 0 if kind == "first" else 3
    scene = Scene(connection, row)
    for says, born in itertools.product((b'"new"', None), (BORN, None)):
        payloads = [data for data in (says, made.get("output"), made.get("error")) if data]
        document = {
            "instance_id": "one",
            "execution": 2,
            "turn": turn,
            "at": AT.isoformat(),
            "version": "1.2.0",
            "custom_status": 1 if says else None,
            "buffered": 5,
            "created_at": born.isoformat() if born else None,
        } | {key: len(payloads) if isinstance(value, bytes) else value for key, value in made.items()}
        ends = [made["phase"], made.get("output"), made.get("error")]
        arguments = ["one", turn, 2, AT, "1.2.0", born, says, 5, b"body", *ends]

        alone = await scene.after("commit_turn", *arguments, made.get("messages", []), made.get("tasks", []))
        whole = await scene.after("commit_turns", json.dumps([document]), [b"body"], payloads)

        assert alone == whole
        if what == "goes on":
            assert await scene.after("commit_turn_without_cleanup", *arguments) == whole
        is_accepted = kind in ACCEPTED or (kind == "made later" and born is None)
        has_news = "wake_at" in row and made["phase"] == "Running"
        assert alone[0] == ([("one", True, has_news)] if is_accepted else [])
        messages, tasks = LEFT[what] if is_accepted else (4, 4)
        assert [len(rows) for rows in alone[2:]] == [is_accepted, messages, tasks]
