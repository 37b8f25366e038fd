"""Resuming what waits for its next attempt: whoever has repaired something need not wait for the backoff.

The backoff is hours long wherever it matters: an attempt that comes was not waited for.
"""

from __future__ import annotations

import dataclasses

import pytest

from perdure import Fixed, JsonValue, OrchestrationContext, RetryPolicy, orchestration
from tests.engine import proxy
from tests.engine.world import ALONE, PUPPET, Puppet, World

HOURS = RetryPolicy(3, backoff=Fixed(36_000))
BETWEEN = "select 1 from tasks where failed_attempts = $1 and visible_at > now() + interval '1 h'"


@orchestration("test::orchestration::patient")
async def patient(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet, hours apart, until it says something."""
    return await ctx.schedule_activity(PUPPET, retry=HOURS)


@orchestration("test::orchestration::patient-elsewhere")
async def patient_elsewhere(ctx: OrchestrationContext) -> JsonValue:
    """Ask the puppet on whoever serves the queue, hours apart."""
    return await ctx.schedule_activity(PUPPET, queue="gpu", retry=HOURS)


async def test_a_resume_starts_the_next_attempt_at_once(world: World, puppet: Puppet) -> None:
    """Each one that is waited for, as often as it is said; the attempts are counted as if they had been waited for."""
    await world.worker(patient, puppet.activity, settings=ALONE)
    instance_id = await world.start(patient)

    for number in (1, 2):
        (await puppet.called()).fails(ValueError("it is broken"))
        await world.until(BETWEEN, number)
        await world.client.resume_instance(instance_id)
    last = await puppet.called()
    last.fails(ValueError("it stays broken"))

    ended = await world.end(instance_id)
    assert (last.info.attempt, puppet.count) == (3, 3)
    assert (ended.phase, ended.error and ended.error.attempts) == ("Failed", 3)


async def test_a_resume_brings_no_attempt_that_is_not_due_to_one(world: World, puppet: Puppet) -> None:
    """While an attempt runs it starts no other, and the pause after that one is as long as ever."""
    await world.worker(patient, puppet.activity, settings=ALONE)
    instance_id = await world.start(patient)
    call = await puppet.called()

    await world.client.resume_instance(instance_id)
    await world.client.send_signal(instance_id, "any")
    await world.until("select 1 from instances where buffered_signals = 1")
    call.fails(ValueError("it is broken"))
    await world.until(BETWEEN, 1)
    await world.client.send_signal(instance_id, "any")
    await world.until("select 1 from instances where buffered_signals = 2")

    assert puppet.count == 1
    await world.client.resume_instance(instance_id)
    (await puppet.called()).returns("done")
    assert (await world.end(instance_id)).output == "done"


@pytest.mark.parametrize("statement", ["tasks_record_failure", "claim"])
async def test_a_resume_that_meets_a_lost_answer_is_not_lost(world: World, puppet: Puppet, statement: str) -> None:
    """The failure is written down and its worker does not know yet; or it has noted the resume, and did not hear it."""
    async with proxy.wire_to(world.dsn) as (wire, dsn):
        hand = await world.worker(patient, puppet.activity, settings=ALONE, dsn=dsn)
        instance_id = await world.start(patient)
        call = await puppet.called()
        if statement == "tasks_record_failure":
            wire.lose("answer", statement)
        call.fails(ValueError("it is broken"))
        await world.until(BETWEEN, 1)
        if statement == "claim":
            wire.lose("answer", statement)

        await world.client.resume_instance(instance_id)

        await wire.broken()
        (await puppet.called()).returns("done")
        assert (await world.end(instance_id)).output == "done"
        await hand.stop()


async def test_who_was_suspended_between_two_attempts_makes_the_next_when_it_is_resumed(
    world: World, puppet: Puppet
) -> None:
    """Nobody owns it meanwhile; whoever takes it then does not wait."""
    await world.worker(patient, puppet.activity, settings=ALONE)
    instance_id = await world.start(patient)
    (await puppet.called()).fails(ValueError("it is broken"))
    await world.until(BETWEEN, 1)
    await world.client.suspend_instance(instance_id)
    await world.until("select 1 from instances where owner_id is null")

    await world.client.resume_instance(instance_id)

    call = await puppet.called()
    call.returns("done")
    assert ((await world.end(instance_id)).output, call.info.attempt) == ("done", 2)


async def test_a_resume_hastens_what_waits_in_a_queue(world: World, puppet: Puppet) -> None:
    """Whoever serves the queue makes the next attempt, at once."""
    await world.worker(patient_elsewhere, settings=ALONE)
    await world.worker(puppet.activity, settings=dataclasses.replace(ALONE, queues=("gpu",)))
    instance_id = await world.start(patient_elsewhere)
    (await puppet.called()).fails(ValueError("it is broken"))
    await world.until(BETWEEN, 1)

    await world.client.resume_instance(instance_id)

    call = await puppet.called()
    call.returns("done")
    assert ((await world.end(instance_id)).output, call.info.attempt) == ("done", 2)


async def test_a_resume_hastens_its_own_instance_only(world: World, puppet: Puppet) -> None:
    """Another one, whose activity waits as well, goes on waiting."""
    await world.worker(patient, puppet.activity, settings=ALONE)
    ids = [await world.start(patient) for _ in range(2)]
    for _ in ids:
        (await puppet.called()).fails(ValueError("it is broken"))
    await world.until(f"{BETWEEN} having count(*) = 2", 1)

    await world.client.resume_instance(ids[1])

    (await puppet.called()).returns("done")
    await world.end(ids[1])
    assert (puppet.count, len(await world.fetch(BETWEEN, 1))) == (3, 1)
