"""The scripts of backups against a real server: what a Job runs, run here, with the tools of the server's version.

Only paths differ from the Job's: the folder of the claim and that of the mounted Secret are folders of the test.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from activities.kubernetes import fields
from activities.postgres import jobs
from activities.types import BackupOutput, RestoreOutput
from perdure._store import binaries
from perdure._store.embedded import EmbeddedPostgres

TASK = jobs.Task(
    job="orders-backup-1", server="orders", image="postgres:18", host="db", claim="c", source="orders", backup="monday"
)


@dataclass
class Room:
    """A server with data in it, a folder for backups, and a Secret with its password."""

    server: EmbeddedPostgres
    folder: Path

    def run(self, what: str, *, backup: str = "monday", keep: int = 3, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the script of a Job, as its container does."""
        job = jobs.backup(TASK, keep=keep) if what == "backup" else jobs.restore(TASK)
        [container] = fields.items(job, "spec", "template", "spec", "containers")
        given = {fields.text(each, "name"): fields.text(each, "value") for each in fields.items(container, "env")}
        address = urlsplit(self.server.dsn)
        here = {
            "PGHOST": address.hostname or "",
            "PGPORT": str(address.port),
            "PGDATABASE": "postgres",
            "PGSSLMODE": "disable",
            "SECRETS": str(self.folder / "secret"),
            "FOLDER": str(self.folder / "orders"),
            "BACKUP": backup,
            "RESULT": str(self.folder / "result"),
        }
        path = f"{binaries.find().folder}:{os.environ['PATH']}"
        command = container["command"]
        assert isinstance(command, list)
        return subprocess.run(
            [str(word) for word in command],
            env={**given, **here, **more, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def backed_up(self, **how: Any) -> BackupOutput:
        """Back up; give what the Job says."""
        done = self.run("backup", **how)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (self.folder / "result").read_text()
        return BackupOutput.model_validate_json(done.stdout)

    def files(self) -> list[str]:
        """Name what is in the folder of the server's backups."""
        return sorted(path.name for path in (self.folder / "orders").iterdir())

    async def do(self, *statements: str) -> list[Any]:
        """Run statements; give the first column of the last."""
        connection = await asyncpg.connect(self.server.dsn)
        try:
            rows = [await connection.fetch(statement) for statement in statements]
        finally:
            await connection.close()
        return [row[0] for row in rows[-1]]


@pytest.fixture
async def room(crashable_postgres: EmbeddedPostgres, tmp_path: Path) -> Room:
    """Give a server with a schema of two tables."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "username").write_text("postgres")
    (secret / "password").write_text(urlsplit(crashable_postgres.dsn).password or "")
    room = Room(crashable_postgres, tmp_path)
    await room.do(
        "drop schema public cascade",
        "create schema public",
        "create table orders (id integer primary key, what text not null)",
        "create table notes (order_id integer references orders)",
        "insert into orders values (1, 'apples'), (2, 'pears')",
    )
    return room


async def test_a_backup_brings_back_what_was_lost(room: Room) -> None:
    """Rows that were changed and tables that were dropped are as they were; doing it again comes to the same."""
    made = await asyncio.to_thread(room.backed_up)
    await room.do("drop table notes", "update orders set what = 'nothing'", "insert into orders values (3, 'late')")

    for _ in range(2):
        done = await asyncio.to_thread(room.run, "restore")
        assert done.returncode == 0, done.stderr
        said = RestoreOutput.model_validate_json(done.stdout)

        assert (said.backup, said.tables) == ("monday", 2)
        assert await room.do("select what from orders order by id") == ["apples", "pears"]
        assert await room.do("select count(*) from notes") == [0]
    assert (made.backup, made.tables) == ("monday", 2)
    assert made.size_bytes == (room.folder / "orders" / "monday.dump").stat().st_size


async def test_the_latest_backup_is_the_newest(room: Room) -> None:
    """Who restores need not know a name; without any backup there is nothing to restore."""
    refused = await asyncio.to_thread(room.run, "restore", backup="latest")
    for number, name in enumerate(("z", "a")):
        await asyncio.to_thread(room.backed_up, backup=name)
        os.utime(room.folder / "orders" / f"{name}.dump", (number, number))

    done = await asyncio.to_thread(room.run, "restore", backup="latest")

    assert (refused.returncode, "there is no backup latest" in refused.stdout) == (3, True)
    assert done.returncode == 0, done.stderr
    assert RestoreOutput.model_validate_json(done.stdout).backup == "a"


async def test_a_partitioned_table_is_counted_as_what_it_consists_of(room: Room) -> None:
    """As many tables are in the backup as the restored database has: who compares them finds what did not come back."""
    await room.do(
        "create table days (at date not null) partition by range (at)",
        "create table days_of_may partition of days for values from ('2026-05-01') to ('2026-06-01')",
        "select 1",
    )
    made = await asyncio.to_thread(room.backed_up)

    done = await asyncio.to_thread(room.run, "restore")

    assert done.returncode == 0, done.stderr
    assert made.tables == RestoreOutput.model_validate_json(done.stdout).tables == 4


async def test_a_backup_is_made_once(room: Room) -> None:
    """A second Pod of the Job finds the dump, and says the same of it, whatever is in the database now."""
    first = await asyncio.to_thread(room.backed_up)
    await room.do("insert into orders values (3, 'late')")

    second = await asyncio.to_thread(room.backed_up)

    assert second == first
    assert room.files() == ["monday.dump", "monday.sha256"]


async def test_a_dump_that_died_in_the_middle_is_no_backup(room: Room) -> None:
    """What an earlier Pod has left half-written is written anew, and is not taken for a backup by a restore."""
    (room.folder / "orders").mkdir()
    (room.folder / "orders" / "monday.dump.part").write_text("half")

    refused = await asyncio.to_thread(room.run, "restore")
    made = await asyncio.to_thread(room.backed_up)

    assert (refused.returncode, "there is no backup monday" in refused.stdout) == (3, True)
    assert made.tables == 2
    assert room.files() == ["monday.dump", "monday.sha256"]


async def test_a_damaged_backup_is_not_restored(room: Room) -> None:
    """The checksum is looked at first: what the database has stays as it is."""
    await asyncio.to_thread(room.backed_up)
    with (room.folder / "orders" / "monday.dump").open("r+b") as dump:
        dump.seek(-1, os.SEEK_END)
        dump.write(b"?")

    done = await asyncio.to_thread(room.run, "restore")

    assert (done.returncode, "is damaged" in done.stdout) == (4, True)
    assert await room.do("select count(*) from orders") == [2]


async def test_a_restore_that_fails_changes_nothing(room: Room) -> None:
    """It is one transaction: something in the way at its end leaves everything as it was."""
    await asyncio.to_thread(room.backed_up)
    await room.do(
        "update orders set what = 'new'",
        "create view in_the_way as select id from orders",
        "select count(*) from orders",
    )

    done = await asyncio.to_thread(room.run, "restore")

    assert done.returncode not in {0, 3, 4}
    assert "in_the_way" in done.stderr
    assert await room.do("select distinct what from orders") == ["new"]


async def test_the_newest_backups_are_kept(room: Room) -> None:
    """Older ones go with their checksums, after the new one is there; names do not matter."""
    for number, name in enumerate(("z", "y", "x")):
        await asyncio.to_thread(room.backed_up, backup=name)
        for ending in ("dump", "sha256"):
            os.utime(room.folder / "orders" / f"{name}.{ending}", (number, number))

    await asyncio.to_thread(room.backed_up, backup="a", keep=2)

    assert room.files() == ["a.dump", "a.sha256", "x.dump", "x.sha256"]


async def test_no_password_is_written_or_said(room: Room) -> None:
    """Neither the output, nor the result, nor what lies in the folder afterwards has it; a wrong one ends the Job."""
    password = (room.folder / "secret" / "password").read_text()
    made = await asyncio.to_thread(room.run, "backup", TMPDIR=str(room.folder))
    (room.folder / "secret" / "password").write_text(r"hunter2:\with all that is special")
    refused = await asyncio.to_thread(room.run, "backup", backup="tuesday", TMPDIR=str(room.folder))

    told = [made.stdout, made.stderr, refused.stdout, refused.stderr]
    told += [path.read_text(errors="replace") for path in (room.folder / "orders").iterdir()]
    assert made.returncode == 0
    assert refused.returncode != 0
    assert not [text for text in told if password in text or "hunter2" in text]
    assert not [path.name for path in room.folder.iterdir() if path.name not in {"orders", "result", "secret"}]


async def test_a_password_with_special_characters_opens_the_server(room: Room) -> None:
    """A colon and a backslash are what the format of password files has rules for."""
    password = r"a:b\c d'e"
    await room.do("alter role postgres password 'a:b\\c d''e'")
    (room.folder / "secret" / "password").write_text(password)

    assert (await asyncio.to_thread(room.backed_up)).tables == 2


def test_what_a_job_says_is_json() -> None:
    """The result fits into the last word of a container, of which 4,096 bytes are kept."""
    longest = {"backup": "b" * 121, "sizeBytes": 10**15, "checksum": f"sha256:{'0' * 64}", "tables": 10**6}

    assert len(json.dumps({**longest, "finishedAt": "2026-03-29T01:30:00Z"})) < 4_096
