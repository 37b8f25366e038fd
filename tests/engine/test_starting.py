"""Starting instances, and what travels in and out of them."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime

import pytest

from perdure import ActivityContext, JsonValue, OrchestrationContext, activity, errors, orchestration
from perdure._core import history, limits
from perdure.client import Client, InstanceFilter, InstanceInfo, Page
from tests.engine.world import ALONE, World


@dataclasses.dataclass
class Size:
    """An input with something to get wrong."""

    width: int
    height: int


@activity("test::activity::echo")
async def echo(ctx: ActivityContext, input: JsonValue) -> JsonValue:
    """Give back what came."""
    return input


@orchestration("test::orchestration::pass-on")
async def pass_on(ctx: OrchestrationContext, input: JsonValue) -> JsonValue:
    """Send a value through an activity."""
    return await ctx.schedule_activity(echo, input)


@orchestration("test::orchestration::answer")
async def answer(ctx: OrchestrationContext) -> int:
    """Return at once."""
    return 42


async def test_an_orchestration_that_returns_at_once_completes_with_its_output(world: World) -> None:
    """Started by a client of another process, it is one turn: started, completed, no activity."""
    await world.worker(answer)

    info = await world.run(answer)

    assert (info.phase, info.output, info.version) == ("Completed", 42, "1.0.0")
    assert info.started_at is not None
    assert info.finished_at is not None
    [turn] = await world.client.get_history(info.instance_id)
    assert isinstance(turn.events[0], history.OrchestrationStarted)
    assert isinstance(turn.commands[0], history.CompleteOrchestration)


async def test_starting_the_same_id_twice_runs_once(world: World) -> None:
    """The second start finds the first, whether that is running or over."""
    await world.worker(pass_on, echo)

    first = await world.client.start_orchestration("twice", pass_on, {"a": 1})
    again = await world.client.start_orchestration("twice", pass_on, {"a": 1})
    await world.end("twice")
    late = await world.client.start_orchestration("twice", pass_on, {"a": 1})

    assert (first.created, again.created, late.created) == (True, False, False)
    assert len(await world.events("twice")) == 2


async def test_one_value_is_one_input_in_whatever_order_its_fields_stand(world: World) -> None:
    """A dataclass, a dict and the JSON of a command line are the same request."""
    first = await world.client.start_orchestration("same", pass_on, Size(width=2, height=1))
    again = await world.client.start_orchestration("same", pass_on, {"height": 1, "width": 2})

    assert (first.created, again.created) == (True, False)


async def test_many_starts_of_one_id_at_once_create_one(world: World) -> None:
    """Of twenty clients in a race one creates the instance, in one batch or in many."""
    async with await Client.connect(world.dsn) as other:
        clients = [world.client, other] * 10
        handles = await asyncio.gather(*(client.start_orchestration("race", answer) for client in clients))

    assert [handle.created for handle in handles].count(True) == 1


@pytest.mark.parametrize(("name", "input"), [("test::orchestration::other", {"a": 1}), (pass_on.name, {"a": 2})])
async def test_an_id_taken_by_something_else_is_a_conflict(world: World, name: str, input: JsonValue) -> None:
    """Another orchestration or another input under the same id is refused, and says what is there."""
    await world.client.start_orchestration("taken", pass_on, {"a": 1})

    with pytest.raises(errors.InstanceConflictError, match="taken") as raised:
        await world.client.start_orchestration("taken", name, input)

    assert "asked for" in raised.value.message


@pytest.mark.parametrize("id", ["", "x" * (limits.INSTANCE_ID_CHARACTERS + 1), "a\0b"])
async def test_an_impossible_instance_id_is_refused(world: World, id: str) -> None:
    """An id that cannot be stored is refused by the client."""
    with pytest.raises(errors.DefinitionError, match="instance id"):
        await world.client.start_orchestration(id, answer)


async def test_an_input_over_the_limit_is_refused_at_the_start(world: World) -> None:
    """The one who sends too much hears it, and nothing is created."""
    with pytest.raises(errors.PayloadTooLargeError, match="limit"):
        await world.client.start_orchestration("large", pass_on, "x" * limits.PAYLOAD_BYTES)

    assert await world.fetch("select 1 from instances") == []


async def test_an_input_that_does_not_fit_fails_with_the_path_and_runs_no_activity(world: World) -> None:
    """A wrong input ends the instance Failed, naming the field and what was expected; nothing else happens."""

    @orchestration("test::orchestration::area")
    async def area(ctx: OrchestrationContext, input: Size) -> JsonValue:
        return await ctx.schedule_activity(echo, input.width * input.height)

    await world.worker(area, echo)

    info = await world.run(area, {"width": 3, "height": "tall"})

    assert info.phase == "Failed"
    assert info.error is not None
    assert info.error.code == "PERDURE-1102"
    assert "height" in info.error.message
    assert "integer" in info.error.message
    assert [type(command) for command in await world.commands(info.instance_id)] == [history.FailOrchestration]


@pytest.mark.parametrize(
    "value",
    ["", "x" * 1_000_000, "zero \0 byte", "línea\nÜberschrift 🌍", {"deep": [{"er": None}, 1.5, True]}, [], None],
    ids=["empty", "large", "nul", "unicode", "nested", "list", "null"],
)
async def test_values_survive_the_journey(world: World, value: JsonValue) -> None:
    """What goes in comes out, through client, history, activity and output."""
    await world.worker(pass_on, echo)

    info = await world.run(pass_on, value)

    assert (info.phase, info.input, info.output) == ("Completed", value, value)


async def test_an_output_over_the_limit_fails_the_instance(world: World) -> None:
    """An orchestration that returns too much ends Failed and says so."""

    @orchestration("test::orchestration::wordy")
    async def wordy(ctx: OrchestrationContext) -> str:
        return "x" * (limits.PAYLOAD_BYTES + 1)

    await world.worker(wordy)

    info = await world.run(wordy)

    assert info.phase == "Failed"
    assert info.error is not None
    assert info.error.type == "PayloadTooLargeError"


async def test_an_instance_nobody_can_run_waits_for_a_worker_that_can(world: World) -> None:
    """An unknown orchestration stays Pending, and is taken up when a worker joins that has it."""
    await world.worker(answer)
    instance_id = await world.start("test::orchestration::later")
    await world.run(answer)
    assert (await world.client.get_instance_info(instance_id)).phase == "Pending"

    @orchestration("test::orchestration::later")
    async def later(ctx: OrchestrationContext) -> str:
        return "here"

    await world.worker(later)

    assert (await world.end(instance_id)).output == "here"


async def test_an_exact_version_is_never_substituted(world: World) -> None:
    """Started on a version, an instance runs on that one; without one, on the highest there is, and keeps it."""

    @orchestration("test::orchestration::versioned", version="1.2.0")
    async def old(ctx: OrchestrationContext) -> str:
        return "old"

    @orchestration("test::orchestration::versioned", version="1.10.0")
    async def new(ctx: OrchestrationContext) -> str:
        return "new"

    await world.client.start_orchestration_versioned("none", old.name, "1.3.0")
    await world.worker(old, new)

    latest = await world.run(old.name)
    await world.client.start_orchestration_versioned("exact", old.name, "1.2.0")

    assert (latest.output, latest.version) == ("new", "1.10.0")
    assert (await world.end("exact")).output == "old"
    assert (await world.client.get_instance_info("none")).phase == "Pending"


async def test_no_version_is_the_highest(world: World) -> None:
    """`None` stands for no version here as everywhere else."""
    await world.worker(answer)

    handle = await world.client.start_orchestration_versioned("any", answer, None)

    assert (await world.end(handle.instance_id)).version == "1.0.0"


async def test_a_start_whose_notify_was_lost_is_found_by_the_poll(world: World) -> None:
    """NOTIFY only makes it quick: an instance that nobody announced is claimed all the same."""
    await world.worker(answer)
    await world.run(answer)

    await world.fetch(
        "insert into instances (instance_id, name, input, wake_at) values ('quiet', $1, 'null', now())", answer.name
    )

    assert (await world.end("quiet")).output == 42


async def test_an_idle_worker_hears_of_a_start_without_polling(world: World) -> None:
    """A worker that polls once an hour takes up a new instance: the client has woken it."""
    hand = await world.worker(answer, settings=ALONE)
    await world.until("select 1 from workers")

    info = await world.run(answer)

    assert info.output == 42
    assert hand.worker.is_ready


async def test_unknown_instances_are_an_error(world: World) -> None:
    """Whoever asks for what is not there hears it."""
    for call in (world.client.get_instance_info, world.client.get_history, world.client.cancel_instance):
        with pytest.raises(errors.InstanceNotFoundError, match="nowhere"):
            await call("nowhere")


@pytest.mark.parametrize("id", ["a\0b", "\ud800", "", "x" * 600], ids=ascii)
async def test_what_can_be_no_id_is_no_instance_and_troubles_nobody(world: World, id: str) -> None:
    """Many are read in one statement: what the database does not take is told to whoever asked, and to no other."""
    there = await world.start(answer)

    asked = [world.client.get_instance_info(id), world.client.get_instance_info(there)]
    wrong, right = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(wrong, errors.InstanceNotFoundError)
    assert isinstance(right, InstanceInfo)
    calls = (
        world.client.get_history,
        world.client.get_tree,
        world.client.list_executions,
        world.client.cancel_instance,
        world.client.suspend_instance,
        world.client.terminate_instance,
        world.client.delete_instance,
    )
    for call in calls:
        with pytest.raises(errors.InstanceNotFoundError):
            await call(id)


async def test_waiting_ends_with_the_timeout_of_the_one_who_waits(world: World) -> None:
    """A wait gives up after its timeout; the instance is not touched."""
    instance_id = await world.start(answer)

    with pytest.raises(TimeoutError):
        await world.client.wait_for_orchestration(instance_id, timeout=0.01)

    await world.worker(answer)
    assert (await world.end(instance_id)).output == 42


async def test_a_timeout_may_be_a_timedelta(world: World) -> None:
    """As every other duration of the API."""
    instance_id = await world.start(answer)

    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        await world.client.wait_for_orchestration(instance_id, datetime.timedelta(milliseconds=10))


async def test_instances_are_listed_in_pages(world: World) -> None:
    """Pages follow each other in the order of ids, filtered, and the last says that it is."""
    await world.worker(answer)
    for number in range(5):
        await world.client.start_orchestration(f"list-{number}", answer)
        await world.end(f"list-{number}")
    await world.client.start_orchestration("list-x", "test::orchestration::unknown")

    first = await world.client.list_instances(InstanceFilter(phase="Completed"), Page(size=3))
    second = await world.client.list_instances(InstanceFilter(phase="Completed"), Page(first.after or "", 3))

    assert [info.instance_id for info in first.items + second.items] == [f"list-{number}" for number in range(5)]
    assert (first.after, second.after) == ("list-2", None)
