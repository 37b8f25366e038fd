"""Apply Kubernetes objects in order, each one ready before the next: what a list of YAML cannot say by itself.

A Job that fails ends the run; a Deployment that does not come up ends it with what was last seen. Nothing is undone:
what was applied stays for whoever looks after the failure.
"""

from __future__ import annotations

from activities.kubernetes.apply import apply
from activities.kubernetes.wait_until_ready import wait_until_ready
from activities.types import AppliedObject, ApplyInput, WaitInput
from perdure import Exponential, OrchestrationContext, RetryPolicy, orchestration
from workflows import names
from workflows.types import ApplyManifestsInput, ApplyManifestsOutput

__all__ = ["apply_manifests"]

RETRY = RetryPolicy(5, backoff=Exponential(base=2, multiplier=2.0, max=30))


@orchestration(names.APPLY_MANIFESTS, version="1.0.0")
async def apply_manifests(ctx: OrchestrationContext, input: ApplyManifestsInput) -> ApplyManifestsOutput:
    """Apply one object after the other and wait for each."""
    objects: list[AppliedObject] = []
    for manifest in input.manifests:
        ctx.set_progress(len(objects), len(input.manifests), f"applying a {manifest['kind']}")
        applied = await ctx.schedule_activity(
            apply, ApplyInput(manifests=[manifest], take_over=input.take_over), retry=RETRY, total_timeout=300
        )
        for target in applied.objects:
            ctx.trace_info(f"applied {target}")
            if input.timeout_seconds:
                await ctx.schedule_activity(wait_until_ready, _wait(target, input.timeout_seconds), retry=RETRY)
            objects.append(target)
    ctx.set_progress(len(objects), len(objects), "all objects are applied")
    return ApplyManifestsOutput(objects=objects)


def _wait(target: AppliedObject, timeout_seconds: float) -> WaitInput:
    return WaitInput(
        api_version=target.api_version,
        kind=target.kind,
        name=target.name,
        namespace=target.namespace,
        timeout_seconds=timeout_seconds,
    )
