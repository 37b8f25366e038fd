"""Signals: each comes in once, in order for its name, whatever the instance is doing and whoever owns it then."""

from __future__ import annotations

import asyncio
from typing import cast

import asyncpg
import pytest

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core import history
from perdure._store import removal
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, WAITING, Puppet, World, in_the_way, relay


@orchestration("test::orchestration::listener")
async def listener(ctx: OrchestrationContext, input: int) -> list[JsonValue]:
    """Wait for so many words, and return them."""
    return [await ctx.schedule_wait("word") for _ in range(input)]


@orchestration("test::orchestration::busy-listener")
async def busy_listener(ctx: OrchestrationContext, input: int) -> list[JsonValue]:
    """Ask the puppet before waiting for words."""
    await ctx.schedule_activity(PUPPET)
    return [await ctx.schedule_wait("word") for _ in range(input)]


@orchestration("test::orchestration::teller")
async def teller(ctx: OrchestrationContext, input: list[str]) -> None:
    """Send a word to each of these."""
    for number, instance_id in enumerate(input):
        ctx.send_signal(instance_id, "word", number)


async def waiting(world: World, instance_id: str, *, turns: int = 1) -> None:
    """Wait until so many turns of an instance are committed."""
    await world.until("select 1 from instances where instance_id = $1 and turn >= $2", instance_id, turns)


async def test_a_signal_wakes_who_waits_for_it(world: World) -> None:
    """A worker that does not poll hears of it, and the code gets the payload as it was sent."""
    await world.worker(listener, settings=ALONE)
    instance_id = await world.start(listener, 1)
    await waiting(world, instance_id)

    fate = await world.client.send_signal(instance_id, "word", {"a": ["ü", None, 1.5]})

    assert fate == "Sent"
    assert (await world.end(instance_id)).output == [{"a": ["ü", None, 1.5]}]
    assert await world.fetch("select 1 from inbox") == []


async def test_signals_before_their_wait_are_kept_in_order(world: World, puppet: Puppet) -> None:
    """Sent while the code does something else, they are there when it asks, first in, first out."""
    await world.worker(busy_listener, puppet.activity, settings=ALONE)
    instance_id = await world.start(busy_listener, 3)
    call = await puppet.called()

    for number in range(3):
        await world.client.send_signal(instance_id, "word", number)
    await waiting(world, instance_id, turns=2)
    call.returns(None)

    info = await world.end(instance_id)
    assert (info.output, info.buffered_signals) == ([0, 1, 2], 0)


async def test_signals_before_the_first_turn_are_kept(world: World) -> None:
    """An instance that nobody has run yet takes them with its beginning."""
    instance_id = await world.start(listener, 2)
    for word in ("first", "second"):
        await world.client.send_signal(instance_id, "word", word)

    await world.worker(listener)

    assert (await world.end(instance_id)).output == ["first", "second"]


async def test_signals_to_an_instance_that_nobody_has_in_memory_wake_it(world: World) -> None:
    """Its worker is gone, the next one sleeps: the signals bring the instance there, in the order they were sent."""
    first = await world.worker(listener, settings=ALONE)
    instance_id = await world.start(listener, 4)
    await waiting(world, instance_id)
    await world.client.send_signal(instance_id, "word", 0)
    await waiting(world, instance_id, turns=2)
    await first.stop()
    second = await world.worker(listener, settings=ALONE)
    await world.until("select 1 from workers")

    for number in (1, 2):
        await world.client.send_signal(instance_id, "word", number)
    await world.until("select 1 from instances where buffered_signals = 0 and turn >= 3 and owner_id is not null")
    await world.crash(second)
    await world.client.send_signal(instance_id, "word", 3)
    await world.worker(listener)

    assert (await world.end(instance_id)).output == [0, 1, 2, 3]


async def test_five_hundred_signals_at_once_all_arrive_in_order(world: World) -> None:
    """Many senders at once: nothing is lost, and those of one sender come in as it sent them."""
    await world.worker(listener, settings=ALONE)
    instance_id = await world.start(listener, 500)

    async def send(sender: int) -> None:
        for number in range(50):
            await world.client.send_signal(instance_id, "word", [sender, number])

    await asyncio.gather(*map(send, range(10)))

    words = cast("list[list[int]]", (await world.end(instance_id)).output)
    assert sorted(words) == [[sender, number] for sender in range(10) for number in range(50)]
    of_each = [[number for sender, number in words if sender == one] for one in range(10)]
    assert of_each == 10 * [list(range(50))]


