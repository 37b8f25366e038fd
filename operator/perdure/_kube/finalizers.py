"""Our finalizer in a resource: the patch that puts it in or takes it out, and the way out for all at once.

It knows metadata, and nothing of why a resource is kept (`desired` decides that, `chores` carries it out).
"""

from __future__ import annotations

from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Manifest
from perdure._kube.api.orchestration import API_VERSION, FINALIZER, KIND
from perdure._kube.client import Api

__all__ = ["metadata_of", "patch", "release_all"]


def patch(manifest: Manifest, *, wanted: bool) -> list[JsonValue]:
    """Give the JSON patch that puts our finalizer in or takes it out; an empty one when nothing is to be done.

    Nobody can be given one who is being deleted. It tests that nothing is as it was not read.
    """
    metadata = metadata_of(manifest)
    finalizers = _finalizers(metadata)
    if wanted == (FINALIZER in finalizers) or (wanted and "deletionTimestamp" in metadata):
        return []
    same: list[JsonValue] = [{"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}]
    if not wanted:
        path = f"/metadata/finalizers/{finalizers.index(FINALIZER)}"
        return [*same, {"op": "test", "path": path, "value": FINALIZER}, {"op": "remove", "path": path}]
    same.append({"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]})
    return [*same, {"op": "add", "path": "/metadata/finalizers", "value": [*finalizers, FINALIZER]}]


async def release_all(api: Api, namespace: str | None = None) -> list[str]:
    """Take our finalizer out of all resources, in one namespace or in all; give which these were, as namespace/name.

    For an operator that is going away: from then on deletions wait for nobody. Raises what the API server answers.
    """
    released = []
    for item in (await api.list_metadata(API_VERSION, KIND, namespace=namespace)).items:
        metadata = metadata_of(item)
        where, name = str(metadata["namespace"]), str(metadata["name"])
        if FINALIZER in _finalizers(metadata) and await _release(api, item, name=name, namespace=where):
            released.append(f"{where}/{name}")
    return released


async def _release(api: Api, found: Manifest | None, *, name: str, namespace: str) -> bool:
    """Take it out of one; of one that somebody changes at the same moment too."""
    while found is not None and (change := patch(found, wanted=False)):
        try:
            return await api.json_patch(API_VERSION, KIND, name=name, namespace=namespace, patch=change) is not None
        except errors.KubernetesPatchTestError:
            found = await api.get(API_VERSION, KIND, name, namespace=namespace)
    return False


def _finalizers(metadata: dict[str, JsonValue]) -> list[JsonValue]:
    listed = metadata.get("finalizers")
    return listed if isinstance(listed, list) else []


def metadata_of(manifest: Manifest) -> dict[str, JsonValue]:
    """Give the metadata of an object."""
    metadata = manifest["metadata"]
    if not isinstance(metadata, dict):
        raise TypeError(metadata)
    return metadata
