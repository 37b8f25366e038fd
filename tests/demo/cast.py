"""Who is on the stage: a cluster, a Postgres, the operator's processes; each begins with a `with` and ends with it.

It knows how to start and end things and nothing of the plot. What is started dies with this process, however that dies:
the kernel sees to the children, a lock to the rest (`tests.cluster`, `perdure._store.child`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

from perdure._core import history
from perdure._store import child, connect
from tests.cluster import choice, kind
from tests.cluster.errors import CommandFailedError
from tests.cluster.finding import TITLES, Finder
from tests.cluster.handle import Cluster
from tests.cluster.local import ROOT, LocalControlPlane
from tests.cluster.progress import Progress
from tests.cluster.toolchain import CONTROL_PLANE, cache_folder

__all__ = ["Database", "OperatorProcess", "ProcessError", "a_cluster", "a_company", "tied_to_us"]

MODULES = "workflows,activities,tests.demo.journey"
LEASE_SECONDS = 3
READY_SECONDS = 60
STOP_SECONDS = 15
POLL_SECONDS = 0.05
POSTGRES_IMAGE = "postgres:18"

_LAUNCH = Path(child.__file__).with_name("launch.py")


class ProcessError(Exception):
    """A process of the operator did not do what it was started for."""


def tied_to_us(*command: str | Path) -> list[str]:
    """Give the command by way of the script that has the kernel end it with this process; for the main thread alone."""
    words = (sys.executable, "-I", "-S", _LAUNCH, os.getpid(), int(signal.SIGTERM), os.geteuid(), os.getegid())
    return [str(word) for word in (*words, *command)]


# --- the cluster -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_cluster(folder: Path, progress: Progress) -> Iterator[Cluster]:
    """Give the cluster that `make cluster-up` would choose, but one of our own wherever one is made."""
    around = choice.look_around()
    chosen = choice.choose(choice.wanted_from(os.environ), around)
    progress.say(f"on {TITLES[chosen.kind]} ({chosen.reason})")
    finder = Finder(around, progress)
    match chosen.kind:
        case "kubeconfig":
            yield finder.given(folder)
        case "kind":
            with _a_kind_cluster(finder, folder / "kubeconfig") as cluster:
                yield cluster
        case "local":
            programs = finder.toolchain.ensure(CONTROL_PLANE, progress)
            with contextlib.ExitStack() as stack:
                with progress.step("an API server with its etcd and controllers, on loopback"):
                    control_plane = stack.enter_context(LocalControlPlane(folder / "local", programs))
                yield finder.local(control_plane)


@contextlib.contextmanager
def _a_kind_cluster(finder: Finder, kubeconfig: Path) -> Iterator[Cluster]:
    program = finder.around.kind_program
    assert program is not None
    name = f"perdure-demo-{os.getpid()}"
    with kind.claimed(program, name, cache_folder() / "kind"):
        try:
            with finder.progress.step(f"the kind cluster {name}"):
                kind.create(program, name, kubeconfig=kubeconfig, image=os.environ.get("KIND_IMAGE"))
                cluster = finder.of_kind(name, kubeconfig)
            with contextlib.suppress(CommandFailedError):  # docker does not hold it: then the node pulls it itself
                cluster.load_image(POSTGRES_IMAGE)
            yield cluster
        finally:
            kind.delete(program, name, kubeconfig=kubeconfig)


# --- the database ----------------------------------------------------------------------------------------------------


class Database:
    """A look into Postgres from outside the operator: who owns what, what history says, what stands anywhere."""

    def __init__(self, dsn: str) -> None:
        """Connect; the operator must have made the schema by then."""
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(connect.dedicated(dsn, application_name="perdure-demo"))

    def __enter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close at once: a query may be under way when Ctrl-C comes."""
        self._connection.terminate()
        self._runner.close()

    def owner_or_none(self, instance_id: str) -> int | None:
        """Give the process id of the worker that owns an instance; None while nobody does."""
        description = self._value(
            "select w.description from instances i join workers w on w.worker_id = i.owner_id where i.instance_id = $1",
            instance_id,
        )
        return None if description is None else int(str(description).rpartition(":")[2])

    def now(self) -> datetime:
        """Give the time by the one clock that counts."""
        now = self._value("select clock_timestamp()")
        assert isinstance(now, datetime)
        return now

    def history(self, instance_id: str) -> list[history.Turn]:
        """Give all turns of an instance, the first one first."""
        rows = self._runner.run(
            self._connection.fetch(
                "select at, body from history where instance_id = $1 order by execution, turn", instance_id
            )
        )
        return [history.decode_turn(row["at"], row["body"]) for row in rows]

    def everything(self) -> str:
        """Give every row of every table as text, bytes in hexadecimal digits."""
        tables = "select table_name from information_schema.tables where table_schema = 'public'"
        rows: list[str] = []
        for table in self._runner.run(self._connection.fetch(tables)):
            query = f'select t::text as line from "{table["table_name"]}" t'  # noqa: S608 - the names are Postgres' own
            rows += [row["line"] for row in self._runner.run(self._connection.fetch(query))]
        return "\n".join(rows)

    def _value(self, query: str, *arguments: object) -> object:
        return self._runner.run(self._connection.fetchval(query, *arguments))