async def test_five_hundred_instances_get_a_signal_each(world: World) -> None:
    """Spread over two workers, each hears the word that was meant for it."""
    for _ in range(2):
        await world.worker(listener)
    ids = [await world.start(listener, 1) for _ in range(500)]
    await world.until("select 1 from instances where turn = 1 having count(*) = 500")

    await asyncio.gather(*(world.client.send_signal(instance_id, "word", instance_id) for instance_id in ids))

    assert [(await world.end(instance_id)).output for instance_id in ids] == [[instance_id] for instance_id in ids]


async def test_names_are_independent(world: World) -> None:
    """A wait takes the signals of its name only; those of another wait for their own."""

    @orchestration("test::orchestration::chooser")
    async def chooser(ctx: OrchestrationContext) -> list[JsonValue]:
        last = await ctx.schedule_wait("b")
        return [last, await ctx.schedule_wait("a"), await ctx.schedule_wait("a")]

    await world.worker(chooser)
    instance_id = await world.start(chooser)

    for name, payload in (("a", 1), ("a", 2), ("c", 3), ("b", 4)):
        await world.client.send_signal(instance_id, name, payload)

    info = await world.end(instance_id)
    assert (info.output, info.buffered_signals) == ([4, 1, 2], 1)


async def test_a_wait_that_lost_its_race_takes_no_signal_with_it(world: World) -> None:
    """The signal that comes after a timeout is there for the next wait of that name."""

    @orchestration("test::orchestration::impatient")
    async def impatient(ctx: OrchestrationContext) -> JsonValue:
        index, _ = await ctx.select2(ctx.schedule_wait("word"), ctx.schedule_timer(0))
        ctx.set_custom_status("gave up" if index else "heard")
        return await ctx.schedule_wait("word")

    await world.worker(impatient)
    instance_id = await world.start(impatient)
    await world.until("select 1 from instances where custom_status = '\"gave up\"'")

    await world.client.send_signal(instance_id, "word", "for the second wait")

    assert (await world.end(instance_id)).output == "for the second wait"


