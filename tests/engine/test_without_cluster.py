"""A worker without a cluster beside an operator: what belongs to a resource is left to who can act as somebody."""

from __future__ import annotations

import dataclasses

from perdure import JsonValue, OrchestrationContext, orchestration
from perdure._core.definition import AnyOrchestration
from perdure._store.store import Store
from tests.engine.world import PUPPET, SETTINGS, Puppet, World, relay

IDENTITY = "system:serviceaccount:shop:default"
ALONE = dataclasses.replace(SETTINGS, has_cluster=False, queues=("gpu",))
BESIDE = dataclasses.replace(SETTINGS, queues=("gpu",))


@orchestration("test::orchestration::family")
async def family(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Let a child ask the puppet."""
    return await ctx.schedule_sub_orchestration(relay, input)


@orchestration("test::orchestration::sent-away")
async def sent_away(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Ask the puppet, on whoever serves the queue."""
    return await ctx.schedule_activity(PUPPET, input, queue="gpu")


async def start_for_a_resource(world: World, definition: AnyOrchestration) -> str:
    """Start an instance as ingest does: as somebody."""
    instance_id = "shop/db:1"
    await world.fetch(
        "insert into instances (instance_id, name, input, run_as, wake_at) values ($1, $2, 'null', $3, now())",
        *(instance_id, definition.name, IDENTITY),
    )
    return instance_id


async def test_it_runs_what_is_nobodys_and_leaves_the_runs_of_resources(world: World, puppet: Puppet) -> None:
    """The run of the resource is due for longer, and waits, unclaimed, for who can act as its ServiceAccount."""
    run = await start_for_a_resource(world, relay)
    alone = await world.worker(relay, puppet.activity, settings=ALONE)

    plain = await world.start(relay, "plain")
    (await puppet.called()).returns("done")
    assert (await world.end(plain)).output == "done"
    assert await world.fetch("select 1 from instances where instance_id = $1 and turn = 0 and owner_id is null", run)

    beside = await world.worker(relay, puppet.activity, settings=BESIDE)
    call = await puppet.called()
    call.returns("done as somebody")
    assert (await world.end(run)).output == "done as somebody"
    assert call.info.run_as == IDENTITY
    assert (alone.worker.turns_committed, beside.worker.turns_committed) == (2, 2)


async def test_it_leaves_children_of_such_runs(world: World, puppet: Puppet) -> None:
    """A child acts as its parent does: it is claimed by the one who could claim the parent."""
    alone = await world.worker(relay, family, puppet.activity, settings=ALONE)
    await world.until("select 1 from workers")
    await world.worker(family, relay, puppet.activity, settings=BESIDE)
    run = await start_for_a_resource(world, family)

    call = await puppet.called()
    call.returns("done")

    assert (await world.end(run)).output == "done"
    assert call.info.run_as == IDENTITY
    assert alone.worker.turns_committed == 0


async def test_it_leaves_their_activities_in_its_queues(world: World, puppet: Puppet) -> None:
    """It serves the queue, and takes only what is nobody's; the other waits for a server with a cluster."""
    owner = await world.worker(sent_away, settings=SETTINGS)
    alone = await world.worker(puppet.activity, settings=ALONE)
    run = await start_for_a_resource(world, sent_away)
    await world.until("select 1 from tasks where run_as = $1", IDENTITY)
    plain = await world.start(sent_away, "plain")

    call = await puppet.called()
    call.returns("done")
    assert (call.info.run_as, (await world.end(plain)).output) == ("", "done")
    waiting = await world.fetch("select 1 from tasks where instance_id = $1 and worker_id is null", run)
    assert len(waiting) == 1

    await world.worker(puppet.activity, settings=BESIDE)
    call = await puppet.called()
    call.returns("done as somebody")
    assert (call.info.run_as, (await world.end(run)).output) == (IDENTITY, "done as somebody")
    assert owner.worker.turns_committed == 4
    assert alone.worker.running_activities == 0


async def test_to_a_resource_it_offers_nothing(world: World) -> None:
    """Statuses and `perdure count --unoffered` say that nobody has the version, which is how it is for that run."""
    await start_for_a_resource(world, relay)
    await world.start(family)
    await world.worker(family, relay, settings=ALONE)
    await world.until("select 1 from workers where not has_cluster")
    store = await Store.open(world.dsn)

    offers = await store.fetch("resource_offers")
    unoffered = [(one.name, one.instances) for one in await world.client.list_unoffered()]
    await store.close()
    await world.fetch("delete from instances where run_as <> ''")

    assert offers == []
    assert unoffered == [(relay.name, 1)]


async def test_what_it_must_leave_does_not_wake_it(world: World) -> None:
    """A heartbeat tells of what waits in one's queues, so that serving takes no poll: not of what is for others."""
    store = await Store.open(world.dsn)
    workers = [(await world.fetch("select gen_random_uuid() as id"))[0]["id"] for _ in range(2)]
    for worker_id, has_cluster in zip(workers, (False, True), strict=True):
        await store.fetch("worker_register", worker_id, 3_600.0, "test", [], ["gpu"], has_cluster)
    run = await start_for_a_resource(world, sent_away)
    await world.fetch(
        "insert into tasks (instance_id, execution, seq, queue, activity, command, orchestration, run_as, asked_at)"
        " values ($1, 1, 1, 'gpu', $2, '{}', 'o', $3, now())",
        *(run, PUPPET, IDENTITY),
    )

    beats = [(await store.fetch("worker_heartbeat", worker_id, 3_600.0))[0]["has_tasks"] for worker_id in workers]
    await store.close()
    await world.fetch("delete from instances")
    await world.fetch("delete from tasks")

    assert beats == [False, True]
