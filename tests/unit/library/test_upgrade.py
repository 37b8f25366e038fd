"""upgrade-postgres and roll-back-postgres in simulations: each path, and a failure and a cancel at each single step."""

from __future__ import annotations

import pytest

from activities.types import InventoryEntry
from perdure.testing import Run, Simulation
from tests.unit.library.pretend import ENTRY, OLD, Pretence
from workflows.roll_back_postgres import roll_back_postgres
from workflows.types import RollBackPostgresInput, RollBackPostgresOutput, UpgradePostgresInput, UpgradePostgresOutput
from workflows.upgrade_postgres import upgrade_postgres

TO_18 = UpgradePostgresInput(name="orders", version="18")
AT_ONCE = TO_18.model_copy(update={"require_approval": False})

STEPS = [
    "inventory-get",
    "kubernetes-get",
    "backup-postgres-database",
    "inventory-set-state",
    "delete-postgres-objects",
    "deploy-postgres",
    "wait-for-postgres",
    "backup-postgres-database",
    "delete-postgres-objects",
    "kubernetes-get",
    "kubernetes-delete",
    "deploy-postgres",
    "wait-for-postgres",
    "restore-postgres-database",
    "verify-postgres-connection",
    "inventory-set-state",
    "deploy-postgres",
    "kubernetes-delete",
    "kubernetes-delete",
]
"""The calls of an upgrade that nobody has to approve."""

SWITCH = 16
"""The call that makes the new server the server."""

UPGRADED = OLD.model_copy(update={"version": "18", "volume": "data-v18"})


def simulation_of(pretence: Pretence) -> Simulation:
    """Give a simulation with the stand-ins, and the real way back."""
    return Simulation(activities=pretence.activities(), orchestrations=[roll_back_postgres])


def upgraded(pretence: Pretence, input: UpgradePostgresInput = AT_ONCE, *signals: str) -> Run[UpgradePostgresOutput]:
    """Run an upgrade, and whatever it starts, to the end."""
    with simulation_of(pretence) as simulation:
        run = simulation.start(upgrade_postgres, input, signals=[(name, None) for name in signals])
        simulation.run()
        return run


def failed_with(run: Run[UpgradePostgresOutput]) -> str:
    """Give the sentence that a run failed with."""
    assert run.phase == "Failed"
    assert run.error is not None
    return run.error.message


def test_an_approved_upgrade_moves_the_data_and_drops_the_old_volume_last() -> None:
    """Afterwards there is the new version on the new volume, with the settings of before, and nothing else."""
    pretence = Pretence()

    run = upgraded(pretence, TO_18, "Approve")

    assert run.output == UpgradePostgresOutput(
        from_version="16", version="18", volume="data-v18", backup="backup-2", tables=2
    )
    assert pretence.now == (
        UPGRADED,
        {"orders"},
        {"data-v18-orders-0": ["a", "b"]},
        ("running", "18", "data-v18"),
    )
    assert pretence.calls[-1] == "kubernetes-delete"
    assert (run.progress[-1].done, run.progress[-1].total) == (7, 7)
    assert pretence.entry
    assert pretence.entry.details == {"volume": "data-v18"}


def test_an_upgrade_without_approval_takes_these_steps() -> None:
    """The list by which the other tests count."""
    pretence = Pretence()

    assert upgraded(pretence).phase == "Completed"
    assert pretence.calls == STEPS


def test_the_old_volume_stays_when_it_is_asked_for() -> None:
    """Who wants to be able to look at the data of before keeps it."""
    pretence = Pretence()

    upgraded(pretence, AT_ONCE.model_copy(update={"keep_old_volume": True}))

    assert pretence.claims == {"data-orders-0": ["a", "b"], "data-v18-orders-0": ["a", "b"]}


def test_where_the_worker_is_not_in_the_cluster_nobody_connects() -> None:
    """The input leaves the connection out; the number of tables is looked at all the same."""
    pretence = Pretence()

    assert upgraded(pretence, AT_ONCE.model_copy(update={"verify_connection": False})).phase == "Completed"
    assert "verify-postgres-connection" not in pretence.calls


def test_what_is_written_until_the_server_is_closed_is_moved() -> None:
    """The backup that people approve is not the one that counts: clients may write until the approval, and later."""
    pretence = Pretence()
    with simulation_of(pretence) as simulation:
        run = simulation.start(upgrade_postgres, TO_18)
        simulation.run_until(lambda: "Approve" in run.waits)
        pretence.claims["data-orders-0"].append("c")
        run.signal("Approve")
        simulation.run()

    assert run.output.tables == 3
    assert pretence.clients_reach == ["a", "b", "c"]


