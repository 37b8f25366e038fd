"""Every statement of the store, as a file that explains itself and as SQL that the migrated database understands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

import asyncpg
import pytest

from perdure._store import connect, snapshot, statements

QUERIES = sorted(
    file.name for file in (resources.files("perdure._store") / "queries").iterdir() if file.name.endswith(".sql")
)


def head_and_body(name: str) -> tuple[str, str]:
    """Split a query file into its head comment and the rest."""
    text = (resources.files("perdure._store") / "queries" / name).read_text("utf-8")
    head = re.match(r"(--.*\n)+", text)
    assert head is not None, f"{name} begins without a comment"
    return head.group(), text[head.end() :]


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_says_purpose_parameters_and_locks(name: str) -> None:
    """The head comment has all three, in this order, and speaks of every parameter the statement takes."""
    head, body = head_and_body(name)

    words = re.findall(r"^-- (Purpose|Parameters|Locks)\b", head, re.MULTILINE)
    taken = max((int(number) for number in re.findall(r"\$(\d+)", body)), default=0)
    ranges = [range(int(a), int(b) + 1) for a, b in re.findall(r"\$(\d+)-\$(\d+)", head)]
    named = {int(number) for number in re.findall(r"\$(\d+)", head)} | {n for span in ranges for n in span}

    assert words == ["Purpose", "Parameters", "Locks"]
    assert set(range(1, taken + 1)) <= named


async def test_every_statement_is_understood_by_a_migrated_database(dsn: str) -> None:
    """Each one can be prepared: its tables, columns and types are those that the migrations make."""
    connection = await connect.dedicated(dsn)
    refused = {}

    for name, text in statements.load().items():
        try:
            await connection.prepare(text)
        except asyncpg.PostgresError as failure:
            refused[name] = str(failure)

    await connection.close()
    assert refused == {}


def test_a_statement_is_an_item_and_an_attribute_and_begins_with_its_name() -> None:
    """`load()` gives the same texts by both ways; the name on top is what `pg_stat_activity` shows."""
    sql = statements.load()

    assert sql.migrations_lock == sql["migrations_lock"]
    assert sql.migrations_lock == "-- migrations_lock.sql\nselect pg_advisory_xact_lock($1)"
    assert {f"{name}.sql" for name in sql if "_without_" not in name} == set(QUERIES)


ASKS = ("into instances", "into inbox", "into tasks")
CLEANUP = ("delete from inbox\n    where message_id", "delete from tasks t", "delete from history")


@pytest.mark.parametrize(
    ("left_out", "lacks"), [("asks", ASKS), ("cleanup", CLEANUP), ("asks_cleanup", (*ASKS, *CLEANUP))]
)
def test_a_commit_can_do_without_parts_of_it(left_out: str, lacks: Sequence[str]) -> None:
    """What is left is of the same file, takes the same arguments, and lacks these parts and nothing else."""
    sql = statements.load()
    whole, shorter = sql["commit_turns"], sql[f"commit_turns_without_{left_out}"]
    cut = iter(whole.splitlines())

    assert whole.splitlines()[0] == shorter.splitlines()[0] == "-- commit_turns.sql"
    assert all(line in cut for line in shorter.splitlines())
    assert {name for name in sql if name.startswith("commit_turns_without_")} == {
        f"commit_turns_without_{parts}" for parts in ("asks", "cleanup", "asks_cleanup")
    }
    assert [words for words in (*ASKS, *CLEANUP) if words in whole and words not in shorter] == [*lacks]
    assert sql.payloads[f"commit_turns_without_{left_out}"] == sql.payloads["commit_turns"]
    assert {"$1", "$2", "$3", "$4"} == set(re.findall(r"\$\d+", shorter)) == set(re.findall(r"\$\d+", whole))


def test_an_unknown_statement_is_named() -> None:
    """A wrong name fails with the file that is missing and those that are there."""
    with pytest.raises(AttributeError, match=r"no queries/claims\.sql; there are: .*migrations_lock"):
        _ = statements.load().claims


def test_the_schema_page_is_what_the_migrations_make(dsn: str) -> None:
    """`schema.sql` is generated: `make schema` would change nothing."""
    assert snapshot.FILE.read_text(encoding="utf-8") == snapshot.render(dsn)
