"""Pausing, resuming, cancelling and terminating, by what stands in the database afterwards. No worker takes part."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from perdure import errors
from perdure._core import history, limits
from perdure._store.store import Store
from perdure.client import Client
from tests.store.desk import Desk

WAITS = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '-- hold_retry%'"


def reasons(messages: list[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Read the messages that say why."""
    return [(kind, json.loads(payload)["reason"]) for kind, payload in messages]


async def hold(desk: Desk, instance_id: str, reason: str, *, recoveries: int = 0) -> None:
    """Put an instance on hold, as a worker whose code does not fit does."""
    await desk.asleep(instance_id)
    await desk.fetch(
        "update instances set phase = 'Suspended', hold_reason = $2, recoveries = $3 where instance_id = $1",
        instance_id,
        reason,
        recoveries,
    )


async def test_who_waited_in_vain_is_told_how_it_stands(desk: Desk) -> None:
    """The error names the instance, the time and the phase."""
    await desk.start("a")

    with pytest.raises(TimeoutError, match=r"a has not ended within 0\.01 s: it is Pending, and goes on"):
        await desk.client.wait_for_orchestration("a", timeout=0.01)


async def test_a_paused_instance_says_so_and_why(desk: Desk) -> None:
    """Suspended, with the reason of whoever asked; nobody claims it, whatever comes in."""
    await desk.start("a")

    await desk.client.suspend_instance("a", "look at the disk first")

    info = await desk.client.get_instance_info("a")
    assert (info.phase, info.is_suspended, info.suspend_reason) == ("Suspended", True, "look at the disk first")


async def test_the_owner_of_a_paused_instance_is_woken(desk: Desk) -> None:
    """It has to let go of what it holds, so it is told at once."""
    await desk.start("a")
    await desk.claimed("a")

    await desk.client.suspend_instance("a")

    assert (await desk.row("a"))["wakes"]


async def test_pausing_again_is_harmless(desk: Desk) -> None:
    """The newer reason stands; one resume is enough."""
    await desk.start("a")
    await desk.client.suspend_instance("a", "first")

    await desk.client.suspend_instance("a", "second")
    paused = await desk.client.get_instance_info("a")
    await desk.client.resume_instance("a")

    assert paused.suspend_reason == "second"
    assert (await desk.client.get_instance_info("a")).is_suspended is False


@pytest.mark.parametrize(("has_begun", "phase"), [(False, "Pending"), (True, "Running")])
async def test_a_resumed_instance_is_due_at_once(desk: Desk, phase: str, *, has_begun: bool) -> None:
    """It is what it was before the pause, and the next worker takes it."""
    await desk.start("a")
    if has_begun:
        await desk.asleep("a")
    await desk.client.suspend_instance("a", "wait")

    await desk.client.resume_instance("a")

    info, row = await desk.client.get_instance_info("a"), await desk.row("a")
    assert (info.phase, info.suspend_reason, row["wakes"]) == (phase, "", True)


async def test_a_held_instance_is_tried_again_at_once(desk: Desk) -> None:
    """Resuming one whose code did not fit asks for another look; it stays held until that goes well."""
    await desk.start("a")
    await hold(desk, "a", "Nondeterministic")

    await desk.client.resume_instance("a")

    row = await desk.row("a")
    assert (row["phase"], row["hold_reason"], row["wakes"]) == ("Suspended", "Nondeterministic", True)


async def test_a_held_instance_that_somebody_has_in_hand_is_tried_when_another_worker_comes(desk: Desk) -> None:
    """It comes once, so it waits for the row: skipped, the instance would stay held although right code is there."""
    await desk.start("one")
    await hold(desk, "one", "ReplayFailed")
    store, other = await Store.open(desk.dsn), await asyncpg.connect(desk.dsn)
    async with other.transaction():
        await other.execute("select from instances for update")
        trying = asyncio.create_task(store.fetch("hold_retry", ["flow"], ["1.0.0"]))
        async with asyncio.timeout(120):
            while not trying.done() and not await desk.fetch(WAITS):  # noqa: ASYNC110 - it shows in the database
                await asyncio.sleep(0.01)
    await trying

    assert (await desk.row("one"))["wakes"]
    await other.close()
    await store.close()


async def test_a_poisonous_instance_gets_one_more_chance(desk: Desk) -> None:
    """Resuming it lets one worker try; if that dies too, it is poison again."""
    await desk.start("a")
    await hold(desk, "a", "Poison", recoveries=limits.RECOVERIES + 1)

    await desk.client.resume_instance("a")

    row = await desk.row("a")
    assert (row["recoveries"], row["wakes"]) == (limits.RECOVERIES, True)


async def test_resuming_what_runs_changes_nothing(desk: Desk) -> None:
    """One that sleeps until a message comes goes on sleeping."""
    await desk.start("a")
    await desk.asleep("a")

    await desk.client.resume_instance("a")

    row = await desk.row("a")
    assert (row["phase"], row["wake_at"]) == ("Running", None)


