"""A Postgres of our own: for trying Perdure out, for demos and for tests. Not for production.

It knows data folders, sockets and settings of a server; it must not know schemas or SQL (`migrate.py` does), and
takes no decision about when an embedded server is wanted (the settings do).

Theory of operation. `postgres` runs in the foreground as our child and dies with us (`child.py`): by SIGINT, which is
Postgres' fast shutdown, so even after SIGKILL of this process the server ends in order. The next start on the same
folder may still come too early, or meet what a killed server left. So the owner holds a lock on the folder, which the
kernel takes back at any death; whoever holds it knows that every server standing in the folder is an orphan, waits
for it, presses harder when it does not go, and removes its `postmaster.pid`. Postgres' own test of that file (does
the process id exist?) is wrong in containers, where ids come again within seconds.

Folder:  owner.lock  password  postgres.log  data/ (PGDATA)  socket/ (unless its path is too long for a socket)

As root the server runs as `nobody` (Postgres refuses root), or as whom the data belongs to. It is told
`-D /proc/self/cwd` and stands in its data folder: so the folders above may be closed to that user, a home of mode 0700
above all. A socket cannot be reached that way; it moves to the temporary folder then.

Who may connect: on the socket, whoever may enter its folder (this user and root), without a password. On TCP, which
is on loopback and only when asked for, every user of the machine can knock: so a password, made at initdb, is in the
DSN.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self
from urllib.parse import quote

from perdure import errors
from perdure._store import binaries, child

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["EmbeddedPostgres"]

_HOST = "127.0.0.1"
_SOCKET_PORT = 5432  # only a part of the socket's file name when TCP is off
_SOCKET_PATH_BYTES = 103 - len("/.s.PGSQL.65535")  # sun_path of macOS, less the closing zero; Linux has 107
_START_SECONDS = 600.0  # crash recovery of a full `max_wal_size` on a slow disk
_STOP_SECONDS = 30.0
_PORT_TRIES = 5
_LOG_BYTES = 16 * 1024 * 1024

# For two cores and a database of some hundred MB beside other work.
_SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "100",
    "wal_level": "minimal",  # nobody replicates from it, and it halves some writes
    "max_wal_senders": "0",
    "wal_buffers": "16MB",
    "max_wal_size": "2GB",  # checkpoints by time, not by volume
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # statements of a millisecond
    "max_parallel_workers_per_gather": "0",
    "autovacuum_naptime": "15s",  # queue tables die young
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedPostgres:
    """A Postgres server that lives in a folder and no longer than this process.

    `folder` is made when missing and keeps its data between starts. `port` is None for the unix socket alone, 0 for any
    free TCP port on loopback, else that port. `durable=False` forgets everything when the machine stops, for tests.
    `in_pod` allows it in a pod. `settings` are added to the server's, and win.

    Use it as a context manager, `with` or `async with`, or by `start` and `stop`; methods block, up to minutes when a
    crash needs recovery.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        in_pod: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._wanted_port = port
        self._port = port or None
        self._in_pod = in_pod
        self._settings = _SETTINGS | ({} if durable else _NOT_DURABLE) | dict(settings or {})
        self._durable = durable
        self._lock: IO[str] | None = None
        self._server: child.Child | None = None
        self._socket_folder = self.folder / "socket"

    def start(self) -> None:
        """Return when the server takes connections; a second call does nothing.

        Raises:
            EmbeddedInPodError: in a pod, and `in_pod` is not set.
            DataFolderInUseError: another process owns the folder.
            PostgresNotFoundError: no binaries, or none of the version that wrote the data.
            EmbeddedPostgresError: anything else, with the end of the server's log.

        """
        if self.is_running:
            return
        if "KUBERNETES_SERVICE_HOST" in os.environ and not self._in_pod:
            raise errors.EmbeddedInPodError
        self._make_folder()
        self._own_folder()
        try:
            _end_orphans(self._data)
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server in order and give the folder back; a second call does nothing."""
        self._end_server()
        if self._socket_folder.parent != self.folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def crash(self) -> None:
        """End the server at once (immediate shutdown): connections break, the next start recovers from the log."""
        if self._server is not None:
            self._server.send(signal.SIGQUIT)
            self._server.wait(_STOP_SECONDS)

    def restart(self) -> None:
        """Start again after `crash`, or stop and start: the same data, the same address, and the folder stays ours."""
        self._end_server()
        self.start()

    @property
    def is_running(self) -> bool:
        """Whether the server process is there."""
        return self._server is not None and self._server.is_running

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        if self._server is None:
            raise errors.EmbeddedPostgresError("The embedded Postgres is not running. Call start() first.")
        return self._server.pid

    @property
    def dsn(self) -> str:
        """The address of the database `postgres` as its superuser; the TCP one when a port was asked for."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """Return the address of any database of this server."""
        if self._port is None:
            host = quote(str(self._socket_folder), safe="")
            return f"postgresql://postgres@/{quote(database)}?host={host}&port={_SOCKET_PORT}"
        password = self._password_file.read_text()
        return f"postgresql://postgres:{password}@{_HOST}:{self._port}/{quote(database)}?sslmode=disable"

    @property
    def _data(self) -> Path:
        return self.folder.resolve() / "data"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    @property
    def _log_file(self) -> Path:
        return self.folder / "postgres.log"

    def _end_server(self) -> None:
        if self._server is None:
            return
        for how, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            self._server.send(how)
            if self._server.wait(seconds) is not None:
                break
        self._server = None

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise errors.EmbeddedPostgresError(
                f"No database is set, and {self.folder}, for the data of an embedded Postgres, cannot be made: "
                f"{failure.strerror}. Set PERDURE_DATABASE_URL to a server, or PERDURE_DATA_FOLDER to a folder that "
                "can be written."
            ) from failure

    def _own_folder(self) -> None:
        """Take the lock that only the kernel can take back from us; nothing when it is ours already."""
        if self._lock is not None:
            return
        lock = (self.folder / "owner.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as failure:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise errors.DataFolderInUseError(str(self.folder), owner) from failure
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _start(self) -> None:
        version_file = self._data / "PG_VERSION"
        is_new = not version_file.exists()
        programs = binaries.find(None if is_new else int(version_file.read_text()))
        account = _account(self._data)
        programs = binaries.within_reach(programs, account)
        if is_new:
            self._initialise(programs, account)
        self._socket_folder = _socket_folder(self.folder.resolve(), account)
        for _ in range(_PORT_TRIES):
            port = _free_port() if self._wanted_port == 0 and self._port is None else self._port
            if self._serve(programs, account, port=port):
                self._port = port
                return
            if self._wanted_port != 0 or self._port is not None or "Address already in use" not in self._log_tail():
                break
        raise errors.EmbeddedPostgresError(
            f"The embedded Postgres {programs.version} in {self.folder} did not start. The end of its log "
            f"({self._log_file}):\n{self._log_tail()}"
        )

    def _serve(self, programs: binaries.Binaries, account: child.Account, *, port: int | None) -> bool:
        """Start the server and tell whether it came up."""
        settings = self._settings | {
            "listen_addresses": "" if port is None else _HOST,
            "port": str(port or _SOCKET_PORT),
            "unix_socket_directories": f'"{self._socket_folder}"',
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES:
            self._log_file.replace(self.folder / "postgres.log.1")
        with self._log_file.open("ab") as log:
            launch = child.Launch(self._data, account, log)
            command = [programs.path("postgres"), "-D", _seen_from_inside(self._data), *words]
            self._server = child.Child(command, launch)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if _is_ready(self._data, self._server.pid):
                return True
            if self._server.wait(0.01) is not None:
                return False
        return False

    def _initialise(self, programs: binaries.Binaries, account: child.Account) -> None:
        """Run initdb beside the data folder and rename: a data folder is whole, or is not there."""
        for leftover in self.folder.resolve().glob("initdb-*"):
            # The kernel ended that initdb together with its owner, but not the server it was filling the folder with.
            child.end(child.running_in(leftover, "postgres"), signal.SIGKILL, seconds=10.0)
            shutil.rmtree(leftover, ignore_errors=True)
        new = Path(tempfile.mkdtemp(dir=self.folder.resolve(), prefix="initdb-"))
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        for path in (new, self._password_file):
            os.chown(path, account.uid, account.gid)
        command = [
            *(programs.path("initdb"), "-D", _seen_from_inside(new), "--username=postgres", "--pwfile=/dev/stdin"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"),
            *([] if self._durable else ["--no-sync"]),
        ]
        with self._log_file.open("ab") as log, self._password_file.open("rb") as password:
            launch = child.Launch(new, account, log, input=password, death_signal=signal.SIGKILL)
            status = child.Child(command, launch).wait(_START_SECONDS)
        if status != 0:
            raise errors.EmbeddedPostgresError(
                f"initdb failed in {self.folder}. The end of its log:\n{self._log_tail()}"
            )
        new.rename(self._data)

    def _log_tail(self) -> str:
        if not self._log_file.exists():
            return "(no log)"
        return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-15:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


def _seen_from_inside(folder: Path) -> str:
    """Return the folder's name for a process that stands in it, also when it may not enter the folders above."""
    return "/proc/self/cwd" if sys.platform == "linux" else str(folder)


