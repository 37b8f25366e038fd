"""The room of one run: a namespace, a database, and a worker, which is replaced when it has died where it should.

`Stage` is what all rooms share: a cluster, a Postgres, a look at both. What a story does in its room it does from
outside, as people and other programs do: it starts runs, sends signals when somebody waits for them, and waits for
ends; whether a worker dies meanwhile it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg

from activities.kubernetes import fields
from perdure import Manifest
from perdure._core import payload
from perdure._kube.client import Api
from perdure._store import migrate
from perdure._store.store import Store
from perdure.client import Client, InstanceInfo
from tests.awaits import worker
from tests.awaits.births import Births
from tests.postgres_plugin import Server

__all__ = ["PATIENCE_SECONDS", "Room", "Stage"]

PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.02
_RUNNER = "runner"
_MANAGER = "test"
_RBAC = "rbac.authorization.k8s.io"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([worker.__name__])
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A cluster, a Postgres that answers on TCP, a database to copy, and a folder for what workers say."""

    kubeconfig: str
    api: Api
    births: Births
    server: Server
    template: str
    folder: Path

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, kubeconfig: str, server: Server, folder: Path) -> AsyncIterator[Self]:
        """Give a stage for any number of rooms."""
        api = await Api.connect(kubeconfig)
        try:
            with server.database("template0") as dsn:
                await migrate.migrate(dsn)
                async with Births.watched(kubeconfig) as births:
                    yield cls(kubeconfig, api, births, server, urlsplit(dsn).path.removeprefix("/"), folder)
        finally:
            await api.close()


