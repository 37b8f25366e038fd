"""What clients do to instances while workers run them: pausing, terminating, removing, and using an id again."""

from __future__ import annotations

import dataclasses

import pytest

from perdure import ChildOrchestrationError, Fixed, JsonValue, OrchestrationContext, RetryPolicy, orchestration
from perdure._core import history
from tests.engine.world import PUPPET, SETTINGS, Puppet, World, relay


@orchestration("test::orchestration::listener")
async def listener(ctx: OrchestrationContext) -> JsonValue:
    """Wait for one signal and return what it says."""
    return await ctx.schedule_wait("go")


@orchestration("test::orchestration::at-once")
async def at_once(ctx: OrchestrationContext) -> int:
    """Return."""
    return 0


@orchestration("test::orchestration::guardian")
async def guardian(ctx: OrchestrationContext) -> JsonValue:
    """Wait for a child, and say what became of it."""
    try:
        return await ctx.schedule_sub_orchestration(listener, instance_id="ward")
    except ChildOrchestrationError as error:
        return f"{error.type}: {error.message}"


async def test_a_signal_reaches_its_instance(world: World) -> None:
    """Sent by a client of another process to an instance that waits; its payload is what the wait gives."""
    await world.worker(listener)
    instance_id = await world.start(listener)
    await world.until("select 1 from instances where instance_id = $1 and turn = 1", instance_id)

    await world.client.send_signal(instance_id, "go", {"by": "ann"})

    assert (await world.end(instance_id)).output == {"by": "ann"}


async def test_a_paused_instance_takes_nothing_in_until_it_is_resumed(world: World) -> None:
    """What was sent during the pause waits, and nothing is lost."""
    await world.worker(listener, at_once)
    instance_id = await world.start(listener)
    await world.until("select 1 from instances where instance_id = $1 and turn = 1", instance_id)
    await world.client.suspend_instance(instance_id, "wait")
    await world.until("select 1 from instances where instance_id = $1 and owner_id is null", instance_id)

    await world.client.send_signal(instance_id, "go", 1)
    other = await world.run(at_once)
    paused = await world.client.get_instance_info(instance_id)
    await world.client.resume_instance(instance_id)

    assert (other.phase, paused.phase, len(await world.events(instance_id))) == ("Completed", "Suspended", 1)
    assert (await world.end(instance_id)).output == 1


async def test_a_child_that_is_terminated_while_nobody_is_there_fails_its_parent(world: World) -> None:
    """The child ends in the database alone; the parent hears of it from whoever takes it next."""
    hand = await world.worker(guardian, listener)
    instance_id = await world.start(guardian)
    await world.until("select 1 from instances where instance_id = 'ward' and turn = 1")
    await hand.stop()

    await world.client.terminate_instance("ward", "out of patience")
    ward = await world.client.get_instance_info("ward")
    await world.worker(guardian, listener)

    assert (ward.phase, ward.error and ward.error.message) == ("Cancelled", "out of patience")
    assert (await world.end(instance_id)).output == "InstanceTerminatedError: out of patience"


async def test_a_parent_that_is_terminated_while_nobody_is_there_takes_its_children_with_it(world: World) -> None:
    """They are asked to end, by whoever takes them next; the parent's history ends with what was done to it."""
    hand = await world.worker(guardian, listener)
    instance_id = await world.start(guardian)
    await world.until("select 1 from instances where instance_id = 'ward' and turn = 1")
    await hand.stop()

    await world.client.terminate_instance(instance_id, "enough")
    await world.worker(guardian, listener)
    ward = await world.end("ward")

    assert ward.error is not None
    assert (ward.phase, ward.error.message) == ("Cancelled", f"The parent {instance_id} was terminated: enough")
    assert (await world.events(instance_id))[-2:] == [
        history.CancelRequested("enough"),
        history.GraceEnded(is_termination=True),
    ]


