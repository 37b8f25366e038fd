"""Payloads on their way into the database and out of it: sealed where there is a key, readable of whatever kind."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from importlib import resources as files
from uuid import uuid4

import pytest

from perdure import errors
from perdure._core.codec import Codec, is_sealed, key_id_of
from perdure._store import connect, statements
from perdure._store.resources import Policies, Resources, Seen, Wrote
from perdure._store.sealing import COLUMNS
from perdure._store.store import Store
from perdure.client import Client
from perdure.encryption import EncryptionCodec

OLD = EncryptionCodec({"old": b"o" * 32})
NEW = EncryptionCodec({"new": b"n" * 32, "old": b"o" * 32})
PLAIN = {"resource_apply": {1, 2}, "schedule_ingest": {4}, "schedule_shown": {1}}
"""Which arguments are bytes and stand in the database as they are."""
OTHER = EncryptionCodec({"other": b"x" * 32})


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[connect.Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


def store(pool: connect.Pool, codec: Codec | None = None) -> Store:
    """Give a store of this codec."""
    return Store(pool, "unused", codec)


async def start(store: Store, instance_id: str, input: str) -> None:
    """Start an instance, as a client does."""
    await Client(store).start_orchestration(instance_id, "greet", input)


async def inputs(store: Store, *instance_ids: str) -> list[bytes]:
    """Read the inputs of instances."""
    rows = {row["instance_id"]: row for row in await store.fetch("instance_get", list(instance_ids))}
    return [rows[instance_id]["input"] for instance_id in instance_ids]


async def stored(pool: connect.Pool) -> bytes:
    """Give the input of instance a as it stands in the table."""
    value: bytes = await pool.fetchval("select input from instances where instance_id = 'a'")
    return value


async def test_a_payload_is_sealed_in_the_table_and_whole_above(pool: connect.Pool) -> None:
    """Whoever reads through the store notices nothing; whoever reads the table reads nothing."""
    await start(store(pool, OLD), "a", "hush")

    assert await inputs(store(pool, OLD), "a") == [b'"hush"']
    assert b"hush" not in await stored(pool)


async def test_plain_and_sealed_rows_stand_side_by_side(pool: connect.Pool) -> None:
    """Encryption is switched on, and keys are changed, without rewriting what is there."""
    for codec, instance_id in ((None, "a"), (OLD, "b"), (NEW, "c")):
        await start(store(pool, codec), instance_id, instance_id)

    assert await inputs(store(pool, NEW), "a", "b", "c") == [b'"a"', b'"b"', b'"c"']
    assert not is_sealed(await stored(pool))


async def test_one_payload_that_cannot_be_opened_is_the_trouble_of_its_row(pool: connect.Pool) -> None:
    """The other rows of the statement are read, and of that one everything but the payload."""
    await start(store(pool, NEW), "a", "hush")
    await pool.execute("insert into instances (instance_id, name, input) values ('b', 'greet', '2')")

    rows = {row["instance_id"]: row for row in await store(pool, OTHER).fetch("instance_get", ["a", "b"])}

    assert (rows["b"]["input"], rows["a"]["name"], rows["a"]["output"]) == (b"2", "greet", None)
    with pytest.raises(errors.EncryptionKeyMissingError, match=r"'new'.*'other'"):
        rows["a"]["input"]


async def test_a_process_without_keys_says_which_one_it_needs(pool: connect.Pool) -> None:
    """What is sealed is never taken for JSON."""
    await start(store(pool, OLD), "a", "hush")

    with pytest.raises(errors.EncryptionKeyMissingError, match="'old'"):
        await inputs(store(pool), "a")


async def test_the_same_request_is_known_again_under_whatever_key(pool: connect.Pool) -> None:
    """What is compared are payloads, not what stands in the table: that is never the same twice."""
    await start(store(pool, OLD), "a", "hush")

    again = await Client(store(pool, NEW)).start_orchestration("a", "greet", "hush")
    with pytest.raises(errors.InstanceConflictError):
        await start(store(pool, NEW), "a", "loud")

    assert not again.created


async def test_an_opened_row_is_used_like_any_other(pool: connect.Pool) -> None:
    """By name, by place, in order, and as keyword arguments."""
    await start(store(pool, OLD), "a", "hush")

    [row] = await store(pool, OLD).fetch("instance_get", ["a"])

    assert dict(row)["input"] == row["input"] == b'"hush"'
    assert list(row)[list(row.keys()).index("input")] == b'"hush"'
    assert (row[0], len(row)) == ("a", len(list(row.keys())))


# --- resources -------------------------------------------------------------------------------------------------------


async def test_a_run_of_a_resource_is_sealed_but_for_what_the_api_server_shows(pool: connect.Pool) -> None:
    """The input that the run gets and the status that is remembered are payloads; the spec is compared, and stays."""
    resources, uid = Resources(pool, store(pool, OLD).sealing), uuid4()
    seen = Seen(uid, "shop", "db", 1, spec=b'{"input":"shown"}', orchestration="greet", input=b'"hush"')

    await resources.ingest([seen])
    repeated = await resources.ingest([seen])
    await resources.remember([Wrote(uid, b'{"output":"hush"}', 0, "Pending", 1, 7, is_final=False)])
    [fact] = await resources.facts([uid])

    assert repeated == []
    assert fact.status == b'{"output":"hush"}'
    row = await pool.fetchrow("select spec, status, input from resources join instances using (instance_id)")
    assert row is not None
    assert row["spec"] == b'{"input":"shown"}'
    assert (key_id_of(row["status"]), key_id_of(row["input"])) == ("old", "old")


async def test_what_of_a_run_cannot_be_opened_is_told_with_its_facts(pool: connect.Pool) -> None:
    """The rest of it is shown, and so are the others."""
    uids = [uuid4(), uuid4()]
    await Resources(pool).ingest(
        [Seen(uid, "shop", name, 1, b"{}", orchestration="greet") for uid, name in zip(uids, "ab", strict=True)]
    )
    await pool.execute(
        "update instances set output = $1, error = '\"e\"' where instance_id = 'shop/a:1'", OLD.encode(b'"hush"')
    )
    await pool.execute(
        "insert into tasks (instance_id, execution, seq, last_error) values ('shop/b:1', 1, 1, $1)", b"x"
    )
    await pool.execute("insert into history values ('shop/a:1', 1, 0, now(), $1)", OLD.encode(b"{}"))
    await pool.execute("insert into history values ('shop/b:1', 1, 0, now(), '{}')")

    facts = {fact.name: fact for fact in await Resources(pool).facts(uids)}
    turns = {
        turn.instance_id: turn for turn in await Resources(pool).turns(dict.fromkeys(["shop/a:1", "shop/b:1"], (0, -1)))
    }

    assert (facts["a"].output, facts["a"].error, facts["a"].phase) == (None, b'"e"', "Pending")
    assert isinstance(facts["a"].sealed, errors.EncryptionKeyMissingError)
    assert (facts["b"].sealed, facts["b"].retries[0].last_error) == (None, b"x")
    assert isinstance(turns["shop/a:1"].sealed, errors.EncryptionKeyMissingError)
    assert (turns["shop/b:1"].sealed, turns["shop/b:1"].body) == (None, b"{}")


async def test_what_a_tombstone_keeps_and_a_run_is_told_is_sealed(pool: connect.Pool) -> None:
    """The status of a resource that its TTL removed is under a key that is still needed; so is a changed input."""
    resources, uid, again = Resources(pool, store(pool, OLD).sealing), uuid4(), uuid4()
    expiring = Policies(ttl_seconds=0)
    await resources.ingest([Seen(uid, "shop", "db", 1, b"{}", orchestration="greet", request="a", policies=expiring)])
    await pool.execute("update instances set phase = 'Completed', turn = 1, finished_at = now(), wake_at = null")
    await resources.remember(
        [Wrote(uid, b'{"hush":1}', 1, "Completed", generation=1, resource_version=1, is_final=True)]
    )
    await resources.bury(uid)
    await resources.ingest([Seen(uid, "shop", "db", gone=True)])
    await pool.execute("delete from instances; delete from resources")
    kept = {row["key_id"]: row["payloads"] for row in await pool.fetch(statements.load()["keys_in_use"])}
    told = Policies(rerun="OnChange", update="Signal")
    request = Seen(again, "shop", "db", 1, b"{}", orchestration="greet", request="a", policies=told)
    await resources.ingest([request])
    [adopted] = await resources.facts([again])
    await resources.ingest(
        [Seen(uuid4(), "shop", "other", 1, b"{}", orchestration="greet", request="a", policies=told)]
    )
    [other] = await pool.fetch("select uid from resources where name = 'other'")
    await resources.ingest(
        [Seen(other["uid"], "shop", "other", 2, b"{ }", input=b'"hush"', request="b", policies=told)]
    )

    assert kept == {"old": 1}
    assert adopted.status == b'{"hush":1}'
    assert key_id_of(await pool.fetchval("select payload from inbox where kind = 'Signal'")) == "old"


# --- statements ------------------------------------------------------------------------------------------------------


def test_every_parameter_of_bytes_is_sealed_unless_its_statement_says_why_not() -> None:
    """A statement that is added is sealed without anybody thinking of it; the exceptions are these."""
    folder = files.files("perdure._store") / "queries"
    exceptions = {
        file.name.removesuffix(".sql"): {int(number) - 1 for number in re.findall(r"\$(\d+)", line)}
        for file in folder.iterdir()
        for line in re.findall(r"^-- Plain: (.*)$", file.read_text("utf-8"), re.MULTILINE)
    }

    assert exceptions == PLAIN
    assert statements.load().payloads["resource_apply"] == {3, 4, 5, 6}
    assert statements.load().payloads["instance_cancel"] == {1}
    assert statements.load().payloads["claim"] == frozenset()
    assert statements.load().payloads["commit_turns"] == {2, 3}
    assert statements.load().payloads["commit_turn"] == {7, 9, 11, 12}


async def test_no_statement_has_bytes_under_another_name(dsn: str) -> None:
    """What Postgres takes and gives as bytes is what is known as bytes; anything else would go by unsealed."""
    connection = await connect.dedicated(dsn)
    sql = statements.load()
    unseen: dict[str, object] = {}

    for name, text in sql.items():
        prepared = await connection.prepare(text)
        taken = {at for at, kind in enumerate(prepared.get_parameters()) if "bytea" in kind.name}
        given = {column.name for column in prepared.get_attributes() if "bytea" in column.type.name}
        if left := taken - sql.payloads[name] - PLAIN.get(name, set()) | given - COLUMNS:
            unseen[name] = left

    await connection.close()
    assert unseen == {}
