"""Following one object for as long as somebody looks.

A watch ends all the time: the server ends it every few minutes, a proxy or a restart cuts it, its version expires. Each
end is answered by a new list of that one object, which costs next to nothing and needs no memory of versions; what the
list shows and was shown before is not shown again. Only what waiting cannot help is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator

from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Manifest
from perdure._kube import connection

__all__ = ["follow"]

_WATCH_SECONDS = 300
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

_NOTHING_YET = "nothing yet"
_ABSENT = "absent"


async def follow(
    connection_: connection.Connection, *, listing: connection.Request, watching: connection.Request
) -> AsyncGenerator[Manifest | None, None]:
    """Give the only object that both requests select now, and again after every change; None while there is none.

    Raises `KubernetesForbiddenError` and whatever else is not retryable.
    """
    shown, pause = _NOTHING_YET, _FIRST_PAUSE_SECONDS
    while True:
        try:
            async with contextlib.aclosing(_once(connection_, listing=listing, watching=watching)) as changes:
                async for found in changes:
                    version = _version(found)
                    if version != shown:
                        shown, pause = version, _FIRST_PAUSE_SECONDS
                        yield found
        except errors.KubernetesForbiddenError:
            raise
        except errors.KubernetesApiError as error:
            if not error.retryable:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _once(
    connection_: connection.Connection, *, listing: connection.Request, watching: connection.Request
) -> AsyncGenerator[Manifest | None, None]:
    """Give the object, then its changes until the watch ends."""
    listed = _object(await connection_.send(listing))
    items = listed.get("items")
    yield _object(items[0]) if isinstance(items, list) and items else None
    query = (
        *watching.query,
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("timeoutSeconds", str(_WATCH_SECONDS)),
        ("resourceVersion", str(_object(listed.get("metadata")).get("resourceVersion", ""))),
    )
    async with contextlib.aclosing(connection_.stream(dataclasses.replace(watching, query=query))) as events:
        async for event in events:
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    yield _object(event.get("object"))
                case "DELETED":
                    yield None
                case "ERROR":
                    return  # the version has expired, or the server cannot go on: list again
                case _:
                    pass  # a bookmark


def _version(found: Manifest | None) -> str:
    return _ABSENT if found is None else str(_object(found.get("metadata")).get("resourceVersion", ""))


def _object(value: JsonValue) -> Manifest:
    return value if isinstance(value, dict) else {}
