"""How Postgres carries statements out: by key, whatever the tables looked like when a plan was made.

A plan is made once a connection and kept. Both states that mislead the planner stand here: tables that nobody has
analysed, and full ones beside such as were empty when they were analysed.
"""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from perdure._store import connect, statements

BIG = ("instances", "history", "inbox", "tasks")
WHOLE_BY_DESIGN = {
    "hold_retry",  # when a worker comes or goes
    "instance_count",  # somebody wants to know how many there are
    "keys_in_use",  # somebody wants to throw a key away
    "queue_list",  # somebody looks at the queues
    "stranded",  # the checker of I5
}
OF_EVERY_TURN = {
    *(name for name in statements.load() if name.startswith("commit_turn")),
    *("children_lost", "claim", "history_load", "inbox_keep", "inbox_load", "instance_finished", "instance_get"),
    *("instance_start", "instances_wake", "owned", "release", "resume_held", "signal_send"),
    *("tasks_count_loss", "tasks_due", "tasks_load", "tasks_note", "tasks_record_failure", "turns_where"),
}
"""What workers and clients run for each turn, start, signal or activity, many at once."""
MANY = 5_000
VALUES: dict[str, Callable[[int], object]] = {
    "bool": lambda _: False,
    "bytea": lambda _: b"{}",
    "float8": lambda _: 1.0,
    "int4": lambda number: number % 100,
    "int8": lambda number: number,
    "json": lambda _: "[]",
    "text": lambda number: f"run-{number}",
    "timestamptz": lambda _: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "uuid": lambda number: uuid.UUID(int=number),
}
"""A value of each type that statements take, by its name in Postgres."""
READS_A_TABLE = re.compile(rf"(?:Seq Scan on (?:{'|'.join(BIG)})\b|Hash (?!Aggregate)\w*|Merge \w*)")
READS_AN_INDEX = re.compile(rf"Index (?:Only )?Scan using \S+ on (?:{'|'.join(BIG)})\b.*\n(?!Index Cond)")
FILL = """
    insert into instances (instance_id, name, version, phase, turn, input, started_at, finished_at)
    select format('run-%s', n), 'chain', '1', 'Completed', 6, '{}', now(), now() from generate_series(1, 5000) as n;
    insert into instances (instance_id, name, version, phase, input, wake_at)
    select format('due-%s', n), 'chain', '1', 'Pending', '{}', now() from generate_series(1, 1000) as n;
    insert into history (instance_id, execution, turn, at, body)
    select instance_id, 1, number, now(), '{}'
    from instances, generate_series(0, 5) as number where phase = 'Completed';
"""


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[connect.Connection]:
    """Lend a connection as the store makes them, on a database that was never analysed."""
    made = await connect.dedicated(dsn)
    yield made
    await made.close()


@pytest.fixture(params=["fresh", "full"])
async def either(connection: connect.Connection, request: pytest.FixtureRequest) -> connect.Connection:
    """Lend the connection twice: on fresh tables, and on full ones that were analysed."""
    if request.param == "full":
        await connection.execute(FILL)
        await connection.execute("vacuum (analyze)")
    return connection


async def plan_of(connection: connect.Connection, name: str) -> list[str]:
    """Give the plan of a statement that is used for all arguments, line by line."""
    return [row[0].strip() for row in await explained(connection, name, "format text")]


async def explained(connection: connect.Connection, name: str, options: str) -> list[asyncpg.Record]:
    """Have Postgres explain the plan of a statement that is used for all arguments."""
    text = statements.load()[name]
    count = max((int(number) for number in re.findall(r"\$(\d+)", text)), default=0)
    arguments = f"({', '.join(['null'] * count)})" if count else ""
    await connection.execute("set plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare looked_at as {text}")
    try:
        return await connection.fetch(f"explain ({options}) execute looked_at{arguments}")
    finally:
        await connection.execute("deallocate looked_at")


async def plan_for_many(connection: connect.Connection, name: str) -> list[str]:
    """Give the plan that a statement gets when it is given thousands at once."""
    text = statements.load()[name]
    arguments = [
        [VALUES[kind.name.removesuffix("[]")](number) for number in range(MANY)]
        if kind.kind == "array"
        else VALUES[kind.name](1)
        for kind in (await connection.prepare(text)).get_parameters()
    ]
    return [row[0].strip().removeprefix("->  ") for row in await connection.fetch(f"explain {text}", *arguments)]


async def end_to_end(connection: connect.Connection) -> dict[str, list[str]]:
    """Find the statements of every turn that go through an index, or a table, from end to end."""
    found = {}
    for name in OF_EVERY_TURN:
        kept = [line.removeprefix("->  ") for line in await plan_of(connection, name)]
        plans = "\n".join([*kept, *await plan_for_many(connection, name)])
        found[name] = [*READS_AN_INDEX.findall(plans), *READS_A_TABLE.findall(plans)]
    return {name: lines for name, lines in found.items() if lines}


def compared(node: dict[str, Any]) -> Iterator[str]:
    """Find where a plan compares each row of one side with each of a big table's instead of looking it up."""
    inner = node.get("Plans", [])
    for plan in inner:
        yield from compared(plan)
    if "instance_id = " in node.get("Join Filter", ""):
        right = inner[1]["Plans"][0] if inner[1]["Node Type"] == "Materialize" else inner[1]
        if right.get("Relation Name") in BIG and "instance_id" not in right.get("Index Cond", ""):
            yield node["Join Filter"]


async def readers(connection: connect.Connection) -> dict[str, list[str]]:
    """Find the statements that read a big table whole, or hash or merge what they could look up."""
    found = {}
    for name in set(statements.load()) - WHOLE_BY_DESIGN:
        if not name.startswith("migrations_"):
            found[name] = [line for line in await plan_of(connection, name) if READS_A_TABLE.search(line)]
    return {name: lines for name, lines in found.items() if lines}


async def test_no_plan_made_on_fresh_tables_reads_them_whole(connection: connect.Connection) -> None:
    """The first worker of an installation plans on empty tables, and may live until they have a million rows."""
    assert await readers(connection) == {}


async def test_no_plan_made_on_full_tables_reads_them_whole(connection: connect.Connection) -> None:
    """Analysed tables, of which inbox and tasks are empty as nearly always, until a burst fills them."""
    await connection.execute(FILL)
    await connection.execute("vacuum (analyze)")

    found = await readers(connection)

    assert found == {}


async def test_what_is_run_for_every_turn_enters_an_index_with_a_key(either: connect.Connection) -> None:
    """Few rows that are believed to match, or to be there, do not make it look at all of them in an index's order."""
    assert await end_to_end(either) == {}


async def test_nothing_is_compared_with_each_row_of_a_big_table(either: connect.Connection) -> None:
    """An index that is small while the plan is made has what is sought, too, and must not be read once for each."""
    found = {}
    for name in statements.load():
        if not name.startswith("migrations_"):
            [(plan,)] = await explained(either, name, "format json")
            found[name] = list(compared(json.loads(plan)[0]["Plan"]))

    assert {name: filters for name, filters in found.items() if filters} == {}


async def test_without_the_settings_of_the_store_plans_do_read_whole_tables(dsn: str) -> None:
    """The settings are what it takes: a plain connection plans as this page says it must not."""
    plain = await asyncpg.connect(dsn)
    await plain.execute(FILL)
    await plain.execute("vacuum (analyze)")

    found = await readers(plain)

    await plain.close()
    assert "commit_turns" in found
