"""The API server in the words of Perdure: manifests in, manifests out, for the operator and for runs.

`Api` speaks for the operator itself; `acting_as` gives the same calls as a run's ServiceAccount, with the same
credentials (one `Impersonate-User` header, no groups: the server adds them). Objects are plain dicts; a kind is named
as in a manifest. What is not there is None or False, never an error; every other refusal is a `KubernetesApiError`.

It must not know what is asked of it or why: no resource of ours, no ServiceAccount rule (`identity`), no budget but the
pace it is given for runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator

from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Manifest, Preconditions, Propagation
from perdure._kube import access, connection, discovery, pacing, watching

__all__ = ["Api", "MetadataList"]

_PAGE = 500
_GONE = 410
_NOT_FOUND = 404
_ATTEMPTS_AT_A_LIST = 3
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY_PATCH = "application/apply-patch+yaml"
"""The API server takes JSON for it: every JSON is YAML."""
_MERGE_PATCH = "application/merge-patch+json"
_IDENTITY = frozenset({"apiVersion", "kind"})
"""What a patch says of its object is not merged into it: a subresource is of another kind."""
_LOG_BYTES = 1024 * 1024
"""The server cuts the end of a log off, not its beginning: a bound on memory, not on what is shown."""


_Objects = list[Manifest]
_Patch = list[JsonValue]
"""Inside `Api` the word `list` is a verb."""


@dataclasses.dataclass(frozen=True, slots=True)
class MetadataList:
    """The metadata of all objects of a kind, and the resource version to watch from."""

    items: list[Manifest]
    resource_version: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Who:
    """Who calls (empty: the process), and the namespaces meant when none is named: of one object, of a list.

    `on_wait` hears of it while a call has to wait for its turn.
    """

    user: str
    namespace: str
    list_namespace: str
    on_wait: pacing.OnWait | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Target:
    """What a call is about: a collection, or an object of it, or a subresource of that; and for whom."""

    resource: discovery.Resource
    who: _Who
    namespace: str
    name: str | None = None
    subresource: str = ""

    @property
    def collection(self) -> str:
        """The path of all objects."""
        return self.resource.path(self.namespace)

    def request(self, verb: str, method: str) -> connection.Request:
        """Give the plain request; the verb is the one that a Role would name."""
        plural = f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural
        names = () if self.name is None else (self.name, self.subresource) if self.subresource else (self.name,)
        call = errors.KubernetesCall(verb, plural, self.resource.group, self.namespace, self.name or "", self.who.user)
        path = self.resource.path(self.namespace, *names)
        return connection.Request(call, method, path, on_wait=self.who.on_wait)


class Api:
    """The API server, for one caller. Belongs to one event loop; see `perdure._core.activity.KubernetesApi`.

    Without a namespace, calls about one object mean the caller's own; lists mean all namespaces for the operator, and
    the run's own for a run.
    """

    def __init__(self, connection_: connection.Connection, kinds: discovery.Discovery, *, who: _Who) -> None:
        self._connection = connection_
        self._kinds = kinds
        self._who = who

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, *, timeout_seconds: float = 30.0) -> Api:
        """Prepare to call the API server of `kubeconfig`, else of this pod, else of `$KUBECONFIG`.

        Does not contact it: it may be away now. Raises `KubernetesConfigError`.
        """
        found = await access.find(kubeconfig)
        opened = connection.Connection(found, timeout_seconds=timeout_seconds)
        return cls(opened, discovery.Discovery(opened), who=_Who("", found.namespace, ""))

    async def close(self) -> None:
        """Close the connections, for everybody who acts through them."""
        await self._connection.close()

    def pace_runs(self, pace: pacing.Pace) -> None:
        """From now on, all who act as a ServiceAccount take a token for each request."""
        self._connection.pace = pace

    def acting_as(self, run_as: str, on_wait: pacing.OnWait | None = None) -> Api:
        """Give the same API server as `system:serviceaccount:NAMESPACE:NAME` sees it; `on_wait` hears of long waits.

        The server does not ask whether that ServiceAccount exists; `identity` does.
        """
        namespace = run_as.split(":")[2]
        return Api(self._connection, self._kinds, who=_Who(run_as, namespace, namespace, on_wait))

    @property
    def throttled(self) -> int:
        """How often the server has asked somebody of this process to come back later (429)."""
        return self._connection.throttled

    @property
    def throttled_seconds(self) -> float:
        """How many seconds it has asked for, in all."""
        return self._connection.throttled_seconds

    @property
    def namespace(self) -> str:
        """The namespace meant when a call about one object names none."""
        return self._who.namespace

    async def get(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Manifest | None:
        """Give one object, or a subresource of it; None when there is none."""
        target = await self._object(api_version, kind, name=name, namespace=namespace)
        target = dataclasses.replace(target, subresource=subresource)
        return await self._send_or_none(target, target.request("get", "GET"))

    async def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        limit: int | None = None,
    ) -> _Objects:
        """Give the objects that match the selectors: all of them, page by page, or the first `limit`."""
        target = await self._collection(api_version, kind, namespace=namespace)
        selectors = (("labelSelector", label_selector), ("fieldSelector", field_selector))
        query = tuple(selector for selector in selectors if selector[1])
        request = dataclasses.replace(target.request("list", "GET"), query=query)
        if limit is None:
            items, _ = await self._pages(target, request)
        else:
            items = _items(
                await self._send(target, dataclasses.replace(request, query=(*query, ("limit", str(limit)))))
            )
        # The server leaves these two out of the items of a list; an object without them cannot be applied again.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    async def list_metadata(self, api_version: str, kind: str, *, namespace: str | None = None) -> MetadataList:
        """Give the metadata alone of all objects: a tenth of the bytes."""
        target = await self._collection(api_version, kind, namespace=namespace)
        request = dataclasses.replace(target.request("list", "GET"), accept=_METADATA)
        return MetadataList(*await self._pages(target, request))

    async def create(self, manifest: Manifest, *, field_manager: str, namespace: str | None = None) -> Manifest | None:
        """Create one object; None when one of that name exists already. Not repeated after a lost connection."""
        target = await self._object_of(manifest, namespace)
        request = dataclasses.replace(
            target.request("create", "POST"),
            path=target.collection,
            query=(("fieldManager", field_manager),),
            body=manifest,
            is_idempotent=False,
        )
        try:
            return await self._send(target, request)
        except errors.KubernetesConflictError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def ask(self, api_version: str, kind: str, *, spec: Manifest) -> Manifest:
        """Give the status of a question: an object that the server answers and does not keep, such as a review."""
        target = await self._collection(api_version, kind, namespace=None)
        request = dataclasses.replace(
            target.request("create", "POST"),
            body={"apiVersion": api_version, "kind": kind, "spec": spec},
        )
        answer = (await self._send(target, request)).get("status")
        return answer if isinstance(answer, dict) else {}

    async def read(self, path: str) -> Manifest:
        """Give what the server says of itself at a path that is no object: its version, its schemas."""
        call = errors.KubernetesCall("get", path, user=self._who.user)
        answer = await self._connection.send(connection.Request(call, "GET", path))
        return answer if isinstance(answer, dict) else {}

    async def apply(
        self, manifest: Manifest, *, field_manager: str, force: bool = True, namespace: str | None = None
    ) -> Manifest:
        """Server-side apply one object; `force` takes fields over from other managers instead of failing."""
        target = await self._object_of(manifest, namespace)
        query = (("fieldManager", field_manager), ("force", str(force).lower()))
        request = target.request("patch", "PATCH")
        return await self._send(
            target, dataclasses.replace(request, query=query, body=manifest, content_type=_APPLY_PATCH)
        )

    async def patch(self, patch: Manifest, *, field_manager: str, subresource: str = "") -> Manifest | None:
        """Merge into one object what the patch says, which names it as a manifest does; None when there is none.

        Raises `KubernetesConflictError` when the patch has a resource version and the object another one.
        """
        target = dataclasses.replace(await self._object_of(patch, None), subresource=subresource)
        request = dataclasses.replace(
            target.request("patch", "PATCH"),
            query=(("fieldManager", field_manager),),
            body={key: value for key, value in patch.items() if key not in _IDENTITY},
            content_type=_MERGE_PATCH,
        )
        return await self._send_or_none(target, request)

    async def log(self, pod: str, *, container: str = "", namespace: str | None = None, tail_lines: int = 100) -> str:
        """Give the last lines that a container of a Pod has written.

        Asked for once only: the server waits for the Pod's node, which may be away for long.
        """
        target = await self._object("v1", "Pod", name=pod, namespace=namespace)
        target = dataclasses.replace(target, subresource="log")
        named = (("container", container),) if container else ()
        query = (*named, ("tailLines", str(tail_lines)), ("limitBytes", str(_LOG_BYTES)))
        request = dataclasses.replace(
            target.request("get", "GET"), query=query, accept="*/*", is_text=True, is_idempotent=False
        )
        return str(await self._connection.send(request))

    async def replace(self, manifest: Manifest, *, field_manager: str) -> Manifest:
        """Put one object in the place of the one with its resource version.

        Raises `KubernetesConflictError` when somebody was faster.
        """
        target = await self._object_of(manifest, None)
        query = (("fieldManager", field_manager),)
        return await self._send(
            target, dataclasses.replace(target.request("update", "PUT"), query=query, body=manifest)
        )

    async def json_patch(
        self,
        api_version: str,
        kind: str,
        *,
        name: str,
        patch: _Patch,
        namespace: str | None = None,
        subresource: str = "",
    ) -> Manifest | None:
        """Change one object by RFC 6902 operations; None when there is none.

        Raises `KubernetesPatchTestError` when a `test` fails. Give one: a patch may arrive twice.
        """
        target = await self._object(api_version, kind, name=name, namespace=namespace)
        target = dataclasses.replace(target, subresource=subresource)
        request = target.request("patch", "PATCH")
        return await self._send_or_none(
            target, dataclasses.replace(request, body=patch, content_type=connection.JSON_PATCH)
        )

    async def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        *,
        namespace: str | None = None,
        preconditions: Preconditions | None = None,
        propagation: Propagation = "Background",
    ) -> bool:
        """Delete one object; False when it is gone already, or no longer the one that the preconditions mean."""
        target = await self._object(api_version, kind, name=name, namespace=namespace)
        meant = preconditions or Preconditions()
        both = {"uid": meant.uid, "resourceVersion": meant.resource_version}
        required: dict[str, JsonValue] = {key: value for key, value in both.items() if value}
        options: dict[str, JsonValue] = {"propagationPolicy": propagation, "preconditions": required}
        request = dataclasses.replace(target.request("delete", "DELETE"), body=options)
        try:
            return await self._send_or_none(target, request) is not None
        except errors.KubernetesConflictError:
            if not required:
                raise
            return False

    async def watch(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> AsyncGenerator[Manifest | None, None]:
        """Give one object now and after every change, None while there is none; never ends by itself.

        Survives the end of watches, expired versions and an API server that is away; raises what waiting cannot help.
        """
        target = await self._object(api_version, kind, name=name, namespace=namespace)
        request = dataclasses.replace(
            target.request("watch", "GET"), path=target.collection, query=(("fieldSelector", f"metadata.name={name}"),)
        )
        listing = dataclasses.replace(request, call=dataclasses.replace(request.call, verb="list"))
        changes = watching.follow(self._connection, listing=listing, watching=request)
        async with contextlib.aclosing(changes):
            async for found in changes:
                yield None if found is None else {"apiVersion": api_version, "kind": kind, **found}

    # --- from words to requests --------------------------------------------------------------------------------------

    async def _object(self, api_version: str, kind: str, *, name: str, namespace: str | None) -> _Target:
        resource = await self._kinds.find(api_version, kind)
        where = (namespace or self._who.namespace) if resource.is_namespaced else ""
        return _Target(resource, self._who, where, name)

    async def _object_of(self, manifest: Manifest, namespace: str | None) -> _Target:
        match manifest:
            case {"apiVersion": str(api_version), "kind": str(kind), "metadata": {"name": str(name), **rest}}:
                given = rest.get("namespace")
                where = given if isinstance(given, str) else namespace
                return await self._object(api_version, kind, name=name, namespace=where)
            case _:
                shown = {key: manifest.get(key) for key in ("apiVersion", "kind", "metadata")}
                raise errors.ManifestError(f"A manifest needs apiVersion, kind and metadata.name as text; got {shown}.")

    async def _collection(self, api_version: str, kind: str, *, namespace: str | None) -> _Target:
        resource = await self._kinds.find(api_version, kind)
        where = (namespace or self._who.list_namespace) if resource.is_namespaced else ""
        return _Target(resource, self._who, where)

    async def _send(self, target: _Target, request: connection.Request) -> Manifest:
        try:
            answer = await self._connection.send(request)
        except errors.KubernetesKindUnknownError:
            self._kinds.forget(target.resource)
            raise
        return answer if isinstance(answer, dict) else {}

    async def _send_or_none(self, target: _Target, request: connection.Request) -> Manifest | None:
        try:
            return await self._send(target, request)
        except errors.KubernetesKindUnknownError:
            raise
        except errors.KubernetesApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def _pages(self, target: _Target, request: connection.Request) -> tuple[_Objects, str]:
        """Read a whole list; a continue token that has expired on the way means to begin again."""
        for attempt in range(1, _ATTEMPTS_AT_A_LIST + 1):
            try:
                return await self._pages_once(target, request)
            except errors.KubernetesApiError as error:
                if error.status != _GONE or attempt == _ATTEMPTS_AT_A_LIST:
                    raise
        raise AssertionError

    async def _pages_once(self, target: _Target, request: connection.Request) -> tuple[_Objects, str]:
        items: _Objects = []
        token = version = ""
        while True:
            query = (*request.query, ("limit", str(_PAGE)), *((("continue", token),) if token else ()))
            page = await self._send(target, dataclasses.replace(request, query=query))
            items += _items(page)
            metadata = page.get("metadata")
            about = metadata if isinstance(metadata, dict) else {}
            version = version or str(about.get("resourceVersion", ""))
            token = str(about.get("continue") or "")
            if not token:
                return items, version


def _items(page: Manifest) -> _Objects:
    found = page.get("items")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
