"""A database that was lost, or restored from an older backup: what resources show of their runs is not run again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from perdure._store import connect, starts
from perdure._store.resources import Earlier, News, Policies, Resources, Seen

UID, OTHER = UUID(int=1), UUID(int=2)
OVER = Earlier(3, "shop/db:3", is_over=True, status=b'{"phase":"Completed","instanceId":"shop/db:3"}')
OPEN = Earlier(3, "shop/db:3", is_over=False, status=b"")


@pytest.fixture
async def resources(dsn: str) -> AsyncIterator[Resources]:
    """Give what is left of a database: its schema."""
    pool = await connect.create_pool(dsn)
    yield Resources(pool)
    await pool.close()


def seen(earlier: Earlier | None, *, request: str = "a", generation: int = 1, **changes: Any) -> Seen:
    """Give a sight of a resource whose status says something of an earlier life."""
    usual: dict[str, Any] = {"uid": UID, "spec": request.encode(), "orchestration": "greet", "request": request}
    return Seen(namespace="shop", name="db", generation=generation, earlier=earlier, **(usual | changes))


async def ingest(resources: Resources, *sights: Seen) -> list[News]:
    """Take these in, one after the other, each twice: the second time brings no news."""
    news = []
    for sight in sights:
        news += await resources.ingest([sight])
        assert await resources.ingest([sight]) == []
    return news


async def runs(resources: Resources) -> list[str]:
    """Give the ids of all runs."""
    return [row["instance_id"] for row in await resources._pool.fetch("select instance_id from instances order by 1")]  # noqa: SLF001 - looks behind its back


async def test_a_run_that_is_over_is_adopted_with_its_status(resources: Resources) -> None:
    """Nothing runs; the status stays what it is, and what it says of the resource's run is remembered."""
    news = await ingest(resources, seen(OVER))
    [fact] = await resources.facts([UID])

    assert [(one.instance_id, one.starts) for one in news] == [("shop/db:3", False)]
    assert (fact.instance_id, fact.is_archived, fact.status, fact.phase) == ("shop/db:3", True, OVER.status, None)
    assert await runs(resources) == []


async def test_a_run_that_was_open_is_missing_and_not_begun_again(resources: Resources) -> None:
    """Nobody knows how far it came: whoever looks at the resource is told, and decides."""
    news = await ingest(resources, seen(OPEN))
    [fact] = await resources.facts([UID])

    assert [(one.instance_id, one.starts) for one in news] == [("shop/db:3", False)]
    assert (fact.instance_id, fact.is_archived, fact.phase) == ("shop/db:3", False, None)
    assert await runs(resources) == []


@pytest.mark.parametrize("earlier", [OVER, OPEN])
async def test_its_number_is_never_used_again(resources: Resources, earlier: Earlier) -> None:
    """A resource of that name that is created anew gets the next one, also when both are seen at once."""
    await ingest(resources, seen(earlier))
    await ingest(resources, seen(None, uid=OTHER))

    assert await runs(resources) == ["shop/db:4"]


async def test_its_number_is_not_used_by_who_comes_in_the_same_batch(resources: Resources) -> None:
    """The order of arrival counts within a batch."""
    await resources.ingest([seen(OVER), seen(None, uid=OTHER)])

    assert await runs(resources) == ["shop/db:4"]


@pytest.mark.parametrize("first", [{"refusal": b"{}"}, {"deleting": True}])
async def test_its_number_is_not_used_again_when_it_is_refused_or_leaves(
    resources: Resources, first: dict[str, Any]
) -> None:
    """There is nothing to adopt it, but what it did it has done under that number: its keys are not to be met again."""
    await ingest(resources, seen(OVER, **first))
    await ingest(resources, seen(None, uid=OTHER))

    assert await runs(resources) == ["shop/db:4"]


async def test_a_spec_that_is_put_right_after_the_accident_runs_under_the_next_number(resources: Resources) -> None:
    """It was refused when it was seen first, beside another resource of its name."""
    await resources.ingest([seen(OVER, refusal=b"{}"), seen(None, uid=OTHER)])
    await ingest(resources, seen(None, request="b", generation=2))

    assert await runs(resources) == ["shop/db:4", "shop/db:5"]


@pytest.mark.parametrize("earlier", [OVER, OPEN])
async def test_a_changed_request_runs_as_ever(resources: Resources, earlier: Earlier) -> None:
    """Somebody asks for another run after the accident, and gets it."""
    policies = Policies(rerun="OnChange")
    await resources.ingest([seen(earlier, policies=policies)])
    await resources.ingest([seen(earlier, request="b", generation=2, policies=policies)])

    assert await runs(resources) == ["shop/db:4"]


async def test_a_resource_that_is_known_has_the_run_that_the_database_knows(resources: Resources) -> None:
    """Its status may lag behind, or come from somebody who may write statuses: it decides nothing."""
    await ingest(resources, seen(None))
    news = await ingest(resources, seen(OVER, generation=2))

    assert [one.instance_id for one in news] == ["shop/db:1"]
    assert await runs(resources) == ["shop/db:1"]


async def test_a_run_that_is_still_there_goes_on_for_the_resource_that_shows_it(resources: Resources) -> None:
    """A cluster was restored with new uids, statuses and all: the resource has its run again."""
    await ingest(resources, seen(None))
    await ingest(resources, seen(Earlier(1, "shop/db:1", is_over=False, status=b""), uid=OTHER))
    [fact] = await resources.facts([OTHER])

    assert (fact.instance_id, fact.phase) == ("shop/db:1", "Pending")
    assert await runs(resources) == ["shop/db:1"]


async def test_a_run_of_an_earlier_life_needs_nothing_and_the_next_one_does(resources: Resources) -> None:
    """What it had needed may be gone for long; a changed request needs its own."""
    due = starts.Starts(resources._pool).due  # noqa: SLF001 - looks behind its back
    policies = Policies(rerun="OnChange")
    assert await due([seen(OVER, policies=policies)]) == set()

    await ingest(resources, seen(OVER, policies=policies))
    assert await due([seen(OVER, policies=policies)]) == set()
    assert await due([seen(OVER, request="b", generation=2, policies=policies)]) == {UID}
