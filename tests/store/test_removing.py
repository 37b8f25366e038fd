"""Removing instances and old executions: whole trees or nothing, and never what is still needed."""

from __future__ import annotations

import asyncio
import datetime
import uuid

import asyncpg
import pytest

from perdure import errors
from perdure._store import removal
from perdure._store.store import Store
from perdure.client import Client, InstanceFilter
from tests.store.desk import Desk

DAY = 86_400.0
BELONGINGS = """
    select 'history' as kind from history union all select 'inbox' from inbox
    union all select 'tasks' from tasks union all select 'signal_keys' from signal_keys
"""


async def furnish(desk: Desk, *instance_ids: str) -> None:
    """Give instances a row of everything that can belong to one."""
    for instance_id in instance_ids:
        await desk.client.send_signal(instance_id, "go", dedupe_key="one")
        await desk.fetch("insert into history values ($1, 1, 0, now(), '{}')", instance_id)
        await desk.fetch("insert into tasks (instance_id, execution, seq) values ($1, 1, 1)", instance_id)


async def show(desk: Desk, instance_id: str, *, is_gone: bool = False) -> None:
    """Let a resource of the cluster show an instance."""
    await desk.fetch(
        "insert into resources (uid, namespace, name, generation, spec, run, instance_id, gone_at) "
        "values ($1, 'shop', $2, 1, '{}', 1, $2, case when $3 then now() end)",
        uuid.uuid4(),
        instance_id,
        is_gone,
    )


async def happens(desk: Desk, what: str) -> None:
    """Wait until a connection to this database is so."""
    async with asyncio.timeout(120):
        while not await desk.fetch(f"select 1 from pg_stat_activity where datname = current_database() and {what}"):  # noqa: ASYNC110, S608 - it happens in the database
            await asyncio.sleep(0.01)


async def family(desk: Desk) -> None:
    """Make a tree of three generations: root, middle, leaf-1 and leaf-2; all have ended."""
    await desk.start("root")
    await desk.child("root", "middle")
    await desk.child("middle", "leaf-1", "leaf-2")
    await furnish(desk, "root", "middle", "leaf-1", "leaf-2")
    await desk.ended("root", "middle", "leaf-1", "leaf-2")


async def test_an_instance_is_removed_with_all_that_belongs_to_it(desk: Desk) -> None:
    """History, messages, tasks and keys go; those of others stay; its id may be used again."""
    await desk.start("a", "b")
    await furnish(desk, "a", "b")
    await desk.ended("a")

    count = await desk.client.delete_instance("a")
    again = await desk.client.start_orchestration("a", "other", {"new": True})

    assert (count, again.created) == (1, True)
    assert sorted(row["kind"] for row in await desk.fetch(BELONGINGS)) == ["history", "inbox", "signal_keys", "tasks"]
    assert await desk.client.send_signal("a", "go", dedupe_key="one") == "Sent"


async def test_a_tree_is_removed_at_once(desk: Desk) -> None:
    """An instance goes with its children and theirs, over three generations, in one statement."""
    await family(desk)
    await desk.start("stranger")

    count = await desk.client.delete_instance("root")

    assert (count, await desk.ids()) == (4, {"stranger"})
    assert await desk.fetch(BELONGINGS) == []


@pytest.mark.parametrize("force", [False, True])
async def test_a_child_is_removed_with_its_parent_only(desk: Desk, *, force: bool) -> None:
    """A parent may wait for it, or show it: alone it stays, forced or not."""
    await family(desk)

    with pytest.raises(errors.InstanceNotRemovableError, match="parent") as raised:
        await desk.client.delete_instance("middle", force=force)

    assert (raised.value.reason, len(await desk.ids())) == ("HasParent", 4)


async def test_what_runs_is_not_removed_unless_forced(desk: Desk) -> None:
    """Something far below that still runs keeps the whole tree; forced, all goes, whoever owns it."""
    await family(desk)
    await desk.fetch("update instances set phase = 'Running', finished_at = null where instance_id = 'leaf-2'")
    await desk.claimed("leaf-2")

    with pytest.raises(errors.InstanceNotRemovableError, match="has not ended") as raised:
        await desk.client.delete_instance("root")
    kept = await desk.ids()
    await desk.client.delete_instance("root", force=True)

    assert (raised.value.reason, len(kept)) == ("Running", 4)
    assert await desk.ids() == set()


