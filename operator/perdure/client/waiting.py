"""The part of the client that waits for ends: by what comes first of the worker of this process, a NOTIFY, and a poll.

However many wait, there is one connection that listens and one query after each news, and neither while nobody waits.
It must not know why an instance ended: whoever waited reads it afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime

from perdure._store.store import Store, is_transient
from perdure.client.connection import LocalWorker
from perdure.client.instances import InstanceInfo
from perdure.client.looking import Looking

__all__ = ["Waiting"]

_FINISHED_CHANNEL = "perdure_finished"
_POLL_SECONDS = 2.0


class Waiting(Looking):
    """How one hears of ends."""

    def __init__(self, store: Store, worker: LocalWorker | None = None, *, owns_store: bool = False) -> None:
        super().__init__(store, worker, owns_store=owns_store)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def close(self) -> None:
        """Stop watching; close the connections that `connect` made."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await super().close()

    async def wait_for_orchestration(
        self, instance_id: str, timeout: float | datetime.timedelta | None = None
    ) -> InstanceInfo:
        """Wait until an instance is in a terminal phase and give it.

        `timeout` is seconds or a timedelta; raises `TimeoutError` when it has not ended by then, and
        `InstanceNotFoundError`.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else timeout
        info = await self.get_instance_info(instance_id)
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                while not info.is_finished:  # a removed one is news too, and its id may be somebody else's by now
                    await self._until_finished(instance_id)
                    info = await self.get_instance_info(instance_id)
        except TimeoutError:
            if not scope.expired():
                raise
            message = f"{instance_id} has not ended within {seconds:g} s: it is {info.phase}, and goes on."
            raise TimeoutError(message) from None
        return info

    async def _until_finished(self, instance_id: str) -> None:
        """Wait for the end by what comes first: the worker of this process, a NOTIFY, or the poll behind both."""
        future = self._worker.finished(instance_id) if self._worker else asyncio.get_running_loop().create_future()
        self._waiting.setdefault(instance_id, []).append(future)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_finished())
        self._news.set()
        try:
            await future
        finally:
            futures = self._waiting.get(instance_id, [])
            if future in futures:
                futures.remove(future)
            if not futures:
                self._waiting.pop(instance_id, None)

    async def _watch_finished(self) -> None:
        """One query for all that wait, after each NOTIFY and every poll; none while nobody waits."""
        while True:
            try:
                async with self._store.control("perdure-client") as control:
                    await control.listen(_FINISHED_CHANNEL, self._news.set)
                    self._news.set()
                    while self._waiting:
                        await self._wait_for_news()
                        await self._resolve_finished()
                    return
            except Exception as error:  # noqa: BLE001 - handed on to whoever waits
                if not is_transient(error):
                    self._fail_waiting(error)
                    return
                self._store.availability.lost(error, "watch for ends")
                await asyncio.sleep(_POLL_SECONDS / 2)

    def _fail_waiting(self, error: Exception) -> None:
        """What waiting cannot cure (rights, password) is the error of everybody who waits."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiting.clear()

    async def _wait_for_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._news.wait()
        self._news.clear()

    async def _resolve_finished(self) -> None:
        if not self._waiting:
            return
        for row in await self._fetch("instance_finished", list(self._waiting)):
            for future in self._waiting.pop(row["instance_id"], []):
                if not future.done():
                    future.set_result(None)