@pytest.mark.parametrize("call", [Client.suspend_instance, Client.resume_instance])
async def test_pausing_needs_an_instance_that_has_not_ended(desk: Desk, call: object) -> None:
    """The error names how it ended; one that is not there is another error."""
    await desk.start("a")
    await desk.ended("a", phase="Failed")
    change = desk.client.suspend_instance if call is Client.suspend_instance else desk.client.resume_instance

    with pytest.raises(errors.InstanceFinishedError, match="a is Failed"):
        await change("a")
    with pytest.raises(errors.InstanceNotFoundError):
        await change("nobody")


async def test_a_cancel_ends_a_pause(desk: Desk) -> None:
    """A paused instance could not compensate: it goes on, to end."""
    await desk.start("a", "b")
    await desk.asleep("b")
    for each in ("a", "b"):
        await desk.client.suspend_instance(each)
        await desk.client.cancel_instance(each, "enough")

    rows = [await desk.row(each) for each in ("a", "b")]
    assert [(row["phase"], row["is_suspended"], row["wakes"]) for row in rows] == [
        ("Pending", False, True),
        ("Running", False, True),
    ]


async def test_an_owned_instance_is_told_to_terminate(desk: Desk) -> None:
    """Only its owner may write its turns: it gets a message, and ends it."""
    await desk.start("a")
    await desk.claimed("a")
    await desk.client.suspend_instance("a")

    await desk.client.terminate_instance("a", "now")
    await desk.client.terminate_instance("a", "again")

    row = await desk.row("a")
    assert reasons(await desk.messages("a")) == [("Terminate", "now")]
    assert (row["phase"], row["is_suspended"], row["wakes"]) == ("Running", False, True)


async def test_an_instance_that_nobody_owns_ends_at_once(desk: Desk) -> None:
    """No worker is needed: its last turn says that it was ended by force and why, and its messages are gone."""
    await desk.start("a")
    await desk.asleep("a")
    await desk.client.send_signal("a", "go")

    await desk.client.terminate_instance("a", "the cluster is gone")

    info = await desk.client.get_instance_info("a")
    [turn] = await desk.client.get_history("a")
    assert (info.phase, info.is_finished, await desk.messages("a")) == ("Cancelled", True, [])
    assert info.error is not None
    assert (info.error.code, info.error.message) == ("PERDURE-1208", "the cluster is gone")
    assert turn.events == [history.CancelRequested("the cluster is gone"), history.GraceEnded(is_termination=True)]
    assert [type(command) for command in turn.commands] == [history.CancelOrchestration]


async def test_a_terminated_child_is_told_to_its_parent_and_its_children_are_asked_to_end(desk: Desk) -> None:
    """The parent gets the end as an event of its execution, once; who is below is cancelled, not terminated."""
    await desk.start("root")
    await desk.child("root", "middle")
    await desk.child("middle", "leaf-1", "leaf-2")
    await desk.asleep("root", "middle", "leaf-1")
    await desk.client.suspend_instance("leaf-1")

    await desk.client.terminate_instance("middle", "now")

    [(kind, event)] = await desk.messages("root")
    told = history.decode_event(event)
    assert kind == "Event"
    assert isinstance(told, history.ChildFailed)
    assert (told.seq, told.failure.code, told.failure.message) == (1, "PERDURE-1208", "now")
    assert [row["execution"] for row in await desk.fetch("select execution from inbox where kind = 'Event'")] == [1]
    for leaf in ("leaf-1", "leaf-2"):
        assert reasons(await desk.messages(leaf)) == [("Cancel", "The parent middle was terminated: now")]
        assert (await desk.row(leaf))["is_suspended"] is False
    assert all([(await desk.row(each))["wakes"] for each in ("root", "leaf-1", "leaf-2")])


async def test_a_terminate_leaves_a_paused_parent_paused(desk: Desk) -> None:
    """It hears of its child when it goes on."""
    await desk.start("root")
    await desk.child("root", "child")
    await desk.client.suspend_instance("root", "wait")

    await desk.client.terminate_instance("child")

    assert (await desk.client.get_instance_info("root")).suspend_reason == "wait"
    assert len(await desk.messages("root")) == 1


async def test_a_finished_instance_is_not_terminated(desk: Desk) -> None:
    """It stays as it ended; one that is not there is an error."""
    await desk.start("a")
    await desk.ended("a")

    await desk.client.terminate_instance("a")

    assert (await desk.client.get_instance_info("a")).phase == "Completed"
    with pytest.raises(errors.InstanceNotFoundError):
        await desk.client.terminate_instance("nobody")


async def test_a_reason_is_bounded_and_may_hold_anything(desk: Desk) -> None:
    """Whatever people write goes in: NUL bytes, lone surrogates, whole logs."""
    await desk.start("a")

    await desk.client.suspend_instance("a", "zero \0, half \ud800, " + 5_000 * "x")
    await desk.client.cancel_instance("a", "zero \0, half \ud800")

    info = await desk.client.get_instance_info("a")
    assert len((await desk.row("a"))["suspend_reason"]) <= limits.ERROR_MESSAGE_CHARACTERS
    assert info.phase == "Pending"
    assert reasons(await desk.messages("a")) == [("Cancel", "zero \\0, half ?")]
