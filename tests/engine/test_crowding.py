"""An instance with as many signals as it may have: a workflow that sends it one more gets the error, at the call."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from perdure import JsonValue, OrchestrationContext, errors, orchestration
from perdure._core import history, limits
from perdure._engine import crowding
from perdure._engine.turn import TakenTurn
from perdure._store.store import Store
from tests.engine.world import ALONE, PUPPET, WAITING, Call, Puppet, World, in_the_way

HAS_ROOM = "select 1 from instances where instance_id = $1 and buffered_signals = 0 and turn >= 3"
NEXT_TURN = """
    insert into history (instance_id, execution, turn, at, body)
    select instance_id, execution, turn, now(), '' from instances where instance_id = $1
"""


@pytest.fixture(autouse=True)
def _few_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limit small enough to cross it quickly."""
    monkeypatch.setattr(limits, "UNCONSUMED_SIGNALS", 3)


@orchestration("test::orchestration::gate")
async def gate(ctx: OrchestrationContext, input: int) -> list[JsonValue]:
    """Take so many words, once it is opened."""
    await ctx.schedule_activity(PUPPET, "gate")
    return [await ctx.schedule_wait("word") for _ in range(input)]


@orchestration("test::orchestration::talker")
async def talker(ctx: OrchestrationContext, input: list[str]) -> str:
    """Do a step, and send a word to each of these."""
    await ctx.schedule_activity(PUPPET)
    for number, instance_id in enumerate(input):
        ctx.send_signal(instance_id, "word", number)
    return "sent"


@orchestration("test::orchestration::patient-talker")
async def patient_talker(ctx: OrchestrationContext, input: str) -> JsonValue:
    """Send a word after a step, beside which another one runs; refused, wait until told to send it again."""
    beside = ctx.schedule_activity(PUPPET, "beside")
    timer = ctx.schedule_timer(0.5)
    await ctx.schedule_activity(PUPPET, "first")
    refused = 0
    while True:
        try:
            ctx.send_signal(input, "word", "patient")
            break
        except errors.SignalsFullError:
            refused += 1
            await ctx.schedule_wait("again")
    await timer
    return [refused, await beside]


async def full(world: World, puppet: Puppet, *, words: int) -> tuple[str, Call]:
    """Start a gate that has as many words as it may have, in its memory or on their way there; give what opens it."""
    instance_id = await world.start(gate, words)
    opening = await puppet.called()
    for number in range(limits.UNCONSUMED_SIGNALS):
        await world.client.send_signal(instance_id, "word", number)
    return instance_id, opening


@dataclasses.dataclass
class Scene:
    """A full instance and what opens it; who was refused by it, with the activity that runs beside."""

    crowded: str
    opening: Call
    sending: str
    beside: Call


async def refused(world: World, puppet: Puppet, *, words: int) -> Scene:
    """Let a patient talker send a word to a full gate, in its second turn."""
    crowded, opening = await full(world, puppet, words=words)
    sending = await world.start(patient_talker, crowded)
    beside, first = await puppet.called(), await puppet.called()
    first.returns(None)
    await world.until("select 1 from instances where instance_id = $1 and turn >= 2", sending)
    return Scene(crowded, opening, sending, beside)


async def test_what_a_turn_takes_in_at_this_moment_counts_once(world: World, puppet: Puppet) -> None:
    """A signal moves from the inbox to the memory of its instance while another sender waits: that one finds room."""
    await world.worker(gate, puppet.activity, settings=ALONE)
    instance_id = await world.start(gate, 3)
    opening = await puppet.called()
    await world.client.send_signal(instance_id, "word", 0)
    await world.until("select 1 from instances where instance_id = $1 and buffered_signals = 1", instance_id)

    async with in_the_way(world, NEXT_TURN, instance_id):
        await world.client.send_signal(instance_id, "word", 1)
        await world.until(WAITING, "-- commit_turn%")
        sending = asyncio.create_task(world.client.send_signal(instance_id, "word", 2))
        await world.until(WAITING, "-- signal_send.sql%")

    assert await sending == "Sent"
    opening.returns(None)
    assert (await world.end(instance_id)).output == [0, 1, 2]


async def test_a_workflow_that_sends_to_a_full_instance_gets_the_error(world: World, puppet: Puppet) -> None:
    """Not caught it fails the sender, with who is full; nothing of that turn was sent to that one, nothing is lost."""
    await world.worker(gate, talker, puppet.activity, settings=ALONE)
    crowded, opening = await full(world, puppet, words=3)
    sending = await world.start(talker, ["nobody", crowded])

    (await puppet.called()).returns(None)

    told = await world.end(sending)
    assert told.error is not None
    assert (told.phase, told.error.code) == ("Failed", "PERDURE-1210")
    assert crowded in told.error.message
    assert puppet.count == 2
    opening.returns(None)
    assert (await world.end(crowded)).output == [0, 1, 2]