async def test_a_signal_survives_the_death_of_who_took_it_in(world: World, puppet: Puppet) -> None:
    """Taken in, not asked for, and the worker dies: the next one still has it, once."""
    first = await world.worker(busy_listener, puppet.activity)
    instance_id = await world.start(busy_listener, 1)
    await puppet.called()
    await world.client.send_signal(instance_id, "word", "kept")
    await world.until("select 1 from instances where buffered_signals = 1")
    await world.crash(first)

    await world.worker(busy_listener, puppet.activity)
    (await puppet.called()).returns(None)

    assert (await world.end(instance_id)).output == ["kept"]
    received = [e for e in await world.events(instance_id) if isinstance(e, history.SignalReceived)]
    assert len(received) == 1


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_commit_of_unknown_outcome_takes_a_signal_in_once(world: World, lost: proxy.Lost) -> None:
    """The wire breaks as the turn with the signal is committed: the code gets it once, the next one after it."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(listener, dsn=dsn)
        instance_id = await world.start(listener, 2)
        await waiting(world, instance_id)

        wire.lose(lost, "commit_turn")
        await world.client.send_signal(instance_id, "word", "once")
        await wire.broken()
        await waiting(world, instance_id, turns=2)
        await world.client.send_signal(instance_id, "word", "after")

        assert (await world.end(instance_id)).output == ["once", "after"]
        await hand.stop()


async def test_an_instance_sends_signals_to_others(world: World) -> None:
    """A signal of another instance arrives after the turn that sent it; those without a receiver are dropped."""
    await world.worker(listener, teller, settings=ALONE)
    first, second = [await world.start(listener, 1) for _ in range(2)]
    await waiting(world, first)
    await waiting(world, second)

    told = await world.run(teller, [first, "nobody", second])

    assert told.phase == "Completed"
    assert [(await world.end(instance_id)).output for instance_id in (first, second)] == [[0], [2]]
    assert await world.fetch("select 1 from inbox") == []


async def test_an_instance_sends_signals_to_one_on_another_worker(world: World) -> None:
    """Owned elsewhere, its owner is told at once."""
    await world.worker(listener, settings=ALONE)
    instance_id = await world.start(listener, 1)
    await waiting(world, instance_id)
    await world.worker(teller, settings=ALONE)

    await world.run(teller, [instance_id])

    assert (await world.end(instance_id)).output == [0]


async def test_an_instance_sends_a_signal_to_itself(world: World) -> None:
    """It comes in with its next turn, like any other."""

    @orchestration("test::orchestration::monologue")
    async def monologue(ctx: OrchestrationContext) -> JsonValue:
        ctx.send_signal(ctx.instance_id, "word", "to me")
        return await ctx.schedule_wait("word")

    await world.worker(monologue, settings=ALONE)

    assert (await world.run(monologue)).output == "to me"


async def test_a_signal_reaches_one_started_in_the_same_turn(world: World) -> None:
    """Start and signal are one commit: whoever begins the new instance finds the signal."""

    @orchestration("test::orchestration::starter")
    async def starter(ctx: OrchestrationContext) -> JsonValue:
        child = ctx.schedule_sub_orchestration(listener, 1, instance_id="the-child")
        ctx.schedule_orchestration(listener, "the-detached", 1)
        for instance_id in ("the-child", "the-detached"):
            ctx.send_signal(instance_id, "word", f"to {instance_id}")
        return await child

    await world.worker(starter, listener, settings=ALONE)

    assert (await world.run(starter)).output == ["to the-child"]
    assert (await world.end("the-detached")).output == ["to the-detached"]


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_signal_to_another_is_sent_once_whatever_becomes_of_the_wire(world: World, lost: proxy.Lost) -> None:
    """A commit of unknown outcome neither forgets nor repeats what it sends and starts."""

    @orchestration("test::orchestration::starter")
    async def starter(ctx: OrchestrationContext, input: str) -> None:
        await ctx.schedule_activity(PUPPET)
        ctx.schedule_orchestration(listener, "the-detached", 2)
        for number in range(2):
            ctx.send_signal(input, "word", number)
            ctx.send_signal("the-detached", "word", number)

    puppet = Puppet()
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(starter, listener, puppet.activity, dsn=dsn)
        known = await world.start(listener, 3)
        sending = await world.start(starter, known)
        call = await puppet.called()

        wire.lose(lost, "commit_turn")
        call.returns(None)
        await wire.broken()
        await world.end(sending)
        await world.client.send_signal(known, "word", "last")

        assert (await world.end(known)).output == [0, 1, "last"]
        assert (await world.end("the-detached")).output == [0, 1]
        await hand.stop()


async def test_signals_after_the_end_are_ignored(world: World) -> None:
    """They leave nothing behind; their sender is told by the fate."""
    await world.worker(listener, teller)
    ended = (await world.run(listener, 0)).instance_id

    assert await world.client.send_signal(ended, "word") == "Finished"
    await world.run(teller, [ended])

    assert await world.fetch("select 1 from inbox") == []


async def test_a_message_that_cannot_be_read_holds_its_instance_only(world: World, puppet: Puppet) -> None:
    """The hold names the message; all others go on, and with the message gone so does this one."""
    await world.worker(listener, relay, puppet.activity)
    instance_id = await world.start(listener, 1)
    await waiting(world, instance_id)

    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Signal', '{broken')", instance_id)
    await world.fetch("update instances set wake_at = now() where instance_id = $1", instance_id)
    held = await world.phase(instance_id, "Suspended")
    other = await world.start(relay)
    (await puppet.called()).returns("fine")

    assert (held.hold_reason, held.error and held.error.code) == ("MessageUnreadable", "PERDURE-1221")
    assert (await world.end(other)).output == "fine"
    await world.fetch("delete from inbox")
    await world.client.resume_instance(instance_id)
    await world.client.send_signal(instance_id, "word", "readable")
    assert (await world.end(instance_id)).output == ["readable"]


async def test_an_instance_with_an_unreadable_message_can_be_cancelled(world: World) -> None:
    """A cancel that comes behind the broken message ends the instance all the same."""
    await world.worker(listener)
    instance_id = await world.start(listener, 1)
    await waiting(world, instance_id)
    await world.fetch("insert into inbox (instance_id, kind, payload) values ($1, 'Signal', '{broken')", instance_id)
    await world.fetch("update instances set wake_at = now() where instance_id = $1", instance_id)
    await world.phase(instance_id, "Suspended")

    await world.client.cancel_instance(instance_id, "no use")

    assert (await world.end(instance_id)).phase == "Cancelled"
    assert await world.fetch("select 1 from inbox") == []


async def test_a_signal_to_a_held_instance_is_kept_until_it_goes_on(world: World) -> None:
    """It neither ends the hold nor lets workers try in vain without end: whoever has the right code gets it."""

    @orchestration("test::orchestration::listener")
    async def changed(ctx: OrchestrationContext, input: int) -> None:
        await ctx.schedule_timer(input)

    first = await world.worker(listener)
    instance_id = await world.start(listener, 1)
    await waiting(world, instance_id)
    await first.stop()
    second = await world.worker(changed, settings=ALONE)
    await world.client.send_signal(instance_id, "word", "patience")
    await world.phase(instance_id, "Suspended")
    assert await world.fetch("select 1 from instances where wake_at > now()")
    await second.stop()

    await world.worker(listener)

    assert (await world.end(instance_id)).output == ["patience"]


async def test_a_signal_to_one_that_ends_in_the_same_commit_leaves_nothing_behind(world: World) -> None:
    """Sent to itself with its last breath, and to others that end beside it: no row stays in an inbox for ever."""

    @orchestration("test::orchestration::last-words")
    async def last_words(ctx: OrchestrationContext, input: list[str]) -> None:
        await ctx.schedule_wait("go")
        for instance_id in [ctx.instance_id, *input]:
            ctx.send_signal(instance_id, "word", "farewell")

    ids = [f"speaker-{number}" for number in range(20)]
    for instance_id in ids:
        await world.client.start_orchestration(instance_id, last_words, ids)
    await asyncio.gather(*(world.client.send_signal(instance_id, "go") for instance_id in ids))
    hand, _ = [await world.worker(last_words) for _ in range(2)]

    assert {(await world.end(instance_id)).phase for instance_id in ids} == {"Completed"}
    await removal.sweep(hand.store)  # what one worker sends while the other commits a last turn is seen by neither
    assert await world.fetch("select 1 from inbox") == []


async def test_news_that_a_claim_had_to_skip_are_heard_after_the_commit(world: World, puppet: Puppet) -> None:
    """The claim that was to note a signal found its instance locked by a commit: it is not left to the poll."""
    await world.worker(busy_listener, puppet.activity, settings=ALONE)
    instance_id = await world.start(busy_listener, 1)
    call = await puppet.called()
    async with in_the_way(world, "insert into history values ($1, 1, 1, now(), '')", instance_id):
        async with in_the_way(world, "select from workers for update"):
            await world.client.send_signal(instance_id, "word", "not left to the poll")
            await world.until(WAITING, "-- claim.sql%")
            call.returns(None)
            await world.until(WAITING, "-- commit_turn%")
        active = "select from pg_stat_activity where query like '-- claim.sql%' and state = 'active'"
        await world.until(f"select 1 where not exists ({active})")

    assert (await world.end(instance_id)).output == ["not left to the poll"]


async def test_a_signal_to_one_that_somebody_else_starts_at_this_moment_wakes_it(world: World) -> None:
    """Two start one id and send it a signal; the second cannot see the row of the first, and wakes it all the same."""

    @orchestration("test::orchestration::starter")
    async def starter(ctx: OrchestrationContext) -> None:
        ctx.schedule_orchestration(listener, "shared", 1)
        ctx.send_signal("shared", "word", "heard")

    await world.worker(starter, listener, settings=ALONE)
    other = await asyncpg.connect(world.dsn)
    async with other.transaction():
        await other.execute(
            "insert into instances (instance_id, name, input) values ('shared', $1, '1')", listener.name
        )
        sending = await world.start(starter)
        await world.until(WAITING, "-- commit_turn%")
    await other.close()

    assert (await world.end(sending)).phase == "Completed"
    assert (await world.end("shared")).output == ["heard"]


async def test_a_signal_that_waited_for_a_claim_is_news_for_the_new_owner(world: World) -> None:
    """It began while the instance was due and nobody's, and went on when it was claimed: its owner looks again."""
    instance_id = await world.start(listener, 1)
    other = await asyncpg.connect(world.dsn)
    async with other.transaction():
        await other.execute("update instances set owner_id = gen_random_uuid(), wake_at = null")
        sending = asyncio.create_task(world.client.send_signal(instance_id, "word", "seen"))
        await world.until(WAITING, "-- signal_send.sql%")
    await sending
    await other.close()

    assert await world.fetch("select 1 from instances where wake_at is not null")
    await world.fetch("update instances set owner_id = null")
    await world.worker(listener)
    assert (await world.end(instance_id)).output == ["seen"]
