"""Change some fields of one object by a merge patch, and leave the rest of it alone."""

from __future__ import annotations

from activities import names
from activities.kubernetes import fencing
from activities.kubernetes.get import presentable
from activities.types import PatchInput, PatchOutput
from perdure import ActivityContext, activity

__all__ = ["patch"]


@activity(names.KUBERNETES_PATCH)
async def patch(ctx: ActivityContext, input: PatchInput) -> PatchOutput:
    """Merge the patch into the object; one that says nothing new writes nothing.

    Raises `ObjectMissingError`, `ObjectNotOwnedError` (unless `require_own` is False) and `StaleAttemptError`.
    """
    after = await fencing.changed(ctx, input, patch=input.patch, require_own=input.require_own)
    return PatchOutput(manifest=presentable(after))