async def test_a_workflow_that_was_refused_can_send_again(world: World, puppet: Puppet) -> None:
    """It has caught the error: its steps go on, none is run again, its timers ring, and the word arrives once."""
    await world.worker(gate, patient_talker, puppet.activity, settings=ALONE)
    scene = await refused(world, puppet, words=4)

    await world.client.send_signal(scene.sending, "again")
    await world.until("select 1 from instances where instance_id = $1 and turn >= 3", scene.sending)
    scene.opening.returns(None)
    await world.until(HAS_ROOM, scene.crowded)
    await world.client.send_signal(scene.sending, "again")
    scene.beside.returns("done")

    assert (await world.end(scene.crowded)).output == [0, 1, 2, "patient"]
    assert (await world.end(scene.sending)).output == [2, "done"]
    assert (puppet.count, scene.beside.cancelled.is_set()) == (3, False)


async def test_a_refusal_is_the_same_on_every_replay(world: World, puppet: Puppet) -> None:
    """Whoever takes a refused sender over finds in its history that it was, and to whom."""
    first = await world.worker(gate, patient_talker, puppet.activity, settings=ALONE)
    scene = await refused(world, puppet, words=4)
    scene.beside.returns("done")
    await world.until("select 1 from instances where instance_id = $1 and turn >= 3", scene.sending)

    await world.crash(first)
    await world.worker(gate, patient_talker, puppet.activity)
    (await puppet.called()).returns(None)
    await world.until(HAS_ROOM, scene.crowded)
    await world.client.send_signal(scene.sending, "again")

    assert (await world.end(scene.sending)).output == [1, "done"]
    assert (await world.end(scene.crowded)).output == [0, 1, 2, "patient"]
    refusals = [event for event in await world.events(scene.sending) if isinstance(event, history.SignalRefused)]
    assert refusals == [history.SignalRefused(scene.crowded)]


async def test_who_is_paused_while_it_is_refused_leaves(
    world: World, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn that is taken back leaves nothing to do: nobody keeps a paused instance in memory."""
    await world.worker(gate, talker, puppet.activity, settings=ALONE)
    crowded, _ = await full(world, puppet, words=3)
    sending = await world.start(talker, [crowded])
    step = await puppet.called()
    find, asked, may_know = crowding.refused, asyncio.Event(), asyncio.Event()

    async def find_late(store: Store, turns: list[TakenTurn]) -> dict[TakenTurn, list[str]]:
        found = await find(store, turns)
        asked.set()
        await may_know.wait()
        return found

    monkeypatch.setattr(crowding, "refused", find_late)
    step.returns(None)
    await asked.wait()
    await world.client.suspend_instance(sending)
    await world.until("select 1 from instances where instance_id = $1 and wake_at is null", sending)  # it has heard
    may_know.set()
    await world.until("select 1 from instances where instance_id = $1 and owner_id is null", sending)
    await world.client.resume_instance(sending)

    assert (await world.end(sending)).phase == "Failed"


async def test_more_signals_to_one_instance_in_a_turn_than_it_may_have_are_refused(
    world: World, puppet: Puppet
) -> None:
    """Nobody need be full, or even there: no turn sends more to one instance than it could keep."""

    @orchestration("test::orchestration::flood")
    async def flood(ctx: OrchestrationContext, input: str) -> str:
        try:
            for number in range(limits.UNCONSUMED_SIGNALS + 1):
                ctx.send_signal(input, "word", number)
        except errors.SignalsFullError:
            return "refused"
        return "sent"

    await world.worker(gate, flood, puppet.activity, settings=ALONE)
    instance_id = await world.start(gate, 1)
    await puppet.called()

    assert (await world.run(flood, instance_id)).output == "refused"
    assert (await world.run(flood, "nobody")).output == "refused"
    assert await world.fetch("select 1 from inbox") == []
    assert (await world.client.get_instance_info(instance_id)).buffered_signals == 0


async def test_a_refused_sender_that_is_cancelled_meanwhile_ends(world: World, puppet: Puppet) -> None:
    """The cancel finds it waiting, like any other."""
    await world.worker(gate, patient_talker, puppet.activity, settings=ALONE)
    scene = await refused(world, puppet, words=3)

    await world.client.cancel_instance(scene.sending, "enough")

    assert (await world.end(scene.sending)).phase == "Cancelled"
    refusals = [event for event in await world.events(scene.sending) if isinstance(event, history.SignalRefused)]
    assert refusals == [history.SignalRefused(scene.crowded)]
