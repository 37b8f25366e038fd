"""A database that refuses a turn: once, always, or because it is one of too many."""

from __future__ import annotations

from perdure import OrchestrationContext, orchestration
from tests.engine.world import Puppet, World, relay

_REFUSE = """
create function refuse() returns trigger language plpgsql as $$ begin
    if {condition} then raise exception 'refused' using errcode = '{code}'; end if;
    return null;
end $$
"""
_EACH_ROW = "create trigger refuse after insert on history for each row execute function refuse()"
_EACH_STATEMENT = """
create trigger refuse after insert on history referencing new table as fresh
for each statement execute function refuse()
"""


@orchestration("test::orchestration::say")
async def say(ctx: OrchestrationContext, input: str) -> str:
    """Say it after a moment."""
    await ctx.schedule_timer(0)
    return input


async def test_an_error_that_passes_fails_nobody(world: World, puppet: Puppet) -> None:
    """The database has an internal error, once: the turn is sent again."""
    await world.fetch("create sequence tries")
    await world.fetch(_REFUSE.format(condition="nextval('tries') = 2", code="XX000"))
    await world.fetch(_EACH_ROW)
    await world.worker(relay, puppet.activity)
    instance_id = await world.start(relay)
    (await puppet.called()).returns("said twice")

    assert (await world.end(instance_id)).output == "said twice"
    assert puppet.count == 1


async def test_an_error_that_stays_holds_the_one_instance_it_is_about(world: World) -> None:
    """What is not the fault of the data fails nobody, however often it comes; the rest of the batch goes through."""
    await world.fetch(_REFUSE.format(condition="position('damn'::bytea in new.body) > 0", code="XX000"))
    await world.fetch(_EACH_ROW)
    words = ["hello", "damn", "goodbye"]
    ids = [await world.start(say, word) for word in words]
    await world.worker(say)

    held = await world.phase(ids[1], "Suspended")

    assert held.hold_reason == "TurnRefused"
    assert [(await world.end(instance_id)).output for instance_id in (ids[0], ids[2])] == ["hello", "goodbye"]


async def test_a_batch_that_is_too_much_is_halved(world: World) -> None:
    """A statement that takes too long with many turns in it is not sent again as it is for ever."""
    await world.fetch(_REFUSE.format(condition="(select count(*) from fresh) > 3", code="57014"))
    await world.fetch(_EACH_STATEMENT)
    ids = [await world.start(say, str(number)) for number in range(20)]
    await world.worker(say)

    assert [(await world.end(instance_id)).output for instance_id in ids] == [str(number) for number in range(20)]
