"""The places at which a worker can die, told while it works: around each commit, each activity and each of its effects.

An await is an activity, a timer, a signal or a child, and each is a commit that asks for it and one that takes its end
in; between both an activity has effects of its own. So a worker that dies before and after every commit, at the begin
and at the end of every activity, and after each thing that an activity has changed, has died at every await: before it,
in its middle and after it. What is never a place is the moment between two of these, in which nothing lasting happens.

This is put around what a worker is made of (store, activities, client of the API server, connections), and changes
nothing of it. It must not know which workflow runs.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import asyncpg

from perdure import ActivityRegistry, KubernetesApi
from perdure._core import history
from perdure._core.activity import current
from perdure._core.definition import AnyActivity
from perdure._store.store import Record, Store
from tests.awaits import normal

__all__ = ["Crossings", "WatchedApi", "WatchedStore", "watch_connections", "watched"]

_AT = datetime.datetime.fromtimestamp(0, datetime.UTC)
_WRITES = frozenset({"apply", "create", "patch", "delete"})
_COMMENT = re.compile(r"--[^\n]*\n|\s+")


class Crossings:
    """Tells of each place that is crossed, by its name; dies at one of them, as the kernel kills."""

    def __init__(self, tell: Callable[[str], None], *, namespace: str, deadly: str) -> None:
        """`tell` each of them at once; an empty `deadly` kills nobody."""
        self._tell = tell
        self._namespace = namespace
        self._deadly = deadly
        self._counts: collections.Counter[str] = collections.Counter()

    def cross(self, instance_id: str, where: str) -> None:
        """Be at a place; the second time it has another name."""
        place = f"{instance_id.removeprefix(f'{self._namespace}/')} {normal.text(where, self._namespace)}"
        self._counts[place] += 1
        place = place if self._counts[place] == 1 else f"{place} ({self._counts[place]})"
        self._tell(place)
        if place == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def inside(self, where: str) -> None:
        """Be at a place of the activity whose code runs here; outside of all activities there is none."""
        context = current.get()
        if context is not None:
            info = context.info
            self.cross(info.instance_id, f"{_short(info.activity)} #{info.seq}{_life(info.execution)} {where}")


class WatchedStore(Store):
    """A store that crosses a place before and after each commit."""

    crossings: Crossings

    async def fetch(self, name: str, *arguments: object) -> list[Record]:
        """Run a statement."""
        places = list(_committed(name, arguments))
        for instance_id, what in places:
            self.crossings.cross(instance_id, f"{what} before its commit")
        rows = await super().fetch(name, *arguments)
        for instance_id, what in places:
            self.crossings.cross(instance_id, f"{what} after its commit")
        return rows


def _committed(name: str, arguments: Sequence[object]) -> Iterator[tuple[str, str]]:
    """Name what a statement commits of which instance."""
    match name.partition("_without_")[0]:  # a commit may go without some of its parts
        case "commit_turn":
            instance_id, execution, body = arguments[1], arguments[3], cast("bytes", arguments[9])
            yield from ((str(instance_id), what) for what in _told({"execution": execution}, body))
        case "commit_turns":
            bodies = cast("Sequence[bytes]", arguments[2])
            turns = [row for row in json.loads(cast("str", arguments[1])) if row.get("turn") is not None]
            for row, body in zip(turns, bodies, strict=True):
                yield from ((row["instance_id"], what) for what in _told(row, body))
        case "tasks_record_failure":
            instance_ids, _, seqs, failed = cast("Sequence[Sequence[Any]]", arguments[1:5])
            for instance_id, seq, count in zip(instance_ids, seqs, failed, strict=True):
                yield instance_id, f"failure {count} of #{seq}"
        case _:
            return


def _told(row: Mapping[str, Any], body: bytes) -> Iterator[str]:
    """Name a turn by each event that it takes in, and by how it ends: which of them come together is chance."""
    life = _life(row["execution"])
    for event in history.decode_turn(_AT, body).events:
        which = f"#{seq}" if (seq := getattr(event, "seq", None)) else getattr(event, "name", "")
        yield f"{type(event).__name__} {which}{life}"
    if row.get("next_execution"):
        yield f"the continuing as new{life}"


class WatchedApi:
    """A `KubernetesApi` that crosses a place after each write, and when a watch has shown something."""

    def __init__(self, api: KubernetesApi, crossings: Crossings) -> None:
        self._api = api
        self._crossings = crossings

    def __getattr__(self, name: str) -> Any:
        """Give what the API server can, and cross a place after it when it changes something."""
        call = getattr(self._api, name)
        if name not in _WRITES:
            return call

        async def write(*arguments: Any, **options: Any) -> object:
            answer: object = await call(*arguments, **options)
            self._crossings.inside(f"after {name} {_target(arguments)}")
            return answer

        return write

    async def watch(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        """Give what a watch gives."""
        is_first = True
        async for found in self._api.watch(*arguments, **options):
            if is_first:
                self._crossings.inside(f"while it watches {_target(arguments)}")
            is_first = False
            yield found


def _target(arguments: Sequence[Any]) -> str:
    """Name the object that a call is about: its arguments begin with a manifest, or with version, kind and name."""
    if isinstance(arguments[0], dict):
        return normal.name(arguments[0])
    return f"{arguments[1]} {arguments[2]}"


def watched(activities: ActivityRegistry, crossings: Crossings) -> ActivityRegistry:
    """Give the same activities, each of which crosses a place when it begins, and one when it ends."""
    return ActivityRegistry.of(*(_watched(each, crossings) for each in activities))


def _watched(definition: AnyActivity, crossings: Crossings) -> AnyActivity:
    assert definition.signature.is_async, f"{definition.name} is not async: watch its thread too"

    async def function(*arguments: object) -> object:
        crossings.inside("begins")
        try:
            result = await cast("Awaitable[object]", definition.function(*arguments))
        except Exception:
            crossings.inside("fails")
            raise
        crossings.inside("ends")
        return result

    return dataclasses.replace(definition, function=function)


def watch_connections(crossings: Crossings) -> None:
    """Cross a place after each statement by which an activity changes a database, and after each of its commits."""
    execute = asyncpg.Connection.execute

    async def watched_execute(connection: Any, query: str, *arguments: Any, **options: Any) -> str:
        status = await execute(connection, query, *arguments, **options)
        word = _COMMENT.sub(" ", query).split()[0].strip(";").upper()
        if word != "BEGIN":
            crossings.inside(f"after {word}")
        return status

    setattr(asyncpg.Connection, "execute", watched_execute)  # noqa: B010 - every connection of this process


def _life(execution: int) -> str:
    return f" of execution {execution}" if execution > 1 else ""


def _short(name: str) -> str:
    return name.rpartition("::")[2]