async def test_what_a_resource_shows_is_not_removed_unless_forced(desk: Desk) -> None:
    """The resource would show nothing; one that is gone from the cluster keeps nobody."""
    await desk.start("a", "b")
    await desk.ended("a", "b")
    await show(desk, "a")
    await show(desk, "b", is_gone=True)

    with pytest.raises(errors.InstanceNotRemovableError, match="resource"):
        await desk.client.delete_instance("a")
    await desk.client.delete_instance("b")
    await desk.client.delete_instance("a", force=True)

    assert await desk.ids() == set()


async def test_a_child_that_is_made_meanwhile_is_found(desk: Desk) -> None:
    """A turn that commits while the removal waits for its row may have made a child: the tree is looked at anew."""
    await desk.start("root")
    worker_id = await desk.claimed("root")
    owner = await asyncpg.connect(desk.dsn)
    turn = owner.transaction()
    await turn.start()
    await owner.execute("update instances set turn = turn + 1 where instance_id = 'root' and owner_id = $1", worker_id)
    await owner.execute(
        "insert into instances (instance_id, name, input, parent_id, parent_execution, parent_seq, wake_at) "
        "values ('child', 'flow', 'null', 'root', 1, 1, now())"
    )

    removing = asyncio.create_task(desk.client.delete_instance("root", force=True))
    await happens(desk, "wait_event_type = 'Lock'")
    await turn.commit()
    count = await removing

    await owner.close()
    assert (count, await desk.ids()) == (2, set())


async def test_what_is_not_there_cannot_be_removed(desk: Desk) -> None:
    """An unknown id is an error."""
    with pytest.raises(errors.InstanceNotFoundError):
        await desk.client.delete_instance("nobody")


async def test_whoever_waits_for_a_removed_instance_hears_of_it(desk: Desk) -> None:
    """Its end will never come: the wait ends with the error of an unknown id."""
    await desk.start("a")
    async with await Client.connect(desk.dsn) as other:
        waiting = asyncio.create_task(other.wait_for_orchestration("a", 30))
        await happens(desk, "query ilike 'listen%perdure_finished%'")
        await desk.client.delete_instance("a", force=True)

        with pytest.raises(errors.InstanceNotFoundError):
            await waiting


async def test_many_are_removed_by_filter_age_and_limit(desk: Desk) -> None:
    """All three bound it: the filter, the end before a moment, and the number of trees, the oldest first."""
    await desk.start("a-1", "a-2", "a-3", "a-4", "b-1")
    await desk.ended("a-1", "b-1", seconds_ago=10 * DAY)
    await desk.ended("a-2", seconds_ago=9 * DAY)
    await desk.ended("a-3", seconds_ago=8 * DAY)
    await desk.ended("a-4", seconds_ago=1 * DAY)
    week_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=7)

    count = await desk.client.delete_instances(InstanceFilter(id_prefix="a-"), finished_before=week_ago, limit=2)

    assert (count, await desk.ids()) == (2, {"a-3", "a-4", "b-1"})
    assert await desk.client.delete_instances(InstanceFilter(ids=["a-3", "a-4"]), finished_before=week_ago) == 1


async def test_bulk_removal_skips_what_is_needed(desk: Desk) -> None:
    """What runs, what has something running below, what a resource shows, and children of what stays."""
    await desk.start("done", "runs", "parent", "shown")
    await desk.child("parent", "child")
    await desk.ended("done", "parent", "shown")
    await show(desk, "shown")
    await desk.child("runs", "ended-child")
    await desk.ended("ended-child")

    count = await desk.client.delete_instances()

    assert (count, await desk.ids()) == (1, {"runs", "parent", "child", "shown", "ended-child"})


async def test_an_empty_list_of_ids_removes_nothing(desk: Desk) -> None:
    """None means all, an empty list means none: a program that found nothing must not remove everything."""
    await desk.start("a")
    await desk.ended("a")

    assert await desk.client.delete_instances(InstanceFilter(ids=[])) == 0
    assert await desk.client.cancel_instances(InstanceFilter(ids=[])) == 0


