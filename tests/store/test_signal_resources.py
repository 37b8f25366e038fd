"""What becomes of the signals that resources ask for: each is sent to one run or to none, whatever happens around it.

Against a real Postgres, through `SignalResources` alone; no cluster, no engine. The cast is one namespace, `shop`, an
Orchestration `db`, and signals to it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TypedDict, Unpack
from uuid import UUID, uuid4

import pytest

from perdure._core import codec, limits
from perdure._store import connect
from perdure._store.resources import Known, Resources, Seen
from perdure._store.sealing import Sealing
from perdure._store.signal_resources import Body, Due, Fate, SeenSignal, Shown, SignalResources
from perdure.encryption import EncryptionCodec

Pool = connect.Pool

MESSAGE = b'{"type":"SignalReceived","name":"approve","payload":7}'


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give connections to a fresh database."""
    pool = await connect.create_pool(dsn)
    yield pool
    await pool.close()


@pytest.fixture
def signals(pool: Pool) -> SignalResources:
    """Give the statements."""
    return SignalResources(pool)


class Changes(TypedDict, total=False):
    """What a test may say differently about a sight."""

    generation: int
    deleting: bool
    message: bytes | None
    config_map: str
    config_key: str
    ttl_seconds: int
    refusal: str
    refusal_detail: str
    created_at: datetime
    signal: str
    instead_of: int


def seen(uid: UUID, name: str = "approval", target: str = "db", **changes: Unpack[Changes]) -> SeenSignal:
    """Give the sight of a signal."""
    usual: Changes = {"generation": 1, "message": MESSAGE, "signal": "approve"}
    return SeenSignal(uid, "shop", name, target=target, **(usual | changes))


def gone(uid: UUID) -> SeenSignal:
    """Give the news that a signal is no more."""
    return SeenSignal(uid, "shop", "approval", gone=True)


async def start(pool: Pool, name: str = "db", uid: UUID | None = None) -> UUID:
    """Have an Orchestration of this name, and a run of it."""
    uid = uid or uuid4()
    one = Seen(
        uid,
        "shop",
        name,
        generation=1,
        spec=b"{}",
        orchestration="greet",
        run_as="system:serviceaccount:shop:default",
    )
    await Resources(pool).ingest([one])
    return uid


async def end(pool: Pool, uid: UUID, name: str = "db") -> None:
    """Have this Orchestration deleted."""
    await Resources(pool).ingest([Seen(uid, "shop", name, gone=True)])


async def finish(pool: Pool, instance_id: str = "shop/db:1") -> None:
    """Have a run completed."""
    await pool.execute(
        "update instances set phase = 'Completed', finished_at = now(), wake_at = null where instance_id = $1",
        instance_id,
    )


async def inbox(pool: Pool) -> list[tuple[str, object]]:
    """Read who was sent what, in order."""
    rows = await pool.fetch("select instance_id, payload from inbox where kind = 'Signal' order by message_id")
    return [(row["instance_id"], json.loads(row["payload"])["payload"]) for row in rows]


async def fate(signals: SignalResources, uid: UUID) -> Fate:
    """Try to deliver one, and give what became of it."""
    [found] = (await signals.deliver([uid])).fates
    return found


async def test_a_signal_goes_to_the_run_that_is_there(pool: Pool, signals: SignalResources) -> None:
    """It is in the inbox, its worker is woken, and the table remembers to whom it went."""
    uid = uuid4()
    await start(pool)
    [news] = await signals.ingest([seen(uid)])

    assert (news.waits, news.size_bytes) == (True, len(MESSAGE))
    assert await fate(signals, uid) == Fate(uid, "Delivered", "Delivered", instance_id="shop/db:1")
    assert await inbox(pool) == [("shop/db:1", 7)]


async def test_a_signal_that_is_there_first_waits_for_the_run(pool: Pool, signals: SignalResources) -> None:
    """It is no business of the clock until there is a run; the begin of the run finds it."""
    uid = uuid4()
    await signals.ingest([seen(uid)])
    assert await fate(signals, uid) == Fate(uid, "Pending", "RunMissing")
    assert await signals.waiting([]) == []

    await start(pool)

    assert [one.uid for one in await signals.for_runs(["shop/db:1"])] == [uid]
    assert [one.uid for one in await signals.waiting([])] == [uid]
    assert (await fate(signals, uid)).phase == "Delivered"
    assert await signals.waiting([]) == []


