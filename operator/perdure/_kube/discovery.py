"""Which path a kind has: asked of the API server once, and remembered.

A manifest says `apps/v1` and `StatefulSet`; the path needs `statefulsets` and whether there are namespaces. A kind that
is not remembered is asked for again every time, so that a CRD installed a moment ago is found.
"""

from __future__ import annotations

import dataclasses
from urllib.parse import quote

import msgspec

from perdure import errors
from perdure._kube import connection

__all__ = ["Discovery", "Resource"]

_IMPOSSIBLE = frozenset({"", ".", ".."})


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    is_namespaced: bool

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str, *names: str) -> str:
        """Give the path of the collection, an object (`name`) or a subresource (`name`, `status`)."""
        where = ("namespaces", namespace) if self.is_namespaced and namespace else ()
        return "/".join([_root(self.api_version), *(_segment(part) for part in (*where, self.plural, *names))])


class _ServedKind(msgspec.Struct, frozen=True):
    name: str
    kind: str
    namespaced: bool


class _ServedKinds(msgspec.Struct, frozen=True):
    resources: list[_ServedKind]


class Discovery:
    """Finds resources by their kind."""

    def __init__(self, connection_: connection.Connection) -> None:
        """Remember nothing yet."""
        self._connection = connection_
        self._known: dict[tuple[str, str], Resource] = {}

    async def find(self, api_version: str, kind: str) -> Resource:
        """Give the resource of a kind. Raises `KubernetesKindUnknownError` when the server has none."""
        known = self._known.get((api_version, kind))
        if known is not None:
            return known
        call = errors.KubernetesCall("discover", kind, api_group=api_version)
        try:
            answer = await self._connection.send(connection.Request(call, "GET", _root(api_version)))
        except errors.KubernetesApiError as error:
            if error.status == 404:  # noqa: PLR2004 - no such group or version
                raise _unknown(call, api_version, kind) from error
            raise
        for served in msgspec.convert(answer, _ServedKinds).resources:
            if "/" not in served.name:
                resource = Resource(api_version, served.kind, served.name, served.namespaced)
                self._known[api_version, served.kind] = resource
        found = self._known.get((api_version, kind))
        if found is None:
            raise _unknown(call, api_version, kind)
        return found

    def forget(self, resource: Resource) -> None:
        """Ask again next time: the server no longer has it."""
        self._known.pop((resource.api_version, resource.kind), None)


def _unknown(call: errors.KubernetesCall, api_version: str, kind: str) -> errors.KubernetesKindUnknownError:
    return errors.KubernetesKindUnknownError(
        call,
        f"The API server has no kind {kind} in apiVersion {api_version}. Check the spelling, or install what brings it "
        "(a CRD, an aggregated API).",
        status=404,
        reason="NotFound",
    )


def _root(api_version: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"/apis/{_segment(group)}/{_segment(version)}" if group else f"/api/{_segment(version)}"


def _segment(text: str) -> str:
    """Quote one part of a path. Raises `ManifestError` for what could reach another path than the one meant."""
    if text in _IMPOSSIBLE or "/" in text or "%" in text:
        message = f"{text!r} cannot be a name, namespace or apiVersion; expected text without / and %, and not . or .."
        raise errors.ManifestError(message)
    return quote(text, safe="")
