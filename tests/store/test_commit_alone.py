"""A plain turn that is alone is committed by a statement of its own: what it does is what the one of many does."""

from __future__ import annotations

import datetime
import json
import uuid

import asyncpg
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
SAYS = {"a status": b'"new"', "no status": None}


async def _committed(dsn: str, row: dict[str, object], name: str, *arguments: object) -> list[object]:
    """Give what a statement answers and leaves behind, with this one instance there; nothing of it stays."""
    connection: asyncpg.Connection[asyncpg.Record] = await connect.dedicated(dsn)
    transaction = connection.transaction()
    await transaction.start()
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    make = f"insert into instances ({', '.join(row)}) values ({places})"  # noqa: S608 - the columns stand above
    await connection.execute(make, *row.values())
    answer = [
        (found["instance_id"], found["is_turn"], found["has_news"])
        for found in await connection.fetch(statements.load()[name], OWNER, *arguments)
    ]
    left: list[object] = [answer]
    for table in ("table instances", "table history", "table inbox", "table tasks"):
        left += [dict(found) for found in await connection.fetch(table)]
    await transaction.rollback()
    await connection.close()
    return left


@pytest.mark.parametrize("born", [BORN, None], ids=["born then", "whenever born"])
@pytest.mark.parametrize("status", SAYS)
@pytest.mark.parametrize("kind", ROWS)
async def test_it_does_what_the_statement_of_many_does(
    dsn: str, kind: str, status: str, born: datetime.datetime | None
) -> None:
    """The same answer, the same rows, for every state that an instance may be in."""
    row, says = ROWS[kind], SAYS[status]
    turn = 0 if kind == "first" else 3
    document = {
        "instance_id": "one",
        "execution": 2,
        "turn": turn,
        "at": AT.isoformat(),
        "phase": "Running",
        "version": "1.2.0",
        "custom_status": 1 if says else None,
        "buffered": 5,
        "created_at": born.isoformat() if born else None,
    }
    payloads = [says] if says else []

    alone = await _committed(dsn, row, "commit_turn", "one", turn, 2, AT, "1.2.0", born, says, 5, b"body")
    whole = await _committed(dsn, row, "commit_turns", json.dumps([document]), [b"body"], payloads)

    assert alone == whole
    is_accepted = kind in ACCEPTED or (kind == "made later" and born is None)
    assert alone[0] == ([("one", True, "wake_at" in row)] if is_accepted else [])
    assert len(alone) == 2 + is_accepted
