"""The orchestrations of a Postgres server in simulations: what they leave behind, whatever fails on the way.

Each turn is replayed from history, so what passes here is deterministic too. `Estate` stands for cluster and inventory.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
from typing import Any

import pytest

from activities.inventory.look import get_entry
from activities.inventory.release import release
from activities.inventory.reserve import reserve
from activities.postgres.connection import verify_connection
from activities.postgres.deploy import deploy_postgres
from activities.postgres.health import check_postgres_health
from activities.postgres.wait import wait_for_postgres
from activities.types import HealthInput, HealthOutput, ReleaseInput, ReleaseOutput, VerifyConnectionOutput, WaitOutput
from perdure import ActivityContext, JsonValue, errors
from perdure._core.definition import AnyActivity
from perdure.testing import Run, Simulation, simulate
from tests.unit.library.estate import KINDS, WHEN, Estate
from workflows import servers
from workflows.create_postgres import create_postgres
from workflows.delete_postgres import delete_postgres
from workflows.postgres_actor import ROUNDS, postgres_actor
from workflows.types import (
    CreatePostgresInput,
    CreatePostgresOutput,
    DeletePostgresInput,
    DeletePostgresOutput,
    PostgresActorInput,
    PostgresActorOutput,
)

HOUR = 3600.0
READY = CreatePostgresOutput(host="pg.shop.svc", port=5432, database="app", secret_name="pg-credentials", version="18")
OTHERS = {delete_postgres: delete_postgres, postgres_actor: PostgresActorOutput(reason="", rounds=0, healed=0)}
"""The actor has tests of its own: here it only must have been started."""


def create(estate: Estate, activities: dict[object, object] | None = None, **input: JsonValue) -> Run[object]:
    """Create the server `pg`, with these activities in place of the usual ones."""
    with Simulation(activities={**estate.activities, **(activities or {})}, orchestrations=OTHERS) as simulation:
        asked_for = CreatePostgresInput.model_validate({"name": "pg", **input})
        run = simulation.start(create_postgres, asked_for, instance_id="shop/pg-db:1")
        simulation.run()
    return run


def steps(run: Run[object]) -> list[str]:
    """Name the activities that were asked for, by the last part of their names."""
    return [call.name.rpartition("::")[2] for call in run.activities]


@pytest.fixture
def estate() -> Estate:
    """Give a server that runs."""
    estate = Estate()
    create(estate)
    return estate


def test_a_server_is_reserved_made_connected_to_and_looked_after() -> None:
    """Each step is shown before it begins; the output is what a client needs, and an actor is left behind."""
    estate = Estate()

    run = create(estate)

    assert run.output == READY
    assert [(shown.done, shown.total) for shown in run.progress] == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert estate.entry is not None
    assert (estate.entry.state, estate.entry.owner) == ("running", "shop/pg-db")
    assert [(one.instance_id, estate.entry.actor) for one in run.started] == [("shop/pg-db:1::actor",) * 2]


def test_where_the_server_cannot_be_reached_nobody_connects() -> None:
    """An operator outside the cluster leaves that step out, and who wants no actor gets none."""
    run = create(Estate(), verifyConnection=False, actor=False)

    assert run.output == READY
    assert "verify-postgres-connection" not in steps(run)
    assert run.started == []


def test_a_creation_that_fails_is_cleaned_up_and_fails_with_what_it_failed_with() -> None:
    """Nothing is left but the story: the error is the first one, the state is failed, the name is free."""
    refused = errors.PostgresUnreachableError("pg.shop.svc:5432/app", "connection refused")
    estate = Estate()

    run = create(estate, {verify_connection: refused})

    assert run.error is not None
    assert run.error.type == "PostgresUnreachableError"
    assert estate.objects == []
    assert run.progress[-1].message == "what was made of pg is removed"
    assert estate.entry is not None
    assert (estate.entry.state, estate.entry.released_at is not None) == ("failed", True)
    assert "connection refused" in str(estate.entry.failure)


def test_what_failed_may_be_kept_to_be_looked_at() -> None:
    """Without the clean-up the objects stay, and the name with them."""
    estate = Estate()

    run = create(estate, {wait_for_postgres: errors.ObjectFailedError("Pod pg-0", "CrashLoopBackOff")}, cleanUp=False)

    assert run.phase == "Failed"
    assert estate.objects == list(KINDS)
    assert estate.entry is not None
    assert estate.entry.released_at is None


def test_a_clean_up_that_fails_hides_no_error() -> None:
    """The run fails with the first error; that of the clean-up is told beside it."""
    estate = Estate(away={"delete-postgres-objects"})

    run = create(estate, {wait_for_postgres: errors.ObjectFailedError("Pod pg-0", "CrashLoopBackOff")})

    assert run.error is not None
    assert "CrashLoopBackOff" in run.error.message
    assert any("could not be removed" in trace.message for trace in run.traces)


def test_a_name_of_somebody_else_is_left_alone() -> None:
    """Who is refused a name touches nothing of its holder."""
    estate = Estate(objects=list(KINDS))
    taken = errors.NameTakenError("The name pg", "shop", owner="shop/other", wanted_by="shop/pg-db")

    run = create(estate, {reserve: taken})

    assert run.error is not None
    assert run.error.type == "NameTakenError"
    assert steps(run) == ["inventory-reserve"]
    assert estate.objects == list(KINDS)


def test_a_changed_request_changes_the_server_that_is_there() -> None:
    """The second run of a resource finds its server, changes it, and tells the actor that it has."""
    estate = Estate()
    create(estate)
    estate.known(details={"volume": "data-v18"})

    run = create(estate, parameters={"work_mem": "64MB"})

    assert run.output == READY
    assert (estate.deployed[-1].parameters, estate.deployed[-1].volume) == ({"work_mem": "64MB"}, "data-v18")
    assert [(one.instance_id, one.signal) for one in run.sent] == [("shop/pg-db:1::actor", servers.UPDATE)]
    assert run.started == []


def test_a_server_that_runs_is_not_removed_because_a_change_of_it_fails() -> None:
    """The clean-up is for what was never there."""
    estate = Estate()
    create(estate)

    run = create(estate, {wait_for_postgres: errors.ObjectFailedError("Pod pg-0", "CrashLoopBackOff")})

    assert run.phase == "Failed"
    assert estate.objects == list(KINDS)
    assert estate.entry is not None
    assert estate.entry.state == "running"


@pytest.mark.parametrize("state", ["upgrading", "deleting"])
def test_a_server_in_other_hands_is_not_changed(estate: Estate, state: str) -> None:
    """What an upgrade or a deletion has taken away is not made again by a change that comes meanwhile."""
    estate.known(state=state, message="by somebody else")
    estate.objects.clear()

    run = create(estate)

    assert run.error is not None
    assert f"pg is {state}: by somebody else" in run.error.message
    assert estate.objects == []


def test_a_server_that_answers_late_is_no_failure() -> None:
    """A server that is starting refuses a few times."""

    def starting(ctx: ActivityContext) -> VerifyConnectionOutput:
        if ctx.attempt < 4:
            raise errors.PostgresUnreachableError("pg.shop.svc:5432/app", "connection refused")
        return VerifyConnectionOutput(server_version="18.4")

    run = create(Estate(), {verify_connection: starting})

    assert run.output == READY
    assert "Postgres 18.4 answers at pg.shop.svc" in [trace.message for trace in run.traces]


def test_a_creation_that_is_cancelled_takes_back_what_it_made() -> None:
    """The cancel reaches it while it waits; what there is goes, and the inventory says why."""
    estate = Estate()
    waiting = {wait_for_postgres: _wait_for_ever}
    with Simulation(activities={**estate.activities, **waiting}, orchestrations=OTHERS) as simulation:
        run = simulation.start(create_postgres, CreatePostgresInput(name="pg"), instance_id="shop/pg-db:1")
        assert estate.objects == list(KINDS)
        run.cancel("not needed any more")
        simulation.run()

        assert run.phase == "Cancelled"
        assert estate.objects == []
        assert estate.entry is not None
        assert estate.entry.released_at is not None


async def _wait_for_ever(ctx: ActivityContext) -> WaitOutput:
    await asyncio.sleep(HOUR)
    return WaitOutput(message="ready")


@pytest.mark.parametrize("step", [get_entry, deploy_postgres, wait_for_postgres, reserve])
def test_a_change_that_is_cancelled_removes_nothing(estate: Estate, step: AnyActivity) -> None:
    """At whichever step: what runs is not removed because somebody changes their mind about a change."""
    first: list[Any] = []

    async def hang_once(_: ActivityContext, input: Any) -> Any:
        if not first:
            first.append(input)
            await asyncio.sleep(HOUR)
        return estate.does(step, input)

    with Simulation(activities={**estate.activities, step: hang_once}, orchestrations=OTHERS) as simulation:
        run = simulation.start(create_postgres, CreatePostgresInput(name="pg"), instance_id="shop/pg-db:2")
        run.cancel("another change comes")
        simulation.run()

        assert run.phase == "Cancelled"
        assert estate.objects == list(KINDS)
        assert estate.entry is not None
        assert (estate.entry.state, estate.entry.released_at) == ("running", None)


def test_a_server_is_deleted_in_order_and_its_name_is_given_back_last() -> None:
    """Its actor is told first and answers; then the objects go, then the name."""
    estate = Estate()
    create(estate)
    with Simulation(activities=estate.activities) as simulation:
        actor = simulation.start(
            postgres_actor, PostgresActorInput(name="pg", owner="shop/pg-db"), instance_id="shop/pg-db:1::actor"
        )
        run = simulation.start(delete_postgres, DeletePostgresInput(name="pg"), instance_id="shop/gone:1")
        for sent in run.sent:
            actor.signal(sent.signal, sent.payload)
        for sent in actor.sent:
            run.signal(sent.signal, sent.payload)
        simulation.run()

        assert actor.output.reason == "pg is being deleted"
        assert run.output == DeletePostgresOutput(deleted=[f"{kind} pg" for kind in KINDS])
        assert steps(run)[-2:] == ["delete-postgres-objects", "inventory-release"]
        assert estate.entry is not None
        assert estate.entry.state == "deleted"


def test_an_actor_that_is_gone_does_not_keep_a_server_from_being_deleted() -> None:
    """It is waited for a minute and a half, not for ever."""
    estate = Estate()
    create(estate)

    run = simulate(delete_postgres, DeletePostgresInput(name="pg"), activities=estate.activities)

    assert run.phase == "Completed"
    assert estate.objects == []
    assert run.elapsed == 90


def test_what_a_controller_makes_after_the_last_look_is_deleted_before_the_name_is_free() -> None:
    """What is made too late holds the name; it goes as well, and nobody has to come by."""
    estate = Estate()
    create(estate)
    looks = itertools.count()

    def give_back(_: ActivityContext, input: ReleaseInput) -> ReleaseOutput:
        if next(looks) == 0:
            estate.objects.append("Pod")
        if estate.objects:
            raise errors.NameInUseError("pg", "shop", estate.objects, retryable=False)
        return estate.release(input)

    run = simulate(
        delete_postgres, DeletePostgresInput(name="pg"), activities={**estate.activities, release: give_back}
    )

    assert run.phase == "Completed"
    assert run.output.deleted[-1] == "Pod pg"
    assert estate.entry is not None
    assert estate.entry.state == "deleted"


def test_a_name_that_somebody_took_meanwhile_is_left_to_them() -> None:
    """What holds it then is another server: it is neither deleted nor given back."""
    estate = Estate()
    create(estate)

    def give_back(_: ActivityContext, input: ReleaseInput) -> ReleaseOutput:
        estate.known(reserved_at=WHEN + datetime.timedelta(hours=1))
        estate.objects.append("StatefulSet")
        raise errors.NameInUseError("pg", "shop", estate.objects, retryable=False)

    run = simulate(
        delete_postgres, DeletePostgresInput(name="pg"), activities={**estate.activities, release: give_back}
    )

    assert run.error is not None
    assert "there is still StatefulSet" in run.error.message
    assert estate.objects == ["StatefulSet"]


def test_a_server_of_somebody_else_is_not_deleted() -> None:
    """Who says whose server it means is held to it."""
    estate = Estate()
    create(estate)

    run = simulate(delete_postgres, DeletePostgresInput(name="pg", owner="shop/mine"), activities=estate.activities)

    assert run.error is not None
    assert "belongs to shop/pg-db" in run.error.message
    assert estate.objects == list(KINDS)


STATE = PostgresActorInput(name="pg", owner="shop/pg-db", period_seconds=60)


def test_what_is_deleted_by_hand_is_made_again_within_a_period(estate: Estate) -> None:
    """The next look finds it, mends it, and says so."""
    with Simulation(activities=estate.activities) as simulation:
        run = simulation.start(postgres_actor, STATE)
        estate.objects.remove("Service")
        simulation.advance(60)

        assert estate.objects == list(KINDS)
        assert run.custom_status == {
            "healthy": False, "message": "mended: Service", "healed": 1, "lastHealed": "Service",
        }  # fmt: skip
        simulation.advance(5)
        assert isinstance(run.custom_status, dict)
        assert run.custom_status["healthy"] is True


@pytest.mark.parametrize(
    "away", ["check-postgres-health", "inventory-get", "inventory-record-health", "deploy-postgres"]
)
def test_no_outage_ends_an_actor(estate: Estate, away: str) -> None:
    """Whatever it needs may be away for half a day: it goes on when that is back."""
    with Simulation(activities=estate.activities) as simulation:
        run = simulation.start(postgres_actor, STATE.model_copy(update={"period_seconds": HOUR}))
        estate.away.add(away)
        estate.objects.remove("Service")
        simulation.advance(12 * HOUR)
        estate.away.clear()
        simulation.advance(2 * HOUR)

        assert run.phase == "Running"
        assert estate.objects == list(KINDS)


def test_an_actor_that_never_ends_has_short_histories(estate: Estate) -> None:
    """It begins anew now and then, and carries what it has counted."""
    with Simulation(activities=estate.activities) as simulation:
        run = simulation.start(postgres_actor, STATE)
        estate.objects.remove("Service")
        simulation.advance(60 * (ROUNDS + 2))

        assert run.executions == 2
        assert isinstance(run.custom_status, dict)
        assert run.custom_status["healed"] == 1


def test_an_actor_leaves_a_server_alone_that_is_being_upgraded(estate: Estate) -> None:
    """What is missing then is missing on purpose."""
    estate.known(state="upgrading")
    estate.objects.clear()
    with Simulation(activities=estate.activities) as simulation:
        simulation.start(postgres_actor, STATE)
        simulation.advance(600)

        assert estate.objects == []


def test_an_actor_mends_nothing_while_the_inventory_does_not_answer(estate: Estate) -> None:
    """It cannot know whether the server is missing on purpose, nor which volume it has by now."""
    estate.away.add("inventory-get")
    estate.objects.clear()
    with Simulation(activities=estate.activities) as simulation:
        simulation.start(postgres_actor, STATE)
        simulation.advance(600)

        assert estate.objects == []


def test_what_is_taken_away_while_an_actor_looks_is_not_made_again(estate: Estate) -> None:
    """An upgrade that begins between its look and its hand is seen: it asks once more before it mends."""

    def taken_away(look: HealthInput) -> HealthOutput:
        estate.known(state="upgrading")
        estate.objects.clear()
        return estate.look(look)

    activities = {**estate.activities, check_postgres_health: lambda _, look: taken_away(look)}
    with Simulation(activities=activities) as simulation:
        simulation.start(postgres_actor, STATE)
        simulation.advance(600)

        assert estate.objects == []


def test_an_actor_whose_name_has_another_holder_ends(estate: Estate) -> None:
    """The name was given back and taken by somebody else: that is not its server."""
    estate.known(owner="shop/other")

    run = simulate(postgres_actor, STATE, activities=estate.activities)

    assert run.output.reason == "the inventory says that pg is shop/other's now"


def test_an_actor_keeps_the_version_and_the_volume_of_an_upgrade(estate: Estate) -> None:
    """Which major version a server is, the inventory knows; not the input of long ago."""
    estate.known(version="19", details={"volume": "data-v19"})
    estate.drifted.append("StatefulSet spec.replicas")
    with Simulation(activities=estate.activities) as simulation:
        simulation.start(postgres_actor, STATE)
        simulation.advance(60)

        assert (estate.deployed[-1].version, estate.deployed[-1].volume) == ("19", "data-v19")


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_an_actor_whose_server_is_going_ends(estate: Estate, state: str) -> None:
    """Also when nobody could tell it."""
    estate.known(state=state)
    estate.objects.clear()

    run = simulate(postgres_actor, STATE, activities=estate.activities)

    assert run.output.reason == f"the inventory says that pg is {state}"
    assert estate.objects == []


def test_a_managed_server_is_there_as_long_as_its_run() -> None:
    """Applying it makes the server, and cancelling it removes the server."""
    estate = Estate()
    with Simulation(activities=estate.activities, orchestrations=[delete_postgres]) as simulation:
        run = simulation.start(postgres_actor, PostgresActorInput(name="pg", managed=True), instance_id="shop/pg:1")
        simulation.advance(60)
        assert estate.objects == list(KINDS)
        run.signal(servers.UPDATE, {"name": "pg", "managed": True, "parameters": {"work_mem": "64MB"}})
        estate.drifted.append("StatefulSet args")
        simulation.advance(60)
        assert estate.deployed[-1].parameters == {"work_mem": "64MB"}
        run.cancel("deleted")
        simulation.run()

        assert run.phase == "Cancelled"
        assert estate.objects == []
        assert [shown.message for shown in run.progress] == [
            "looking pg up",
            "deleting the objects of pg",
            "giving the name pg back",
            "pg is gone",
        ]
        assert isinstance(run.custom_status, dict)
        assert (run.custom_status["healthy"], run.custom_status["message"]) == (False, "removing pg")