class Hand:
    """A worker process, and the places that it has told of."""

    def __init__(self, orders: worker.Orders) -> None:
        self.orders = orders
        self.places: list[str] = []
        self._gone = asyncio.Event()
        self._line, theirs = _processes.Pipe()
        self._process = _processes.Process(target=worker.work, args=(orders, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._line.fileno(), self._hear)
        # Its exit code can be read once, and whoever starts another process reads it too: so in no other thread.
        self._ended = asyncio.Event()
        self._loop.add_reader(self._process.sentinel, self._end)

    def _hear(self) -> None:
        try:
            while self._line.poll():
                self.places.append(self._line.recv_bytes().decode())
        except (EOFError, ConnectionResetError):
            self._loop.remove_reader(self._line.fileno())
            self._line.close()
            self._gone.set()

    @property
    def pid(self) -> int | None:
        """The process."""
        return self._process.pid

    def _end(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._ended.set()

    async def code(self) -> int | None:
        """Wait for its end; give its exit code."""
        await self._gone.wait()
        await self._ended.wait()
        return self._process.exitcode

    async def stop(self) -> int | None:
        """Ask it to end; give its exit code."""
        self._process.terminate()
        return await self.code()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    @property
    def said(self) -> str:
        """The end of what it has logged."""
        return Path(self.orders.log).read_text(errors="replace")[-3_000:]


class Room:
    """A run of a story: what it may do, and what came of it."""

    def __init__(self, stage: Stage, *, namespace: str, dsn: str, modules: tuple[str, ...], deadly: str) -> None:
        self.stage, self.namespace, self.dsn = stage, namespace, dsn
        self.modules, self.deadly = modules, deadly
        self.namespaces = [namespace]
        self.hands: list[Hand] = []
        self.sides: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        self.client: Client
        self._store: Store
        self._leave: contextlib.AsyncExitStack

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, stage: Stage, modules: tuple[str, ...], *, deadly: str = "") -> AsyncIterator[Self]:
        """Give a room with a worker in it, which dies at that place."""
        namespace = f"awaits-{secrets.token_hex(4)}"
        async with contextlib.AsyncExitStack() as leave:
            database = stage.server.database(stage.template)
            dsn = await asyncio.to_thread(database.__enter__)
            leave.push_async_callback(asyncio.to_thread, database.__exit__, None, None, None)
            room = cls(stage, namespace=namespace, dsn=dsn, modules=modules, deadly=deadly)
            room._leave = leave
            leave.push_async_callback(room._remove_namespaces)
            await room._make_namespace()
            room._store = await Store.open(dsn, application_name="perdure-test", max_connections=2)
            leave.push_async_callback(room._store.close)
            room.client = Client(room._store)
            leave.push_async_callback(room.client.close)
            room.hands.append(room._hand(deadly))
            leave.push_async_callback(room._kill_all)
            yield room

    async def _kill_all(self) -> None:
        for hand in self.hands:
            hand.kill()
            await hand.code()

    def _hand(self, deadly: str) -> Hand:
        log = self.stage.folder / f"worker-{next(_numbers):05}.log"
        orders = worker.Orders(
            dsn=self.dsn,
            kubeconfig=self.stage.kubeconfig,
            namespace=self.namespace,
            log=str(log),
            modules=self.modules,
            deadly=deadly,
        )
        return Hand(orders)

    async def attended(self, story: Awaitable[None]) -> None:
        """Let a story come to its end; a worker that dies at its place is replaced, any other death is an error."""
        playing = asyncio.ensure_future(story)
        tending = asyncio.ensure_future(self._tend())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.wait({playing, tending}, return_when=asyncio.FIRST_COMPLETED)
                for ended in (tending, playing):
                    if ended.done():
                        ended.result()
                tending.cancel()
                await self._end_work()
        except TimeoutError:
            raise AssertionError(f"no end after {PATIENCE_SECONDS:g} s; {await self._state()}") from None
        finally:
            for task in (playing, tending):
                task.cancel()
            await asyncio.gather(playing, tending, return_exceptions=True)

    async def _end_work(self) -> None:
        """Let the worker go; when it dies of that, or has died, only after another has taken over from it."""
        code = None if self.has_died else await self.hands[-1].stop()
        if self.has_died:
            if len(self.hands) == 1:
                self.hands.append(self._hand(""))
            await self.until(self._is_taken_over)
            code = await self.hands[-1].stop()
        assert code == 0, f"a worker ended with {code}: {self.hands[-1].said}"

    async def _is_taken_over(self) -> bool:
        rows = await self.rows("select description from workers")
        return [row["description"].rpartition(":")[2] for row in rows] == [str(self.hands[-1].pid)]

    async def _tend(self) -> None:
        """See to it that there is a worker, for ever."""
        while True:
            hand = self.hands[-1]
            code = await hand.code()
            is_meant = code == -signal.SIGKILL and self.has_died and len(self.hands) == 1
            assert is_meant, f"a worker ended by itself with {code} after {hand.places[-1:]}: {hand.said}"
            self.hands.append(self._hand(""))

    @property
    def has_died(self) -> bool:
        """Whether the first worker has come to the place at which it dies."""
        return bool(self.deadly) and self.hands[0].places[-1:] == [self.deadly]

    async def _state(self) -> str:
        rows = await self.rows("select instance_id, phase, turn, owner_id::text, hold_reason from instances")
        return f"instances: {rows}; the worker said: {self.hands[-1].said}"

    # What a story does.

    async def start(self, run: str, orchestration: str, input: object, *, version: str = "") -> str:
        """Start a run of a resource, by its name and number (without one the first); give its id."""
        instance_id = f"{self.namespace}/{run if ':' in run else f'{run}:1'}"
        data = payload.encode(input, "input")
        who = f"system:serviceaccount:{self.namespace}:{_RUNNER}"
        columns = [[each] for each in (instance_id, orchestration, version, data, who, "Hold")]
        await self._store.fetch("instance_start", *columns)
        return instance_id

    async def end(self, instance_id: str, phase: str = "Completed") -> InstanceInfo:
        """Wait for the end of an instance, which is to be this one."""
        info = await self.client.wait_for_orchestration(instance_id)
        assert info.phase == phase, f"{instance_id} is {info.phase}: {info.error}"
        return info

    async def run(self, run: str, orchestration: str, input: object, *, version: str = "") -> InstanceInfo:
        """Start it and wait for its end."""
        return await self.end(await self.start(run, orchestration, input, version=version))

    async def waits(self, instance_id: str, name: str, *, since: int = -1) -> int:
        """Return when an instance waits for this signal or activity, after that turn; give its turn."""

        async def is_waiting() -> int:
            rows = await self.rows("select turn from instances where instance_id = $1", instance_id)
            if not rows or rows[0]["turn"] <= since:
                return 0
            waits = await self.client.get_waits(instance_id)
            return int(rows[0]["turn"]) if any(wait.name.endswith(name) for wait in waits) else 0

        return int(await self.until(is_waiting))

    async def is_up(self, name: str) -> None:
        """Return when a StatefulSet is ready."""
        changes = self.stage.api.watch("apps/v1", "StatefulSet", name, namespace=self.namespace)
        async with contextlib.aclosing(changes):
            async for found in changes:
                if found is not None and fields.number(found, "status", "readyReplicas"):
                    return

    async def until(self, is_so: Callable[[], Awaitable[Any]]) -> Any:
        """Return what is so, as soon as it is."""
        while not (found := await is_so()):  # noqa: ASYNC110 - it happens in a database
            await asyncio.sleep(_LOOK_SECONDS)
        return found

    async def signal(self, instance_id: str, name: str, value: object = None) -> None:
        """Send a signal."""
        await self.client.send_signal(instance_id, name, value)

    async def create(self, api_version: str, kind: str, name: str, **content: Any) -> None:
        """Make an object as somebody who is no run of ours."""
        manifest: Manifest = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
        }
        await self.stage.api.create({**manifest, **content}, field_manager=_MANAGER)

    async def annotate(self, annotations: Mapping[str, str]) -> None:
        """Say something to the stand-ins that look at the namespace."""
        metadata: Manifest = {"name": self.namespace, "annotations": dict(annotations)}
        patch: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        await self.stage.api.patch(patch, field_manager=_MANAGER)

    # What came of it.

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask the database behind everybody's back."""
        return [dict(row) for row in await self._store.pool.fetch(query, *arguments)]

    async def stranded(self) -> list[str]:
        """Name who waits for what will not come (I5)."""
        return [str(row) for row in await self._store.fetch("stranded")]

    async def moved(self) -> dict[str, list[dict[str, Any]]]:
        """Give the rows that a story has moved, and the notes of it, as each side has them."""
        found = {}
        for side, connection in self.sides.items():
            for table in ("orders", "perdure_migration"):
                if await connection.fetchval("select to_regclass($1)", table) is not None:
                    rows = await connection.fetch(f"select to_jsonb(t) as row from {table} t order by t")  # noqa: S608 - one of two
                    found[f"{side} {table}"] = [json.loads(row["row"]) for row in rows]
        return found

    async def make_side(self, side: str) -> str:
        """Make a database that a story moves rows from or to, for as long as the room is there; give its address."""
        database = self.stage.server.database("template0")
        dsn = await asyncio.to_thread(database.__enter__)
        self._leave.push_async_callback(asyncio.to_thread, database.__exit__, None, None, None)
        self.sides[side] = await asyncpg.connect(dsn)
        self._leave.push_async_callback(self.sides[side].close)
        return dsn

    # The namespace.

    async def _make_namespace(self) -> None:
        api = self.stage.api
        await api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}, field_manager=_MANAGER
        )
        await self.create("v1", "ServiceAccount", _RUNNER)
        role: Manifest = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
        subject: Manifest = {"kind": "ServiceAccount", "name": _RUNNER, "namespace": self.namespace}
        binding: Manifest = {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": self.namespace},
            "roleRef": role,
            "subjects": [subject],
        }
        await api.create(binding, field_manager=_MANAGER)
        async with contextlib.aclosing(
            api.watch("v1", "ServiceAccount", "default", namespace=self.namespace)
        ) as changes:
            async for found in changes:
                if found is not None:  # before that no Pod can be made
                    return

    async def _remove_namespaces(self) -> None:
        api = self.stage.api
        await api.delete(f"{_RBAC}/v1", "ClusterRoleBinding", self.namespace)
        for namespace in self.namespaces:
            await api.delete("v1", "Namespace", namespace)
