"""What the cluster says about an object that does not get where it should: of itself, of its Pods, in events.

For the sentence of an error, so all of it is best effort: what cannot be read is said or left out, nothing is raised,
and the whole takes seconds at most. Pods are found by their owners' uids, never by labels alone: those of an earlier
life of the object carry the same labels.
"""

from __future__ import annotations

import asyncio

from activities.kubernetes import fields, readiness
from perdure import ActivityContext, Manifest, PerdureError

__all__ = ["pods_of", "told"]

LOOK_SECONDS = 10.0
"""An error may come a little later for being clear."""

_PODS = 5
_EVENTS = 5
_MESSAGE_CHARACTERS = 300


async def told(ctx: ActivityContext, manifest: Manifest | None) -> str:
    """Give what may explain the state of an object, to be put behind a sentence; empty when there is nothing."""
    if manifest is None:
        return ""
    said: list[str] = []
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            pods = await pods_of(ctx, manifest)
            said += [f"Pod {_name(pod)}: {trouble}" for pod in pods[:_PODS] if (trouble := readiness.pod_trouble(pod))]
            said += await _events(ctx, [manifest, *pods[:_PODS]])
    except TimeoutError:
        said.append("there is more, and the API server is slow to tell")
    except PerdureError as error:
        said.append(f"(its events cannot be read: {error.message[:_MESSAGE_CHARACTERS]})")
    return "".join(f"; {line}" for line in said)


async def pods_of(ctx: ActivityContext, manifest: Manifest) -> list[Manifest]:
    """Give the Pods that belong to an object (through its ReplicaSets, for a Deployment), the latest first.

    Raises what the API server raises.
    """
    labels = fields.mapping(manifest, "spec", "selector", "matchLabels")
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    if not selector:
        return []
    namespace = fields.text(manifest, "metadata", "namespace") or None
    owners = {fields.text(manifest, "metadata", "uid")}
    if fields.text(manifest, "kind") == "Deployment":
        sets = await ctx.kubernetes.list("apps/v1", "ReplicaSet", namespace=namespace, label_selector=selector)
        owners = {fields.text(one, "metadata", "uid") for one in sets if _owners(one) & owners}
    pods = await ctx.kubernetes.list("v1", "Pod", namespace=namespace, label_selector=selector)
    return sorted(
        (pod for pod in pods if _owners(pod) & owners),
        key=lambda pod: fields.text(pod, "metadata", "creationTimestamp"),
        reverse=True,
    )


async def _events(ctx: ActivityContext, involved: list[Manifest]) -> list[str]:
    """Give the last events about these objects, warnings before all others."""
    found: list[Manifest] = []
    for one in involved:
        found += await ctx.kubernetes.list(
            "v1",
            "Event",
            namespace=fields.text(one, "metadata", "namespace") or "default",
            field_selector=f"involvedObject.uid={fields.text(one, 'metadata', 'uid')}",
        )
    found.sort(key=_when, reverse=True)
    found.sort(key=lambda event: fields.text(event, "type") != "Warning")
    return [_line(event) for event in found[:_EVENTS]]


def _line(event: Manifest) -> str:
    about = f"{fields.text(event, 'involvedObject', 'kind')} {fields.text(event, 'involvedObject', 'name')}"
    message = fields.text(event, "message").strip()[:_MESSAGE_CHARACTERS]
    return f"event of {about}: {fields.text(event, 'reason')}: {message}"


def _when(event: Manifest) -> str:
    return (
        fields.text(event, "series", "lastObservedTime")
        or fields.text(event, "lastTimestamp")
        or fields.text(event, "eventTime")
        or fields.text(event, "metadata", "creationTimestamp")
    )


def _owners(manifest: Manifest) -> set[str]:
    return {fields.text(owner, "uid") for owner in fields.items(manifest, "metadata", "ownerReferences")}


def _name(manifest: Manifest) -> str:
    return fields.text(manifest, "metadata", "name")