@pytest.mark.parametrize("step", range(4, len(STEPS) + 1))
def test_clients_reach_either_the_old_data_before_or_the_new_after(step: int) -> None:
    """Wherever the run is stopped to look, no client reaches a server whose data is or may be left behind."""
    pretence = Pretence(troubles={step: "hang"})
    with simulation_of(pretence) as simulation:
        simulation.start(upgrade_postgres, AT_ONCE)

        assert pretence.calls == STEPS[:step]
        if pretence.clients_reach is not None:
            assert pretence.server == (UPGRADED if step > SWITCH else OLD)
        assert (pretence.clients_reach is None) == (6 <= step <= SWITCH + 1)


@pytest.mark.parametrize(("signals", "said"), [(["Reject"], "was rejected"), ([], "not approved within 60 s")])
def test_without_approval_nothing_is_taken_away(signals: list[str], said: str) -> None:
    """A rejected upgrade and one that nobody answers in time fail; the server has never noticed."""
    pretence, before = Pretence(), Pretence().now

    failure = failed_with(upgraded(pretence, TO_18.model_copy(update={"approval_seconds": 60}), *signals))

    assert said in failure
    assert pretence.now == before
    assert pretence.events == [("upgrade", failure.partition(";")[0])]


@pytest.mark.parametrize("version", ["16", "16.4", "15"])
def test_the_same_or_an_earlier_major_version_is_refused(version: str) -> None:
    """Minor versions need no upgrade of this kind, and there is no way down."""
    run = upgraded(pretence := Pretence(), AT_ONCE.model_copy(update={"version": version}))

    assert f"orders is Postgres 16; {version} is no later major version" in failed_with(run)
    assert pretence.calls == STEPS[:2]


@pytest.mark.parametrize("state", ["creating", "upgrading", "deleting", "failed"])
def test_a_server_that_does_not_run_is_refused(state: str) -> None:
    """What is being made, upgraded or deleted, or has failed, is somebody else's work first."""
    run = upgraded(pretence := Pretence(entry=ENTRY.model_copy(update={"state": state})))

    assert f"orders is {state}" in failed_with(run)
    assert pretence.calls == STEPS[:1]


def test_a_server_that_nobody_knows_is_refused() -> None:
    """Without a place in the inventory nobody could say whose the server is."""
    assert "no server orders in the inventory" in failed_with(upgraded(Pretence(entry=None)))


def test_half_a_server_is_refused() -> None:
    """There must be something to back up and to come back to."""
    assert "has no StatefulSet" in failed_with(upgraded(Pretence(server=None)))


@pytest.mark.parametrize("step", range(4, SWITCH + 1))
def test_a_failure_before_the_switch_leads_back(step: int) -> None:
    """Whichever step fails: the old server is back on its volume, with its clients, and the first error is told."""
    pretence, before = Pretence(troubles={step: "the disk is full"}), Pretence().now

    run = upgraded(pretence)

    assert failed_with(run) == "the disk is full"
    assert pretence.now == before
    assert pretence.clients_reach == ["a", "b"]
    if step > 4:
        assert pretence.events[-1][0] == "running"
        assert "did not come to its end: the disk is full" in pretence.events[-1][1]
        assert pretence.entry
        assert pretence.entry.details == {"volume": "data"}


@pytest.mark.parametrize("step", range(SWITCH + 1, len(STEPS) + 1))
def test_a_failure_after_the_switch_loses_nothing(step: int) -> None:
    """The new server is the server; what is missing of it is named by its version and volume, for the actor to make."""
    pretence = Pretence(troubles={step: "the disk is full"})

    assert failed_with(upgraded(pretence)) == "the disk is full"
    assert pretence.now[3] == ("running", "18", "data-v18")
    assert (pretence.server, pretence.claims["data-v18-orders-0"]) == (UPGRADED, ["a", "b"])


@pytest.mark.parametrize("step", range(1, SWITCH + 1))
def test_a_cancel_before_the_switch_leads_back(step: int) -> None:
    """Whichever step it comes in; the way back is an instance of its own, which no cancel and no grace cuts off."""
    pretence, before = Pretence(troubles={step: "hang"}), Pretence().now
    with simulation_of(pretence) as simulation:
        run = simulation.start(upgrade_postgres, AT_ONCE)
        run.cancel("not today")
        simulation.run()

    assert run.phase == "Cancelled"
    assert pretence.now == before
    assert pretence.clients_reach == ["a", "b"]


@pytest.mark.parametrize("step", range(SWITCH + 1, len(STEPS) + 1))
def test_a_cancel_after_the_switch_leads_on(step: int) -> None:
    """Clients are let in to the new server before the run ends."""
    pretence = Pretence(troubles={step: "hang"})
    with simulation_of(pretence) as simulation:
        run = simulation.start(upgrade_postgres, AT_ONCE)
        run.cancel("too late")
        simulation.run()

    assert run.phase == "Cancelled"
    assert (pretence.server, pretence.services, pretence.clients_reach) == (UPGRADED, {"orders"}, ["a", "b"])


