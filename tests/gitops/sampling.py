"""Every version of a resource over its life, as a watch gives them, from before it is created until it is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from perdure._kube.api.base import API_VERSION
from perdure._kube.client import Api
from tests.e2e.operator_process import until
from tests.gitops.judging import Manifest

__all__ = ["Life", "is_shown", "phase_of"]


class Life:
    """What a watch has shown of one resource so far."""

    def __init__(self) -> None:
        self.versions: list[Manifest] = []
        self.is_gone = False
        self._watched = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def watched(cls, api: Api, kind: str, name: str, *, namespace: str) -> AsyncIterator[Life]:
        """Watch a resource that is not there yet, to the end of the block."""
        life = cls()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(life._watch(api, kind, name, namespace))
            await life._watched.wait()
            yield life
            task.cancel()

    async def shows(self, is_reached: Callable[[Manifest], bool]) -> Manifest:
        """Wait until any version is like this, and give the first one."""

        async def found() -> bool:
            return any(map(is_reached, self.versions))

        await until(found)
        return next(filter(is_reached, self.versions))

    async def in_phase(self, phase: str) -> Manifest:
        """Wait until the resource has been in this phase."""
        return await self.shows(lambda version: phase_of(version) == phase)

    async def ends(self) -> None:
        """Wait until the resource is gone."""

        async def gone() -> bool:
            return self.is_gone

        await until(gone)

    async def _watch(self, api: Api, kind: str, name: str, namespace: str) -> None:
        async for version in api.watch(API_VERSION, kind, name, namespace=namespace):
            if version is not None:
                self.versions.append(dict(version))
            self.is_gone = version is None and bool(self.versions)
            self._watched.set()


def phase_of(version: Manifest) -> str:
    """Give the phase that a version shows."""
    return str(version.get("status", {}).get("phase"))


def is_shown(version: Manifest, reason: str) -> bool:
    """Tell whether a condition of a version has this reason."""
    return any(condition["reason"] == reason for condition in version.get("status", {}).get("conditions", []))