def _account(data: Path) -> child.Account:
    """Decide who runs the server: we; instead of root, the owner of the data, or nobody."""
    if os.geteuid() != 0:
        return child.Account(os.geteuid(), os.getegid())
    if data.exists() and data.stat().st_uid != 0:
        return child.Account(data.stat().st_uid, data.stat().st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as failure:
        raise errors.EmbeddedPostgresError(
            "Postgres does not run as root, and there is no user `nobody` to run it. Start Perdure as another user."
        ) from failure
    return child.Account(nobody.pw_uid, nobody.pw_gid)


def _end_orphans(data: Path) -> None:
    """End every server that still stands in the folder, and take away what says that one does.

    Only the owner of the lock calls this. Elsewhere than on Linux the processes cannot be found by where they stand;
    there Postgres' own check of `postmaster.pid` speaks.
    """
    if sys.platform != "linux":
        return
    pid_file = data / "postmaster.pid"
    standing = child.running_in(data, "postgres")
    named = [pid for pid in standing if pid_file.exists() and pid_file.read_text().startswith(f"{pid}\n")]
    if named:
        child.end(named, signal.SIGINT, seconds=_STOP_SECONDS)
    for how in (signal.SIGQUIT, signal.SIGKILL):
        standing = child.running_in(data, "postgres")
        if not standing:
            break
        child.end(standing, how, seconds=10.0)
    pid_file.unlink(missing_ok=True)


def _socket_folder(folder: Path, account: child.Account) -> Path:
    """Make the folder of the socket: in the data's, or where the path is short and the account may enter."""
    temporary = f"perdure-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    for parent, name in ((folder, "socket"), (Path(tempfile.gettempdir()), temporary), (Path("/tmp"), temporary)):  # noqa: S108 - the folder below is private
        path = parent / name
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES or not binaries.can_reach(path.parent, account):
            continue
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if path.is_symlink() or status.st_uid not in {os.geteuid(), account.uid}:
            raise errors.EmbeddedPostgresError(
                f"{path} should hold our socket, but user {status.st_uid} made it. Remove it."
            )
        os.chown(path, account.uid, account.gid)
        path.chmod(0o700)
        for leftover in path.glob(".s.PGSQL.*"):
            leftover.unlink()
        return path
    raise errors.EmbeddedPostgresError(
        f"No folder for a unix socket: every path is longer than {_SOCKET_PATH_BYTES} bytes or closed to user "
        f"{account.uid}. Choose a shorter data folder, or set TMPDIR."
    )


def _is_ready(data: Path, pid: int) -> bool:
    """Tell whether this server takes connections: it says so in the eighth line of `postmaster.pid`."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - the eighth line


def _free_port() -> int:
    """Return a free port below those that the kernel gives to clients.

    A client that knocks again and again at a port of that range, while the server is down, can be given the very port
    as its own and then talks to itself.
    """
    range_file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(range_file.read_text().split()[0]) if range_file.exists() else 49152
    choices = range(10_000, max(lowest, 11_000))
    while True:
        port = random.choice(choices)  # noqa: S311 - a port is no secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