def test_a_cancel_while_it_goes_back_does_not_stop_it() -> None:
    """The upgrade ends cancelled, and the server is back all the same."""
    pretence, before = Pretence(troubles={12: "no such image"}), Pretence().now
    with simulation_of(pretence) as simulation:
        run = simulation.start(upgrade_postgres, AT_ONCE)
        run.cancel("enough")
        simulation.run()

    assert run.phase == "Cancelled"
    assert pretence.now == before


def test_tables_that_did_not_come_back_are_noticed() -> None:
    """Fewer tables than in the backup are no upgrade."""
    pretence, before = Pretence(), Pretence().now
    activities = pretence.activities()
    restore = next(each for each in activities if each.name.endswith("restore-postgres-database"))
    activities[restore] = {"backup": "backup-2", "tables": 1}
    with Simulation(activities=activities, orchestrations=[roll_back_postgres]) as simulation:
        run = simulation.start(upgrade_postgres, AT_ONCE)
        simulation.run()

    assert "Of 2 tables of the backup backup-2 only 1 came back" in failed_with(run)
    assert pretence.now == before


def test_a_backup_during_which_clients_were_let_in_does_not_count() -> None:
    """An actor that had begun to mend makes the Service once more: what clients wrote is in the next backup.

    That it was there is seen before it goes: what a deletion says of itself its next attempt may not know.
    """
    pretence = Pretence(troubles={8: "let in"})

    run = upgraded(pretence)

    assert run.output.backup == "backup-3"
    assert pretence.calls == [*STEPS[:10], "delete-postgres-objects", *STEPS[5:]]
    assert pretence.now[0] == UPGRADED


def test_a_server_that_cannot_be_closed_is_not_upgraded() -> None:
    """Who makes the Service again and again is stronger; nothing is lost."""
    pretence, before = Pretence(troubles={8: "let in", 14: "let in", 20: "let in"}), Pretence().now

    assert "lets clients in to orders whenever it is closed" in failed_with(upgraded(pretence))
    assert pretence.now == before


def test_of_two_upgrades_one_does_not_begin() -> None:
    """Both were approved; who comes second finds the server taken, and leaves what the first one does alone."""
    pretence = Pretence()
    with simulation_of(pretence) as simulation:
        second = simulation.start(upgrade_postgres, TO_18, instance_id="second")
        simulation.run_until(lambda: "Approve" in second.waits)
        pretence.troubles = {len(pretence.calls) + 5: "hang"}
        first = simulation.start(upgrade_postgres, AT_ONCE, instance_id="first")
        second.signal("Approve")
        simulation.run_until(lambda: second.phase != "Running")

        assert "orders is upgrading" in failed_with(second)
        assert first.phase == "Running"
        assert pretence.entry
        assert pretence.entry.details["upgrade"] == "first"


# --- the way back ----------------------------------------------------------------------------------------------------

BACK = RollBackPostgresInput(before=OLD, volume="data-v18", upgrade="up", reason="the disk is full")
HALFWAY = ENTRY.model_copy(update={"state": "upgrading", "details": {"upgrade": "up"}})


def rolled_back(pretence: Pretence) -> Run[RollBackPostgresOutput]:
    """Run the way back to its end."""
    with simulation_of(pretence) as simulation:
        run = simulation.start(roll_back_postgres, BACK)
        simulation.run()
        return run


@pytest.mark.parametrize("entry", [ENTRY, HALFWAY.model_copy(update={"details": {"upgrade": "another"}}), None])
def test_nothing_goes_back_that_is_not_in_the_hands_of_the_upgrade(entry: InventoryEntry | None) -> None:
    """A server with clients, another upgrade's, or one that is gone is left alone."""
    pretence = Pretence(entry=entry)

    assert rolled_back(pretence).output.rolled_back is False
    assert pretence.calls == ["inventory-get"]


def test_a_way_back_that_fails_is_a_failed_server() -> None:
    """Both errors stand in the inventory, and both volumes are there."""
    pretence = Pretence(
        entry=HALFWAY, server=None, claims={"data-orders-0": ["a"], "data-v18-orders-0": []}, troubles={2: "forbidden"}
    )

    assert rolled_back(pretence).phase == "Failed"
    assert pretence.events == [
        ("failed", "the upgrade failed, and so did the way back: forbidden (first: the disk is full)")
    ]
    assert pretence.claims == {"data-orders-0": ["a"], "data-v18-orders-0": []}


def test_a_server_that_is_back_and_not_ready_is_degraded() -> None:
    """All of it is there; its actor, which rested, looks after it again."""
    pretence = Pretence(entry=HALFWAY, server=None, troubles={5: "no node"})

    assert rolled_back(pretence).output.rolled_back is True
    assert pretence.server == OLD
    assert pretence.events[-1][0] == "degraded"
    assert "no node" in pretence.events[-1][1]
