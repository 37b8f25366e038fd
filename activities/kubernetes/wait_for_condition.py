"""Wait until a condition of one object says what it should: `kubectl wait --for=condition=...` for durable code.

The object need not exist yet, and its controller may not have looked at it yet: a condition counts when it is about the
object's present generation, as far as either of them tells.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fields, watching
from activities.kubernetes.readiness import Readiness
from activities.types import ConditionInput, WaitOutput
from perdure import ActivityContext, Manifest, activity

__all__ = ["judge", "wait_for_condition"]


@activity(names.KUBERNETES_WAIT_FOR_CONDITION)
async def wait_for_condition(ctx: ActivityContext, input: ConditionInput) -> WaitOutput:
    """Return when the condition has the status that was asked for.

    Raises `ObjectNotReadyError`, with what the condition said last, after `timeout_seconds`.
    """
    wanted = f"{input.condition}={input.status}"
    seen = await watching.until(
        ctx,
        input,
        judge=lambda manifest: judge(manifest, input.condition, status=input.status),
        wanted=wanted,
        timeout_seconds=input.timeout_seconds,
    )
    return WaitOutput(message=seen.verdict.message)


def judge(manifest: Manifest | None, condition: str, *, status: str) -> Readiness:
    """Say whether the condition has this status; never that it has failed: conditions come and go."""
    if manifest is None:
        return Readiness("waiting", "it does not exist")
    found = fields.conditions(manifest).get(condition)
    if found is None:
        return Readiness("waiting", f"it has no condition {condition}")
    generation = fields.number(manifest, "metadata", "generation")
    observed = fields.number(found, "observedGeneration") or fields.number(manifest, "status", "observedGeneration")
    if observed is not None and observed != generation:
        return Readiness("waiting", f"condition {condition} is about an earlier generation")
    says = ": ".join(filter(None, (fields.text(found, "reason"), fields.text(found, "message"))))
    now = f"{condition} is {fields.text(found, 'status')}{f' ({says})' if says else ''}"
    return Readiness("ready" if fields.text(found, "status").lower() == status.lower() else "waiting", now)