async def test_a_restored_backup_counts_and_sends_nothing_twice(pool: Pool, signals: SignalResources) -> None:
    """A lower generation that was read while exactly the higher one was known is the newer one; once is enough."""
    uid, leaving = uuid4(), uuid4()
    await start(pool)
    await signals.ingest([seen(uid), seen(leaving, "late")])
    assert (await fate(signals, uid)).phase == "Delivered"
    after = [seen(uid, generation=2, deleting=True), seen(leaving, "late", generation=2, deleting=True)]
    restored = [seen(uid, instead_of=2), seen(leaving, "late", instead_of=2)]
    found = []
    for batch in (after, restored, restored):
        news = await signals.ingest(batch)
        known = await signals.known([])
        found.append((len(news), [(known[one].generation, known[one].deleting) for one in (uid, leaving)]))

    assert found == [(2, [(2, True)] * 2), (2, [(1, False)] * 2), (0, [(1, False)] * 2)]
    assert [one.uid for one in await signals.waiting([])] == [leaving]
    assert (await fate(signals, leaving)).phase == "Delivered"
    assert (await signals.deliver([uid, leaving])).fates == []
    assert len(await inbox(pool)) == 2


@pytest.mark.parametrize("generation", [2, 3])
async def test_a_signal_that_is_edited_in_a_restored_api_server_is_sent(
    pool: Pool, signals: SignalResources, generation: int
) -> None:
    """It was leaving; an edit has brought its generation up to that of the deletion, or above it."""
    uid = uuid4()
    await start(pool)
    await signals.ingest([seen(uid, generation=2, deleting=True)])
    edited = seen(uid, generation=generation)

    assert [one.waits for one in await signals.ingest([edited])] == [True]

    assert (await signals.known([]))[uid] == Known("shop", "approval", generation, deleting=False)
    assert await signals.ingest([edited]) == []
    assert (await fate(signals, uid)).phase == "Delivered"


async def test_a_signal_is_sent_once_however_often_it_is_tried(pool: Pool, signals: SignalResources) -> None:
    """Seen again, tried again, by this controller and by another: nothing happens."""
    uid = uuid4()
    await start(pool)
    await signals.ingest([seen(uid)])
    await signals.deliver([uid])

    again = await signals.ingest([seen(uid)])
    round_ = await SignalResources(pool).deliver([uid])

    assert (again, round_.fates, round_.unread) == ([], [], [])
    assert await inbox(pool) == [("shop/db:1", 7)]


async def test_two_controllers_at_the_same_moment_send_once(pool: Pool) -> None:
    """Whoever comes second finds the row locked or decided."""
    uids = [uuid4() for _ in range(50)]
    await start(pool)
    controllers = [SignalResources(pool) for _ in range(3)]

    await asyncio.gather(*(one.ingest([seen(uid, f"s{uid}") for uid in uids]) for one in controllers))
    rounds = await asyncio.gather(*(one.deliver(uids) for one in controllers for _ in range(3)))

    assert sorted(fate.uid for round_ in rounds for fate in round_.fates) == sorted(uids)
    assert len(await inbox(pool)) == len(uids)


async def test_what_one_run_got_no_other_gets(pool: Pool, signals: SignalResources) -> None:
    """The run has ended, was removed with all its keys, and another of the same name has begun."""
    uid = uuid4()
    first = await start(pool)
    await signals.ingest([seen(uid)])
    await signals.deliver([uid])
    await end(pool, first)
    for table in ("inbox", "signal_keys", "instances"):
        await pool.execute(f"delete from {table}")  # noqa: S608 - names of tables, written here
    await start(pool)

    await signals.ingest([seen(uid)])
    await signals.deliver([uid])

    assert await signals.for_runs(["shop/db:2"]) == []
    assert await inbox(pool) == []


async def test_the_run_that_is_current_at_delivery_gets_it(pool: Pool, signals: SignalResources) -> None:
    """A resource that was deleted and made again has another run by then."""
    uid = uuid4()
    first = await start(pool)
    await signals.ingest([seen(uid)])
    await end(pool, first)
    await start(pool)

    assert (await fate(signals, uid)).instance_id == "shop/db:2"


