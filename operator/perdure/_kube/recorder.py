"""Sends Kubernetes Events, as well as it can: after what they are about was written, never in its way.

It knows the API client and the budget of the process; it must not know what is news, or to which kind of resource.

An Event is a courtesy. It waits in memory in a short line, takes a token that no status wanted, and is tried once: what
the API server does not take is dropped, and counted. Where Events may not be written they are left alone for a while.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from datetime import UTC, datetime

import structlog

from perdure import errors
from perdure._kube import budget, events
from perdure._kube.api import base
from perdure._kube.client import Api
from perdure.settings import EventLevel

__all__ = ["Recorder"]

_log = structlog.get_logger(__name__)

_LINE = 500
_FIELD_MANAGER = "perdure"
_FORBIDDEN_SECONDS = 300.0


class Recorder:
    """The line of what is to be told, and the loop that tells it."""

    def __init__(self, api: Api, *, bucket: budget.TokenBucket, level: EventLevel) -> None:
        """`level` says what is told: `all`, `warnings`, or nothing (`off`)."""
        self._api = api
        self._bucket = bucket
        self._level = level
        self._line: deque[tuple[base.Reference, events.Event]] = deque()
        self._wake = asyncio.Event()
        self._instance = socket.gethostname()
        self._not_before: dict[str, float] = {}
        self.written = 0
        self.dropped = 0

    def tell(self, regarding: base.Reference, event: events.Event) -> None:
        """Have this told soon, if it is to be told at all and there is room."""
        if self._level == "off" or (self._level == "warnings" and event.type == "Normal"):
            return
        if len(self._line) >= _LINE:
            self.dropped += 1
            return
        self._line.append((regarding, event))
        self._wake.set()

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            self._wake.clear()
            if not self._line:
                await self._wake.wait()
            await self._bucket.take_behind()
            await self._send(*self._line.popleft())

    async def _send(self, regarding: base.Reference, event: events.Event) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._not_before.get(regarding.namespace, now):
            self.dropped += 1
            return
        manifest = events.manifest(event, regarding, instance=self._instance, now=datetime.now(UTC))
        try:
            await self._api.create(manifest, field_manager=_FIELD_MANAGER)
        except errors.KubernetesApiError as error:
            self.dropped += 1
            if isinstance(error, errors.KubernetesForbiddenError):
                self._not_before[regarding.namespace] = now + _FORBIDDEN_SECONDS
                _log.warning("events may not be written", namespace=regarding.namespace, error=str(error))
            else:
                _log.debug("event dropped", reason=event.reason, error=str(error))
        else:
            self.written += 1
