"""What is too much for one turn or one statement: split where possible, else an error to the right party."""

from __future__ import annotations

import pytest

from perdure import ActivityContext, JsonValue, OrchestrationCancelled, OrchestrationContext, activity, orchestration
from perdure._core import history, limits
from tests.engine.world import PUPPET, Puppet, World, relay

TEXT = "x" * 900


@pytest.fixture(autouse=True)
def _small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a turn's limit small enough to cross it without megabytes."""
    monkeypatch.setattr(limits, "TURN_BYTES", 10_000)
    monkeypatch.setattr(limits, "PAYLOAD_BYTES", 1_000)


@activity("test::activity::echo")
async def echo(ctx: ActivityContext, input: JsonValue) -> JsonValue:
    """Give back a text, however short the input."""
    return TEXT


@orchestration("test::orchestration::fan-out")
async def fan_out(ctx: OrchestrationContext, input: str) -> int:
    """Ask for a hundred texts at once."""
    return len(await ctx.join(*(ctx.schedule_activity(echo, input) for _ in range(50))))


async def test_results_that_come_in_together_are_spread_over_turns(world: World) -> None:
    """Fifty results that are too much for one turn enter several; none is lost, none twice."""
    await world.worker(fan_out, echo)

    info = await world.run(fan_out, "")

    assert info.output == 50
    turns = await world.client.get_history(info.instance_id)
    assert len(turns) > 4
    seqs = [event.seq for turn in turns for event in turn.events if isinstance(event, history.ActivityCompleted)]
    assert sorted(seqs) == list(range(1, 51))


async def test_code_that_asks_for_too_much_at_once_fails_and_runs_nothing(world: World) -> None:
    """The instance fails with the size, the limit and what to do; no activity of that turn is run."""
    await world.worker(fan_out, echo)

    info = await world.run(fan_out, TEXT)

    assert info.error is not None
    assert (info.phase, info.error.code) == ("Failed", "PERDURE-1103")
    assert "Ask for less at once" in info.error.message
    assert [type(command) for command in await world.commands(info.instance_id)] == [history.FailOrchestration]
    assert isinstance((await world.events(info.instance_id))[0], history.OrchestrationStarted)


async def test_a_batch_of_many_large_turns_goes_out_in_parts(world: World) -> None:
    """Instances whose turns are too much for one statement together are committed in several, and all complete."""

    @orchestration("test::orchestration::large")
    async def large(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_timer(0)
        return input

    ids = [await world.start(large, TEXT) for _ in range(40)]
    hand = await world.worker(large)

    assert [(await world.end(instance_id)).output for instance_id in ids] == 40 * [TEXT]
    assert hand.worker.commits >= 8


async def test_a_cancel_among_too_many_results_is_taken_in_with_its_message(world: World, puppet: Puppet) -> None:
    """Results are spread over turns, messages are not: the turn that takes a cancel in deletes its message."""

    @orchestration("test::orchestration::fan-in")
    async def fan_in(ctx: OrchestrationContext) -> None:
        try:
            await ctx.join(*(ctx.schedule_activity(PUPPET) for _ in range(14)))
        except OrchestrationCancelled:
            await ctx.schedule_timer(0)

    await world.worker(fan_in, relay, puppet.activity)
    instance_id = await world.start(fan_in)
    calls = [await puppet.called() for _ in range(14)]
    await world.start(relay)
    other = await puppet.called()
    await world.fetch(
        "create function check_inbox() returns trigger language plpgsql as $$ begin"
        " if position('CancelRequested'::bytea in new.body) > 0"
        " and exists (select from inbox where instance_id = new.instance_id)"
        " then raise check_violation; end if; return null; end $$"
    )
    await world.fetch("create trigger check_inbox after insert on history for each row execute function check_inbox()")
    async with world.outside.transaction():
        await world.fetch("lock table history in access exclusive mode")
        other.returns("first in the lane")
        await world.until("select 1 from pg_locks where relation = 'history'::regclass and not granted")
        await world.client.cancel_instance(instance_id)
        await world.until("select 1 from instances where instance_id = $1 and wake_at is null", instance_id)
        for _ in range(5):  # its worker reads the inbox: one round trip
            await world.fetch("select 1")
        for call in calls:
            call.returns(TEXT[:800])

    assert (await world.end(instance_id)).phase == "Cancelled"
