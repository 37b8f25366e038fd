"""The volume of a server: it can grow, and nothing else.

A StatefulSet cannot change its claim template, so the claim itself is changed; whether the volume follows, and whether
its Pod must begin anew for it, is up to the storage class.
"""

from __future__ import annotations

from activities.kubernetes import fencing, fields
from activities.postgres import manifests, quantities
from activities.types import ObjectRef
from perdure import ActivityContext, Manifest, NonRetryableError, errors

__all__ = ["claim", "grow"]


def claim(name: str, volume: str) -> ObjectRef:
    """Name the claim of a server's volume."""
    return ObjectRef(api_version="v1", kind="PersistentVolumeClaim", name=manifests.claim_name(name, volume))


async def grow(ctx: ActivityContext, existing: Manifest, *, name: str, storage: str) -> bool:
    """Let the volume of a StatefulSet have this size; say whether something was changed.

    Raises `NonRetryableError` for a size below that of the volume. A size as that of the template asks no API server.
    """
    volume, template_size = manifests.volume_of(existing)
    if quantities.parse_or_none(storage) == quantities.parse_or_none(template_size):
        return False
    target, changed = claim(name, volume), False

    def decide(found: Manifest) -> Manifest:
        nonlocal changed
        size = fields.text(found, "spec", "resources", "requests", "storage")
        have, want = quantities.parse_or_none(size), quantities.parse_or_none(storage)
        if have is None or want is None or want < have:
            raise NonRetryableError(f"{target} has {size}; a volume can only grow, and {storage} is less.")
        changed = want > have
        return {"spec": {"resources": {"requests": {"storage": storage}}}} if changed else {}

    try:
        await fencing.changed(ctx, target, patch=decide, require_own=False)
    except errors.ObjectMissingError:
        return False  # its Pod has not been there yet, or the claim is being made anew, from the template
    return changed