async def test_more_than_a_portion_is_removed(desk: Desk) -> None:
    """Large numbers go in portions, up to the limit."""
    ids = [f"i-{number:04}" for number in range(1_201)]
    await desk.start(*ids)
    await desk.ended(*ids)

    first = await desk.client.delete_instances(limit=1_100)
    rest = await desk.client.delete_instances(limit=1_100)

    assert (first, rest, await desk.ids()) == (1_100, 101, set())


async def continued(desk: Desk, instance_id: str, executions: int) -> None:
    """Let an instance have lived so often, a day each, two turns each, up to now."""
    await desk.start(instance_id)
    await desk.asleep(instance_id)
    await desk.fetch("update instances set execution = $2 where instance_id = $1", instance_id, executions)
    await desk.fetch(
        "insert into history select $1, e, 2 * e + t, now() - make_interval(days => $2 - e), '{}' "
        "from generate_series(1, $2) as e, generate_series(0, 1) as t",
        instance_id,
        executions,
    )


async def executions(desk: Desk, instance_id: str) -> list[int]:
    """Name the executions whose history is there."""
    return [each.execution for each in await desk.client.list_executions(instance_id)]


@pytest.mark.parametrize(("keep", "left"), [(None, [5]), (0, [5]), (1, [5]), (2, [4, 5]), (9, [1, 2, 3, 4, 5])])
async def test_pruning_keeps_the_last_executions(desk: Desk, keep: int | None, left: list[int]) -> None:
    """Of a running instance the current execution always stays: to keep none, one or nothing said is the same."""
    await continued(desk, "a", 5)

    count = await desk.client.prune(keep_executions=keep)

    assert (count, await executions(desk, "a")) == (5 - len(left), left)


async def test_pruning_by_age_reads_when_an_execution_ended(desk: Desk) -> None:
    """An execution that continued as new long ago goes, however long its instance still runs."""
    await continued(desk, "a", 5)
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2, hours=12)

    count = await desk.client.prune(finished_before=before)

    assert (count, await executions(desk, "a")) == (2, [3, 4, 5])


async def test_pruning_is_bounded(desk: Desk) -> None:
    """By ids and by a limit, over many instances."""
    await continued(desk, "a", 5)
    await continued(desk, "b", 5)
    await continued(desk, "c", 1)

    some = await desk.client.prune(ids=["a", "c"])
    none = await desk.client.prune(ids=[])
    few = await desk.client.prune(limit=3)

    assert (some, none, few) == (4, 0, 3)
    assert len(await executions(desk, "b")) == 2


async def test_a_policy_removes_by_age_in_portions(desk: Desk) -> None:
    """What a worker does by itself: finished trees past their time go, and messages that nobody can take in."""
    await family(desk)
    await desk.start("young", "runs")
    await desk.ended("root", "middle", "leaf-1", "leaf-2", seconds_ago=8 * DAY)
    await desk.ended("young", seconds_ago=6 * DAY)
    await desk.client.send_signal("runs", "go")
    await desk.fetch("insert into inbox (instance_id, kind, payload) values ('young', 'Signal', '{}')")
    await desk.fetch("insert into inbox (instance_id, kind, payload) values ('nobody', 'Signal', '{}')")
    store = await Store.open(desk.dsn)

    gone = await removal.retire(store, older_than_seconds=7 * DAY)
    again = await removal.retire(store, older_than_seconds=7 * DAY)

    await store.close()
    assert (gone, again, await desk.ids()) == (1, 0, {"young", "runs"})
    assert [row["instance_id"] for row in await desk.fetch("select instance_id from inbox")] == ["runs"]


async def test_a_policy_prunes_executions(desk: Desk) -> None:
    """Old executions go by age, but as many stay as the policy says, and the current one in any case."""
    await continued(desk, "a", 9)
    store = await Store.open(desk.dsn)

    gone = await removal.prune(store, keep=2, older_than_seconds=4.5 * DAY)

    await store.close()
    assert (gone, await executions(desk, "a")) == (4, [5, 6, 7, 8, 9])