async def test_a_finished_run_takes_none(pool: Pool, signals: SignalResources) -> None:
    """It fails for good, also when a later run begins."""
    uid = uuid4()
    first = await start(pool)
    await finish(pool)
    await signals.ingest([seen(uid)])

    assert await fate(signals, uid) == Fate(uid, "Failed", "RunFinished", instance_id="shop/db:1")
    await end(pool, first)
    await start(pool)
    assert (await signals.deliver([uid])).fates == []
    assert await inbox(pool) == []


async def test_a_finished_run_that_another_follows_is_not_the_one_meant(pool: Pool, signals: SignalResources) -> None:
    """The request was changed, and the next run begins in a moment: the signal is for that one."""
    uid = uuid4()
    await start(pool)
    await finish(pool)
    await pool.execute("update resources set waiting = 'AfterCurrentRun'")
    await signals.ingest([seen(uid)])

    assert await fate(signals, uid) == Fate(uid, "Pending", "RunMissing")


async def test_a_run_that_was_removed_takes_none(pool: Pool, signals: SignalResources) -> None:
    """Its history was too old to be kept; the resource is still there."""
    uid = uuid4()
    await start(pool)
    await finish(pool)
    await pool.execute("delete from instances")
    await signals.ingest([seen(uid)])

    assert await fate(signals, uid) == Fate(uid, "Failed", "RunRemoved", instance_id="shop/db:1")


async def test_a_suspended_run_takes_it(pool: Pool, signals: SignalResources) -> None:
    """A pause keeps code from running, not messages from arriving."""
    uid = uuid4()
    await start(pool)
    await pool.execute("update instances set is_suspended = true, phase = 'Suspended'")
    await signals.ingest([seen(uid)])

    assert (await fate(signals, uid)).phase == "Delivered"


@pytest.mark.parametrize("how", ["gone", "deleting"])
async def test_a_signal_that_is_deleted_before_is_not_sent(pool: Pool, signals: SignalResources, how: str) -> None:
    """Deleting it is how one takes it back; a late sight of it revives nothing."""
    uid = uuid4()
    await signals.ingest([seen(uid)])
    await signals.deliver([uid])
    await signals.ingest([gone(uid) if how == "gone" else seen(uid, generation=2, deleting=True)])
    await start(pool)

    await signals.ingest([seen(uid)])
    round_ = await signals.deliver([uid])

    assert round_.fates == []
    assert [one.uid for one in await signals.waiting([])] == []
    assert await inbox(pool) == []


async def test_a_full_run_is_waited_for(pool: Pool, signals: SignalResources) -> None:
    """It goes on when the code has taken some."""
    uid = uuid4()
    await start(pool)
    await pool.execute("update instances set buffered_signals = $1", limits.UNCONSUMED_SIGNALS)
    await signals.ingest([seen(uid)])

    assert await fate(signals, uid) == Fate(uid, "Pending", "SignalsFull", instance_id="shop/db:1")
    assert await signals.waiting([]) == []  # after a pause, which lasts
    await pool.execute("update instances set buffered_signals = 0")
    await pool.execute("update signal_resources set retry_at = now()")
    assert [one.uid for one in await signals.waiting([])] == [uid]
    assert (await fate(signals, uid)).phase == "Delivered"


async def test_a_younger_signal_does_not_pass_one_that_waits_for_a_full_run(
    pool: Pool, signals: SignalResources
) -> None:
    """There is room when it comes, but the older was there before; both go on when the pause of the older is over."""
    first, second = (
        seen(
            uuid4(),
            f"number-{at}",
            created_at=datetime(2026, 1, 1, second=at, tzinfo=UTC),
            message=MESSAGE.replace(b"7", b"%d" % at),
        )
        for at in (1, 2)
    )
    await start(pool)
    await pool.execute("update instances set buffered_signals = $1", limits.UNCONSUMED_SIGNALS)
    await signals.ingest([first])
    await fate(signals, first.uid)
    await pool.execute("update instances set buffered_signals = 0")

    await signals.ingest([second])
    assert (await fate(signals, second.uid)).reason == "SignalsFull"
    await pool.execute("update signal_resources set retry_at = now() where uid = $1", second.uid)
    assert await signals.waiting([]) == []
    await pool.execute("update signal_resources set retry_at = now() where uid = $1", first.uid)
    waiting = [one.uid for one in await signals.waiting([])]
    await signals.deliver(waiting)

    assert sorted(waiting) == sorted([first.uid, second.uid])
    assert [data for _, data in await inbox(pool)] == [1, 2]


