"""Roll out: give the containers of a workload new images, and wait until every Pod runs them.

Only the images are changed; whatever else there is in the containers stays. An attempt that finds the images in place
writes nothing and waits.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fencing, fields, ownership, watching
from activities.types import RollOutInput, WaitOutput
from perdure import ActivityContext, JsonValue, Manifest, NonRetryableError, activity

__all__ = ["roll_out", "with_images"]

_KINDS = ("initContainers", "containers")


@activity(names.KUBERNETES_ROLL_OUT)
async def roll_out(ctx: ActivityContext, input: RollOutInput) -> WaitOutput:
    """Return when the workload is rolled out: its controller has seen it, and all replicas are updated and available.

    Raises `NonRetryableError` for a container that it does not have, `ObjectFailedError` when its progress deadline has
    passed, `ObjectNotReadyError` after `timeout_seconds`, and what `fencing.changed` raises.
    """
    if input.images:
        await fencing.changed(ctx, input, patch=lambda existing: with_images(existing, input.images))
    return WaitOutput(message=await watching.until_ready(ctx, input, timeout_seconds=input.timeout_seconds))


def with_images(existing: Manifest, images: dict[str, str]) -> Manifest:
    """Give the patch that puts these images into the containers of a workload; lists are replaced as a whole."""
    pod = fields.mapping(existing, "spec", "template", "spec")
    there = [fields.text(container, "name") for kind in _KINDS for container in fields.items(pod, kind)]
    if unknown := sorted(images.keys() - set(there)):
        message = f"{ownership.describe(existing)} has no container {', '.join(unknown)}; it has {', '.join(there)}."
        raise NonRetryableError(message)
    changed: Manifest = {}
    for kind in _KINDS:
        containers: list[JsonValue] = [
            {**container, "image": images.get(fields.text(container, "name"), container.get("image"))}
            for container in fields.items(pod, kind)
        ]
        if containers:
            changed[kind] = containers
    return {"spec": {"template": {"spec": changed}}}
