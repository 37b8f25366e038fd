"""backup-postgres in simulations: a night that goes well, one that does not, and the way back from a backup."""

from __future__ import annotations

import pytest

from perdure.testing import Run, simulate
from tests.unit.library.pretend import ENTRY, Pretence
from workflows.backup_postgres import backup_postgres
from workflows.types import BackupPostgresInput, BackupPostgresOutput

NIGHTLY = BackupPostgresInput(name="orders", keep=14)


def backed_up(pretence: Pretence, **changes: object) -> Run[BackupPostgresOutput]:
    """Run it to its end, with this changed of its input."""
    return simulate(backup_postgres, NIGHTLY.model_copy(update=changes), activities=pretence.activities())


def test_a_backup_is_made_for_the_owner_and_noted() -> None:
    """The run of a schedule is not the owner of the server: the inventory says who is."""
    pretence = Pretence()

    run = backed_up(pretence)

    assert (run.output.backup, run.output.tables, run.output.restored) == ("backup-1", 2, False)
    assert (run.output.size_bytes, run.output.checksum) == (2, "sha256:0")
    asked = run.activities[1].input
    assert isinstance(asked, dict)
    assert (asked["owner"], asked["keep"]) == (ENTRY.owner, 14)
    assert pretence.events == [("backup", "backup-1: 2 tables, 2 bytes, sha256:0")]
    assert [(shown.done, shown.total) for shown in run.progress] == [(0, 2), (1, 2), (2, 2)]


def test_a_lost_volume_gets_its_data_back() -> None:
    """The server was made again, empty; `latest` is the newest backup there is."""
    pretence = Pretence(claims={"data-orders-0": []}, backups={"monday": ["a"], "tuesday": ["a", "b"]})

    run = backed_up(pretence, restore="latest")

    assert run.output == BackupPostgresOutput(backup="tuesday", tables=2, restored=True)
    assert pretence.clients_reach == ["a", "b"]
    assert pretence.events == [("restore", "tuesday: 2 tables")]


@pytest.mark.parametrize(("restore", "kind"), [("", "backup-failed"), ("latest", "restore-failed")])
def test_a_night_that_failed_is_a_failed_run_and_stands_in_the_inventory(restore: str, kind: str) -> None:
    """Who looks at the run or at the server finds the reason."""
    pretence = Pretence(troubles={2: "the claim is full"})

    run = backed_up(pretence, restore=restore)

    assert run.error is not None
    assert run.error.message == "the claim is full"
    assert pretence.events == [(kind, "the claim is full")]


def test_an_inventory_that_is_away_afterwards_costs_the_note_alone() -> None:
    """The backup is there; that it is not noted is a warning."""
    pretence = Pretence(troubles={3: "no database"})

    run = backed_up(pretence)

    assert run.output.backup == "backup-1"
    assert [trace.message for trace in run.traces] == [
        "the inventory did not take that orders had a backup: no database"
    ]


def test_a_server_that_no_inventory_knows_is_backed_up_for_who_is_named() -> None:
    """Its objects say whose it is; nothing is noted."""
    pretence = Pretence(entry=None)

    run = backed_up(pretence, owner="shop/orders-db")

    assert run.output.backup == "backup-1"
    assert pretence.calls == ["inventory-get", "backup-postgres-database"]


@pytest.mark.parametrize("state", ["upgrading", "deleting"])
def test_a_server_in_other_hands_is_left_alone(state: str) -> None:
    """An upgrade makes backups of its own, and of what is being deleted there may be half."""
    run = backed_up(pretence := Pretence(entry=ENTRY.model_copy(update={"state": state})))

    assert run.error is not None
    assert run.error.message.startswith(f"orders is {state}")
    assert pretence.calls == ["inventory-get"]