async def test_signals_come_in_the_order_in_which_they_were_made(pool: Pool, signals: SignalResources) -> None:
    """The older first, and those of one second by their names."""
    await start(pool)
    early, late = (datetime(2026, 1, 1, second=second, tzinfo=UTC) for second in (1, 2))
    made = [("b", early), ("a", late), ("c", early)]
    batch = [
        seen(uuid4(), name, created_at=at, message=MESSAGE.replace(b"7", f'"{name}"'.encode())) for name, at in made
    ]

    await signals.ingest(batch)
    await signals.deliver([one.uid for one in batch])

    assert [data for _, data in await inbox(pool)] == ["b", "c", "a"]


async def test_a_payload_that_stands_elsewhere_is_read_for_the_run_that_it_is_for(
    pool: Pool, signals: SignalResources
) -> None:
    """What was read for one run, as its ServiceAccount, is not given to another."""
    uid = uuid4()
    await start(pool)
    await signals.ingest([seen(uid, message=None, config_map="settings", config_key="size")])
    [unread] = (await signals.deliver([uid])).unread

    elsewhere = await signals.deliver([uid], {uid: Body("shop/db:0", MESSAGE)})
    there = await signals.deliver([uid], {uid: Body("shop/db:1", MESSAGE)})

    assert (unread.config_map, unread.config_key, unread.signal) == ("settings", "size", "approve")
    assert (unread.instance_id, unread.run_as) == ("shop/db:1", "system:serviceaccount:shop:default")
    assert (elsewhere.fates, elsewhere.unread) == ([], [unread])
    assert there.fates == [Fate(uid, "Delivered", "Delivered", instance_id="shop/db:1")]
    assert await inbox(pool) == [("shop/db:1", 7)]


@pytest.mark.parametrize(("reason", "phase"), [("PayloadMissing", "Pending"), ("PayloadInvalid", "Failed")])
async def test_a_payload_that_cannot_be_had_is_said(
    pool: Pool, signals: SignalResources, reason: str, phase: str
) -> None:
    """One that may come is waited for; one that can be no payload is the end."""
    uid = uuid4()
    await start(pool)
    await signals.ingest([seen(uid, message=None, config_map="settings", config_key="size")])

    [found] = (await signals.deliver([uid], {uid: Body("shop/db:1", None, reason, "why")})).fates

    assert (found.phase, found.reason, found.detail) == (phase, reason, "why")


async def test_what_can_never_be_sent_fails_at_once(pool: Pool, signals: SignalResources) -> None:
    """It is not tried; its status says why."""
    uid = uuid4()
    await start(pool)

    [news] = await signals.ingest([seen(uid, message=None, refusal="PayloadInvalid", refusal_detail="too deep")])

    assert news.waits is False
    assert (await signals.deliver([uid])).fates == []
    [fact] = await signals.unshown([])
    assert (fact.phase, fact.reason, fact.detail) == ("Failed", "PayloadInvalid", "too deep")


async def test_a_status_is_written_when_it_has_news_and_not_otherwise(pool: Pool, signals: SignalResources) -> None:
    """One that waits is shown after a second; trying again in vain is no news; delivery is."""
    uid = uuid4()
    await signals.ingest([seen(uid)])
    await signals.deliver([uid])
    assert await signals.unshown([]) == []
    await pool.execute("update signal_resources set observed_at = now() - interval '2 seconds'")
    [waits] = await signals.unshown([])
    await signals.shown([Shown(uid, waits.revision, b'{"phase":"Pending"}')])
    await signals.deliver([uid])
    assert await signals.unshown([]) == []

    await start(pool)
    await signals.deliver([uid])

    [delivered] = await signals.unshown([])
    assert (delivered.reason, delivered.instance_id, delivered.status) == (
        "Delivered",
        "shop/db:1",
        b'{"phase":"Pending"}',
    )
    await signals.shown([Shown(uid, delivered.revision, b"{}")])
    await signals.shown([Shown(uid, waits.revision, b"late")])
    assert await signals.unshown([]) == []
    assert await pool.fetchval("select status from signal_resources") == b"{}"


