"""The embedded Postgres: it ends with its owner, comes back after every kind of end, and refuses what would lose data.

Most tests share one initialised data folder (initdb is the slow part) and leave it stopped; none needs another's data.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from perdure import errors
from perdure._store import binaries, child, connect
from perdure._store.embedded import EmbeddedPostgres
from tests.postgres_plugin import data_folder

OWNER = textwrap.dedent(
    """
    import pathlib, sys, threading
    from perdure._store.embedded import EmbeddedPostgres
    server = EmbeddedPostgres(pathlib.Path(sys.argv[1]), in_pod=True)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    print(server.pid, flush=True)
    sys.stdin.read()
    """
)
"""A process that owns a server, which it started from a thread that is long gone."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a data folder on which a server ran and was stopped."""
    with data_folder() as path:
        with EmbeddedPostgres(path, in_pod=True):
            pass
        yield path


def owner_of(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a process that owns a server, and say which process the server is."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill(process: subprocess.Popen[str]) -> None:
    """End it by SIGKILL and collect it."""
    process.kill()
    process.communicate()


async def answer(dsn: str, question: str) -> object:
    """Ask one thing over a connection of its own."""
    connection = await connect.dedicated(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@linux_only
def test_a_server_ends_with_its_owner_killed_by_sigkill(folder: Path) -> None:
    """SIGKILL of the owner ends the server too, although the thread that started it had ended long before."""
    owner, server = owner_of(folder)
    death = os.pidfd_open(server)

    kill(owner)

    poll = select.poll()
    poll.register(death, select.POLLIN)
    assert poll.poll(60_000), "the server is still there"
    os.close(death)


async def test_the_next_start_follows_at_once_on_an_owner_killed_by_sigkill(folder: Path) -> None:
    """A start right after SIGKILL of the owner waits for the dying server and then has the folder to itself."""
    owner, old = owner_of(folder)

    kill(owner)

    async with EmbeddedPostgres(folder, in_pod=True) as server:
        assert await answer(server.dsn, "select 1") == 1
        assert old not in child.running_in(folder.resolve() / "data", "postgres")


async def test_a_start_survives_what_a_killed_server_left(folder: Path) -> None:
    """After SIGKILL of the server itself its processes are ended, its log is replayed, and committed work is there."""
    server = EmbeddedPostgres(folder, in_pod=True)
    server.start()
    await answer(server.dsn, "select lo_from_bytea(4711, 'kept')")
    victim = server.pid
    os.kill(victim, signal.SIGKILL)

    server.restart()

    assert server.pid != victim
    assert await answer(server.dsn, "select lo_get(4711)") == b"kept"
    await answer(server.dsn, "select lo_unlink(4711)")
    server.stop()


@linux_only
async def test_a_stale_pid_file_that_names_a_living_stranger_blocks_nothing(folder: Path) -> None:
    """Process ids come again: a `postmaster.pid` with the id of another living process is known to be stale."""
    stranger = f"{os.getpid()}\n{folder}/data\n1\n5432\n\n\n0 0\nready\n"
    pid_file = folder / "data" / "postmaster.pid"
    pid_file.write_text(stranger)

    async with EmbeddedPostgres(folder, in_pod=True) as server:
        assert await answer(server.dsn, "select 1") == 1


def test_an_owner_killed_in_the_middle_of_initdb_leaves_nothing_in_the_way() -> None:
    """A data folder is made beside its place: half of one is removed, with what still writes into it, and made anew."""
    with data_folder() as folder:
        owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, text=True)
        while not any(folder.glob("initdb-*/base/1")):
            assert owner.poll() is None
        kill(owner)

        with EmbeddedPostgres(folder, in_pod=True) as server:
            assert server.is_running

        assert not any(folder.glob("initdb-*"))


def test_a_folder_has_one_owner(folder: Path) -> None:
    """A second server on the same folder is refused, by name of the folder and of the owning process."""
    with EmbeddedPostgres(folder, in_pod=True), pytest.raises(errors.DataFolderInUseError) as refusal:
        EmbeddedPostgres(folder, in_pod=True).start()

    assert str(folder) in str(refusal.value)
    assert f"process {os.getpid()}" in str(refusal.value)


def test_a_pod_gets_no_embedded_server_unless_it_asks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod the data would go with the pod: refused before anything is touched, and the message says the way out."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    with pytest.raises(errors.EmbeddedInPodError, match="PERDURE_DATABASE_URL"):
        EmbeddedPostgres(folder / "untouched").start()

    assert not (folder / "untouched").exists()


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_ways_on(tmp_path: Path) -> None:
    """As where the root file system is read-only and no database is set."""
    (tmp_path / "file").touch()

    with pytest.raises(errors.EmbeddedPostgresError, match=r"cannot be made: Not a directory\. Set PERDURE_DATABASE"):
        EmbeddedPostgres(tmp_path / "file" / "postgres", in_pod=True).start()


def test_data_of_another_version_is_refused_by_name() -> None:
    """Data written by a Postgres that is not here is left alone; the message names the versions that are."""
    with data_folder() as folder:
        (folder / "data").mkdir()
        (folder / "data" / "PG_VERSION").write_text("9\n")

        with pytest.raises(errors.PostgresNotFoundError, match=r"of version 9 to embed; found: \d+"):
            EmbeddedPostgres(folder, in_pod=True).start()


def test_a_server_that_does_not_start_shows_the_end_of_its_log(folder: Path) -> None:
    """What Postgres says about a failed start is in the error, and the folder is free again."""
    with pytest.raises(errors.EmbeddedPostgresError, match="shared_buffers"):
        EmbeddedPostgres(folder, in_pod=True, settings={"shared_buffers": "a lot"}).start()

    with EmbeddedPostgres(folder, in_pod=True) as server:
        assert server.is_running


async def test_a_long_folder_gets_its_socket_elsewhere() -> None:
    """A path that does not fit into a socket address is no obstacle, and the substitute folder goes with the server."""
    with data_folder() as folder:
        server = EmbeddedPostgres(folder / ("long" * 25), in_pod=True, durable=False)

        async with server:
            assert await answer(server.dsn, "select 1") == 1
            sockets = Path(str(await answer(server.dsn, "show unix_socket_directories")).strip('"'))
        assert not sockets.exists()


async def test_tcp_is_there_only_when_asked_for_and_wants_the_password(folder: Path) -> None:
    """With `port=0` the server listens on loopback, where anybody may knock: without the password nobody gets in."""
    async with EmbeddedPostgres(folder, in_pod=True) as server:
        assert await answer(server.dsn, "select current_setting('listen_addresses')") == ""

    async with EmbeddedPostgres(folder, port=0, in_pod=True) as server:
        assert await answer(server.dsn, "select host(inet_server_addr())") == "127.0.0.1"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await answer(server.dsn.replace("postgres:", "postgres:not", 1), "select 1")


@linux_only
def test_the_server_is_out_of_reach_of_ctrl_c_and_knows_nothing_of_our_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a session of its own, so that the owner alone decides when it ends, and none of the owner's secrets."""
    monkeypatch.setenv("A_SECRET", "hidden")

    with EmbeddedPostgres(folder, in_pod=True) as server:
        assert os.getsid(server.pid) == server.pid
        assert b"A_SECRET" not in Path(f"/proc/{server.pid}/environ").read_bytes()


@root_only
async def test_root_may_keep_the_data_in_a_closed_home() -> None:
    """The unprivileged user that runs the server needs no right in the folders above the data, and gets none."""
    with data_folder() as home:
        home.chmod(0o700)

        async with EmbeddedPostgres(home / "data", in_pod=True, durable=False) as server:
            assert await answer(server.dsn, "select 1") == 1
            assert Path(f"/proc/{server.pid}").stat().st_uid != 0

        assert home.stat().st_mode & 0o777 == 0o700


@root_only
def test_binaries_in_a_closed_home_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the unprivileged user cannot enter come from a cache; the home stays as closed as it was."""
    programs = binaries.find()
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    nobody = child.Account(65534, 65534)
    with data_folder() as cache:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        monkeypatch.setattr(binaries, "can_reach", lambda path, _account: path.is_relative_to(cache))

        first = binaries.within_reach(programs, nobody)
        stamp = first.folder.stat().st_mtime_ns
        second = binaries.within_reach(programs, nobody)

        assert first == second
        assert second.folder.stat().st_mtime_ns == stamp
        as_nobody = subprocess.run(
            [second.path("initdb"), "--version"], user=65534, group=65534, extra_groups=[], check=True, cwd="/"
        )
        assert as_nobody.returncode == 0
