"""Many clients in each other's way: everything that can be done to families of instances, at once, beside a worker.

Nobody may wait for somebody who waits for them, nothing may be stranded, and every family comes to an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from perdure import ChildOrchestrationError, OrchestrationContext, errors, orchestration
from perdure._store import removal
from perdure.client import Client, InstanceFilter, Page
from tests.engine.world import PATIENCE_SECONDS, World

FAMILIES = 12
EXPECTED = (errors.InstanceFinishedError, errors.InstanceNotFoundError, errors.InstanceNotRemovableError)


@orchestration("test::orchestration::child-of-crowd")
async def child(ctx: OrchestrationContext) -> int:
    """Take signals until one says stop."""
    count = 0
    while await ctx.schedule_wait("go") != "stop":
        count += 1
    return count


@orchestration("test::orchestration::parent-of-crowd")
async def parent(ctx: OrchestrationContext) -> int:
    """Have three children, and see them all to their ends."""
    ids = [f"{ctx.instance_id}-{letter}" for letter in "zma"]
    children = [ctx.schedule_sub_orchestration(child, instance_id=each) for each in ids]
    ended = 0
    for each in children:
        with contextlib.suppress(ChildOrchestrationError):
            await each
        ended += 1
    return ended


def deeds(client: Client, instance_id: str) -> list[Callable[[], Awaitable[object]]]:
    """Give all that a client can do to an instance."""
    return [
        lambda: client.send_signal(instance_id, "go", 1),
        lambda: client.send_signal(instance_id, "go", 1, dedupe_key="once"),
        lambda: client.suspend_instance(instance_id, "wait"),
        lambda: client.resume_instance(instance_id),
        lambda: client.cancel_instance(instance_id, "enough"),
        lambda: client.terminate_instance(instance_id, "now"),
        lambda: client.delete_instance(instance_id, force=instance_id.endswith("7")),
        lambda: client.get_tree(instance_id),
    ]


async def test_nobody_waits_for_somebody_who_waits_for_them(world: World) -> None:
    """Three clients and a worker: all lock rows in one order, so there is no deadlock, and an end for everybody."""
    hand = await world.worker(parent, child)
    roots = [f"family-{number:02}" for number in range(FAMILIES)]
    await asyncio.gather(*(world.client.start_orchestration(root, parent) for root in roots))
    everybody = [name for root in roots for name in (root, f"{root}-a", f"{root}-m", f"{root}-z")]
    chance = random.Random(1)

    async with await Client.connect(world.dsn) as second, await Client.connect(world.dsn) as third:
        doing = [
            chance.choice(deeds(chance.choice([world.client, second, third]), chance.choice(everybody)))
            for _ in range(1_500)
        ]
        outcomes: list[object] = []
        for start in range(0, len(doing), 100):
            deed = [one() for one in doing[start : start + 100]]
            outcomes += await asyncio.gather(*deed, return_exceptions=True)
            await second.cancel_instances(InstanceFilter(id_prefix=chance.choice(roots)), "all of you")

    for instance_id in everybody:
        try:
            await world.client.resume_instance(instance_id)
            await world.client.cancel_instance(instance_id, "the end")
        except EXPECTED:
            continue
    async with asyncio.timeout(PATIENCE_SECONDS):
        for info in (await world.client.list_instances(page=Page(size=1_000))).items:
            await world.client.wait_for_orchestration(info.instance_id)
    assert [each for each in outcomes if isinstance(each, Exception) and not isinstance(each, EXPECTED)] == []
    assert hand.store.availability.outages == 0  # nor was the worker the victim of a deadlock, which it would retry
    # A message that is sent while the last turn is being committed is seen by neither: the sweep is for those.
    await removal.sweep(hand.store)
    assert await world.fetch("select * from inbox") == []