async def test_one_look_says_whether_there_is_anything_to_do(pool: Pool, signals: SignalResources) -> None:
    """To deliver, to show or delete, and whether time can bring more: the clock asks nothing else."""
    uid = uuid4()
    told = [await signals.due([])]
    await signals.ingest([seen(uid, ttl_seconds=0)])
    told.append(await signals.due([]))
    await signals.deliver([uid])
    await pool.execute("update signal_resources set shown_revision = revision")
    told.append(await signals.due([]))
    await start(pool)
    told.append(await signals.due([]))
    await signals.deliver([uid])
    await pool.execute("update signal_resources set shown_revision = revision")
    told.append(await signals.due([]))
    await signals.ingest([gone(uid)])
    told.append(await signals.due([]))

    nothing = Due(may_go=False, is_behind=False, has_more=False)
    assert told == [
        nothing,
        Due(may_go=True, is_behind=True, has_more=True),
        Due(may_go=False, is_behind=False, has_more=True),
        Due(may_go=True, is_behind=False, has_more=True),
        Due(may_go=False, is_behind=True, has_more=True),
        nothing,
    ]
    assert await signals.due(["elsewhere"]) == nothing


async def test_a_signal_that_asks_for_it_expires_after_its_delivery(pool: Pool, signals: SignalResources) -> None:
    """Not before, and only those that ask."""
    stays, goes = uuid4(), uuid4()
    await signals.ingest([seen(stays), seen(goes, "short", ttl_seconds=0)])
    await signals.deliver([stays, goes])
    assert await signals.expired([]) == []

    await start(pool)
    await signals.deliver([stays, goes])

    assert await signals.expired([]) == [(goes, "shop", "short")]
    assert await signals.expired(["elsewhere"]) == []


async def test_the_namespaces_of_others_are_left_alone(pool: Pool, signals: SignalResources) -> None:
    """A controller looks for what is in its own namespaces."""
    await signals.ingest([seen(uuid4())])
    await pool.execute("update signal_resources set reason = '', observed_at = now() - interval '2 seconds'")

    assert (len(await signals.waiting([])), len(await signals.waiting(["shop"]))) == (1, 1)
    assert await signals.waiting(["elsewhere"]) == []
    assert (len(await signals.known(["shop"])), await signals.known(["elsewhere"])) == (1, {})


async def test_what_is_gone_for_long_is_forgotten(pool: Pool, signals: SignalResources) -> None:
    """And what lives is not."""
    lives, dead = uuid4(), uuid4()
    await signals.ingest([seen(lives), gone(dead)])
    await pool.execute("update signal_resources set gone_at = now() - interval '2 days' where gone_at is not null")

    await signals.forget(older_than_seconds=24 * 3600)

    assert [row["uid"] for row in await pool.fetch("select uid from signal_resources")] == [lives]


async def test_payloads_are_sealed_on_their_whole_way(pool: Pool) -> None:
    """In the table and in the inbox, read from a resource or from a ConfigMap."""
    sealing = Sealing(EncryptionCodec({"k1": b"k" * 32}))
    signals = SignalResources(pool, sealing)
    plain, read = uuid4(), uuid4()
    await start(pool)

    await signals.ingest([seen(plain), seen(read, "read", message=None, config_map="c", config_key="k")])
    kept = await pool.fetchval("select message from signal_resources where uid = $1", plain)
    await signals.deliver([plain, read], {read: Body("shop/db:1", MESSAGE)})

    stored = [row["payload"] for row in await pool.fetch("select payload from inbox")]
    assert codec.is_sealed(kept)
    assert len(stored) == 2
    assert all(codec.is_sealed(one) for one in stored)
    assert [row["payload"] for row in sealing.opened(await pool.fetch("select payload from inbox"))] == [MESSAGE] * 2
