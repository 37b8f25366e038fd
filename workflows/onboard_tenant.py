"""Give a team a namespace of its own, once somebody has said yes: quota, defaults, administrators, a closed network.

What YAML cannot say: that a person must agree and until when, and that of what was begun and not finished nothing is
left. The namespace belongs to the resource that asks for it, so that a changed resource changes the same namespace. A
run that fails or is cancelled removes the namespace it made; one that was there before it keeps its tenant.
"""

from __future__ import annotations

import datetime

from activities.kubernetes.apply import apply
from activities.kubernetes.create_namespace import create_namespace
from activities.kubernetes.delete import delete
from activities.kubernetes.get import get
from activities.types import ApplyInput, DeleteInput, NamespaceInput, NamespaceOutput, ObjectRef
from perdure import (
    ActivityError,
    Exponential,
    Manifest,
    NonRetryableError,
    OrchestrationCancelled,
    OrchestrationContext,
    RetryPolicy,
    orchestration,
)
from workflows import names
from workflows.owners import owner_of
from workflows.types import Approval, OnboardTenantInput, OnboardTenantOutput

__all__ = ["onboard_tenant"]

RETRY = RetryPolicy(8, backoff=Exponential(base=1, multiplier=2.0, max=60), timeout=60)


@orchestration(names.ONBOARD_TENANT, version="1.0.0")
async def onboard_tenant(ctx: OrchestrationContext, input: OnboardTenantInput) -> OnboardTenantOutput:
    """Wait for the approval, make the namespace with all that belongs to it, and say what there is."""
    approved_by = await _approval(ctx, input) if input.require_approval else ""

    namespace = ObjectRef(api_version="v1", kind="Namespace", name=input.tenant)
    before = await ctx.schedule_activity(get, namespace, retry=RETRY)
    try:
        made = await _make(ctx, input)
    except (Exception, OrchestrationCancelled):
        if before.manifest is None:
            await _remove(ctx, namespace)
        raise

    ctx.set_progress(3, 3, f"tenant {input.tenant} is at home")
    ctx.set_custom_status({"tenant": input.tenant, "state": "onboarded", "approvedBy": approved_by})
    return OnboardTenantOutput(
        namespace=made.name, uid=made.uid, approved_by=approved_by, objects=[str(each) for each in made.objects]
    )


async def _approval(ctx: OrchestrationContext, input: OnboardTenantInput) -> str:
    """Wait until somebody agrees, and give who it was. Raises when they do not, or nobody answers in time."""
    until = (ctx.utcnow() + datetime.timedelta(seconds=input.approval_seconds)).isoformat(timespec="seconds")
    ctx.set_progress(0, 3, f"waiting for the signal Approval until {until}")
    ctx.set_custom_status({"tenant": input.tenant, "state": "waiting", "waitsFor": "Approval", "until": until})

    answer, deadline = ctx.schedule_wait("Approval", type=Approval), ctx.schedule_timer(input.approval_seconds)
    _, said = await ctx.select(answer, deadline)
    if not isinstance(said, Approval):
        raise NonRetryableError(f"Nobody has approved tenant {input.tenant} until {until}. Nothing was made.")
    if not said.approved:
        reason = said.reason or "no reason was given"
        raise NonRetryableError(f"Tenant {input.tenant} was refused by {said.by}: {reason}. Nothing was made.")
    ctx.trace_info(f"tenant {input.tenant} was approved by {said.by}: {said.reason}")
    return said.by


async def _make(ctx: OrchestrationContext, input: OnboardTenantInput) -> NamespaceOutput:
    """Make or change the namespace and what is in it; give all of it."""
    owner = owner_of(ctx.instance_id)

    ctx.set_progress(1, 3, f"making namespace {input.tenant}")
    wanted = NamespaceInput(
        name=input.tenant,
        labels={"app.kubernetes.io/managed-by": "perdure"},
        quota=input.quota,
        limits=input.limits,
        admins=input.admins,
        pod_security=input.pod_security,
        owner=owner,
    )
    made = await ctx.schedule_activity(create_namespace, wanted, retry=RETRY)

    ctx.set_progress(2, 3, f"closing the network of {input.tenant}")
    closed = ApplyInput(manifests=[_default_deny(input.tenant)], owner=owner)
    applied = await ctx.schedule_activity(apply, closed, retry=RETRY)
    return made.model_copy(update={"objects": [*made.objects, *applied.objects]})


async def _remove(ctx: OrchestrationContext, namespace: ObjectRef) -> None:
    """Remove the namespace, and with it all that is in it; the error that led here is the one that counts."""
    gone = DeleteInput(**namespace.model_dump(by_alias=False), owner=owner_of(ctx.instance_id), wait_seconds=30)
    try:
        await ctx.schedule_activity(delete, gone, retry=RETRY)
    except ActivityError as error:
        ctx.trace_error(f"{namespace} is left for somebody to remove: {error.message}")


def _default_deny(tenant: str) -> Manifest:
    """Give the policy that lets nothing in: who wants to be reached adds one of their own."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "namespace": tenant},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
