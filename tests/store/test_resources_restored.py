"""What is known of resources when the API server has them in an older state: it was restored from a backup.

Against a real Postgres, through `Resources` alone. The cast is one namespace, `shop`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from perdure._store import connect
from perdure._store.resources import Known, Resources, Seen, Wrote


@pytest.fixture
async def shown(dsn: str) -> AsyncIterator[tuple[Resources, UUID]]:
    """Give a resource whose run has ended, which version 50 of it shows."""
    pool = await connect.create_pool(dsn)
    resources, uid = Resources(pool), uuid4()
    await resources.ingest([seen(uid)])
    await pool.execute("update instances set phase = 'Completed', finished_at = now(), wake_at = null")
    write = Wrote(uid, b"{}", turn=0, phase="Completed", generation=1, resource_version=50, is_final=True)
    await resources.remember([write])
    yield resources, uid
    await pool.close()


def seen(uid: UUID) -> Seen:
    """Give a sight of it."""
    return Seen(uid, "shop", "db", 1, b"{}", orchestration="greet")


async def test_a_status_that_is_older_than_the_one_written_is_written_again(shown: tuple[Resources, UUID]) -> None:
    """Once: what was written is forgotten then, and the next write counts with the version that it gets."""
    resources, uid = shown
    known = await resources.known([])

    same = await resources.restored({uid: 50})
    settled = await resources.stale([])
    older = await resources.restored({uid: 40})
    again = await resources.restored({uid: 40})

    assert known == {uid: Known("shop", "db", 1, deleting=False, resource_version=50)}
    assert (same, settled, again) == ({}, [], {})
    assert older == {uid: Known("shop", "db", 1, deleting=False)}
    assert await resources.stale([]) == [uid]
    write = Wrote(uid, b"{}", turn=0, phase="Completed", generation=1, resource_version=41, is_final=True)
    assert await resources.remember([write]) == set()
    assert await resources.stale([]) == []


async def test_what_was_gone_is_back_with_the_run_that_it_had(shown: tuple[Resources, UUID]) -> None:
    """No sight brings it back, a read after its end does; nothing is run again."""
    resources, uid = shown
    await resources.ingest([Seen(uid, "shop", "db", gone=True)])
    late = await resources.ingest([seen(uid)])

    back = await resources.restored({uid: 40, uuid4(): 40})
    news = await resources.ingest([seen(uid)])

    assert (late, {*back}) == ([], {uid})
    assert [one.starts for one in news] in ([], [False])
    [fact] = await resources.facts([uid])
    assert (fact.instance_id, fact.phase, fact.status_resource_version) == ("shop/db:1", "Completed", None)