async def test_the_result_of_a_removed_instance_never_reaches_its_successor(world: World, puppet: Puppet) -> None:
    """Removed while its activity runs, and started again under the same id on the same worker: two lives, not one."""
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay, "old")
    old = await puppet.called()

    await world.client.delete_instance(instance_id, force=True)
    await world.client.start_orchestration(instance_id, relay, "new")
    new = await puppet.called()
    await old.cancelled.wait()
    new.returns("new")

    info = await world.end(instance_id)
    assert (new.input, info.input, info.output) == ("new", "new", "new")


async def test_a_removed_instance_does_not_rise_again(world: World, puppet: Puppet) -> None:
    """What its owner would have written of it is refused: no history, no instance."""
    hand = await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    call = await puppet.called()

    await world.client.delete_instance(instance_id, force=True)
    call.returns("late")
    await hand.stop()

    assert await world.fetch("select 1 from instances union all select 1 from history") == []


@orchestration("test::orchestration::waiter")
async def waiter(ctx: OrchestrationContext) -> None:
    """Wait for one thing of each kind."""
    await ctx.join(
        ctx.schedule_wait("go"),
        ctx.schedule_timer(3_600),
        ctx.schedule_activity(PUPPET),
        ctx.schedule_sub_orchestration(listener, instance_id="ward"),
    )


async def test_one_sees_what_an_instance_waits_for(world: World, puppet: Puppet) -> None:
    """Signals, timers, activities and children, each by its name; what has come is waited for no longer."""
    await world.worker(waiter, listener, puppet.activity)
    instance_id = await world.start(waiter)
    call = await puppet.called()

    all_of_it = await world.client.get_waits(instance_id)
    call.returns(None)
    await world.until("select 1 from instances where instance_id = $1 and turn = 2", instance_id)
    rest = await world.client.get_waits(instance_id)
    await world.client.terminate_instance(instance_id)
    await world.end(instance_id)

    names = {(wait.kind, wait.name) for wait in all_of_it}
    assert names == {("signal", "go"), ("timer", ""), ("activity", "puppet"), ("child", "ward")}
    assert names - {(wait.kind, wait.name) for wait in rest} == {("activity", "puppet")}
    assert [wait.until is not None for wait in all_of_it if wait.kind == "timer"] == [True]
    assert await world.client.get_waits(instance_id) == []


@orchestration("test::orchestration::patient")
async def patient(ctx: OrchestrationContext, input: str | None) -> None:
    """Try once more, an hour later."""
    await ctx.schedule_activity(PUPPET, queue=input, retry=RetryPolicy(2, backoff=Fixed(3_600)))


@pytest.mark.parametrize("queue", [None, "gpu"])
async def test_one_sees_how_an_activity_stands_that_is_waited_for(
    world: World, puppet: Puppet, queue: str | None
) -> None:
    """The attempt that is made; once it failed, with what, and when the next is made; and who runs a queued one."""
    hand = await world.worker(patient, puppet.activity, settings=dataclasses.replace(SETTINGS, queues=("gpu",)))
    instance_id = await world.start(patient, queue)
    call = await puppet.called()

    [first] = await world.client.get_waits(instance_id)
    call.fails(OSError("no route"))
    await world.until("select 1 from tasks where failed_attempts = 1")
    [second] = await world.client.get_waits(instance_id)
    await hand.stop()
    [unserved] = await world.client.get_waits(instance_id)

    assert (first.attempt, first.last_error, first.next_attempt_at) == (1, None, None)
    assert (second.attempt, second.next_attempt_at is not None) == (2, True)
    assert second.last_error is not None
    assert (second.last_error.type, second.last_error.message) == ("OSError", "no route")
    assert [wait.queue for wait in (first, second, unserved)] == [queue or ""] * 3
    assert [wait.servers for wait in (first, second, unserved)] == ([1, 1, 0] if queue else [0, 0, 0])
    assert [wait.worker != "" for wait in (first, second, unserved)] == [queue is not None, False, False]