# --- the operator ----------------------------------------------------------------------------------------------------


class OperatorProcess:
    """One `perdure run`, with its log in a file."""

    def __init__(self, title: str, role: str, *, log: Path, environment: Mapping[str, str]) -> None:
        """Start it; it is ready when `wait_until_ready` returns."""
        self.title = title
        self.log = log
        self.was_killed = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                tied_to_us(sys.executable, "-m", "perdure", "run", "--roles", role),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo alone
            )
        self.pid = self._process.pid

    def __str__(self) -> str:
        return f"{self.title} (pid {self.pid})"

    def wait_until_ready(self) -> None:
        """Return when it has said so; raise `ProcessError` when it does not come to that."""
        end = time.monotonic() + READY_SECONDS
        while b'"operator_ready"' not in self.log.read_bytes():
            self.check()
            if time.monotonic() > end:
                raise ProcessError(f"{self} is not ready after {READY_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raise `ProcessError` when it has ended, unless it was killed on purpose."""
        if self._process.poll() is not None and not self.was_killed:
            raise ProcessError(f"{self} ended by itself with {self._process.returncode}")

    def kill(self) -> None:
        """End it by SIGKILL, as a node that loses its power would."""
        self.was_killed = True
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, on which it gives its runs back; nothing happens when it has ended."""
        self._process.terminate()

    def end(self) -> None:
        """Wait for its end after `ask_to_stop`; what takes too long is killed."""
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def a_company(cluster: Cluster, dsn: str, *, namespace: str, folder: Path) -> Iterator[list[OperatorProcess]]:
    """Give a controller and two workers, ready, that look at one namespace only; stop them all at the end.

    Their logs are `folder/*.log`.
    """
    environment = {name: value for name, value in cluster.environment.items() if not name.startswith("PERDURE_")}
    environment |= {
        "PERDURE_DATABASE_URL": dsn,
        "PERDURE_MODULES": MODULES,
        "PERDURE_NAMESPACES": namespace,
        "PERDURE_LEASE_SECONDS": str(LEASE_SECONDS),
        "PERDURE_HTTP_PORT": "0",
        "PERDURE_LOG_FORMAT": "json",
    }
    company: list[OperatorProcess] = []
    try:
        for title, role in (("controller", "controller"), ("worker 1", "worker"), ("worker 2", "worker")):
            log = folder / f"{title.replace(' ', '-')}.log"
            company.append(OperatorProcess(title, role, log=log, environment=environment))
        for process in company:
            process.wait_until_ready()
        yield company
    finally:
        for process in company:
            process.ask_to_stop()
        for process in company:
            process.end()
