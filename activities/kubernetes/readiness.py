"""When an object is ready, has failed, or must be waited for: one small rule per kind.

The rules are those of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus), which Helm, Argo CD and Flux go by, with one
difference: a Job is ready when it is complete, not when it has begun. A kind without a rule of its own is judged by its
conditions. Pure: an object as the API server has it in, a verdict out; what watches and waits is in `watching`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from activities.kubernetes import fields
from perdure import Manifest

__all__ = ["Readiness", "judge", "pod_trouble"]


@dataclasses.dataclass(frozen=True, slots=True)
class Readiness:
    """The verdict on an object, and a few words on what was seen."""

    state: Literal["ready", "waiting", "failed"]
    message: str


def judge(manifest: Manifest | None) -> Readiness:
    """Say whether the object is ready; None is an object that does not exist (yet)."""
    if manifest is None:
        return Readiness("waiting", "it does not exist")
    if fields.text(manifest, "metadata", "deletionTimestamp"):
        return Readiness("waiting", "it is being deleted")
    observed = fields.number(manifest, "status", "observedGeneration")
    if observed is not None and observed != fields.number(manifest, "metadata", "generation"):
        return Readiness("waiting", "its controller has not seen the last change yet")
    group = fields.text(manifest, "apiVersion").rpartition("/")[0]
    return _RULES.get((group, fields.text(manifest, "kind")), _by_conditions)(manifest)


def pod_trouble(pod: Manifest) -> str:
    """Say in a few words what keeps a Pod from being ready; empty when nothing speaks of trouble."""
    scheduled = fields.conditions(pod).get("PodScheduled", {})
    if fields.text(scheduled, "status") == "False":
        return f"not scheduled: {_reason(scheduled)}"
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in fields.items(pod, "status", kind):
            waiting = fields.mapping(container, "state", "waiting")
            if fields.text(waiting, "reason") not in {"", "ContainerCreating", "PodInitializing"}:
                return f"container {fields.text(container, 'name')}: {_reason(waiting)}"
    return ""


def _deployment(manifest: Manifest) -> Readiness:
    progressing = fields.conditions(manifest).get("Progressing", {})
    if fields.text(progressing, "reason") == "ProgressDeadlineExceeded":
        return Readiness("failed", _reason(progressing))
    wanted = _wanted(manifest)
    updated, total = _count(manifest, "updatedReplicas"), _count(manifest, "replicas")
    if updated < wanted:
        return Readiness("waiting", f"{updated} of {wanted} replicas updated")
    if total > updated:
        return Readiness("waiting", f"{total - updated} old replicas are still to end")
    available = _count(manifest, "availableReplicas")
    if available < wanted:
        return Readiness("waiting", f"{available} of {wanted} replicas available")
    return _observed(manifest, f"{available} of {wanted} replicas available")


def _stateful_set(manifest: Manifest) -> Readiness:
    wanted, ready = _wanted(manifest), _count(manifest, "readyReplicas")
    partition = fields.number(manifest, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
    if ready < wanted:
        return Readiness("waiting", f"{ready} of {wanted} replicas ready")
    if (updated := _count(manifest, "updatedReplicas")) < wanted - partition and _updates_itself(manifest):
        return Readiness("waiting", f"{updated} of {wanted - partition} replicas updated")
    if _count(manifest, "replicas") > wanted:
        return Readiness("waiting", f"{_count(manifest, 'replicas') - wanted} replicas too many are still to end")
    return _observed(manifest, f"{ready} of {wanted} replicas ready")


def _daemon_set(manifest: Manifest) -> Readiness:
    wanted = fields.number(manifest, "status", "desiredNumberScheduled")
    if wanted is None:
        return Readiness("waiting", "its controller has not seen it yet")
    updated, available = _count(manifest, "updatedNumberScheduled"), _count(manifest, "numberAvailable")
    if updated < wanted and _updates_itself(manifest):
        return Readiness("waiting", f"{updated} of {wanted} nodes updated")
    return Readiness("ready" if available >= wanted else "waiting", f"{available} of {wanted} nodes available")


def _job(manifest: Manifest) -> Readiness:
    conditions = fields.conditions(manifest)
    for name in ("Failed", "FailureTarget"):
        if _is_true(conditions, name):
            return Readiness("failed", _reason(conditions[name]))
    succeeded = _count(manifest, "succeeded")
    if _is_true(conditions, "Complete"):
        return Readiness("ready", f"complete, {succeeded} succeeded")
    if _is_true(conditions, "Suspended"):
        return Readiness("waiting", "it is suspended")
    return Readiness("waiting", f"{_count(manifest, 'active')} active, {_count(manifest, 'failed')} failed")


def _pod(manifest: Manifest) -> Readiness:
    phase = fields.text(manifest, "status", "phase")
    match phase:
        case "Succeeded":
            return Readiness("ready", "it succeeded")
        case "Failed":
            return Readiness("failed", _pod_failure(manifest))
        case "Running" if _is_true(fields.conditions(manifest), "Ready"):
            return Readiness("ready", "running and ready")
        case _:
            trouble = pod_trouble(manifest)
            return Readiness("waiting", f"{phase or 'Pending'}{': ' if trouble else ''}{trouble}")


def _service(manifest: Manifest) -> Readiness:
    if fields.text(manifest, "spec", "type") != "LoadBalancer":
        return Readiness("ready", "it exists")
    if any(fields.items(manifest, "status", "loadBalancer", "ingress")):
        return Readiness("ready", "it has an address")
    return Readiness("waiting", "its load balancer has no address yet")


def _volume_claim(manifest: Manifest) -> Readiness:
    match phase := fields.text(manifest, "status", "phase"):
        case "Bound":
            return Readiness("ready", "bound")
        case "Lost":
            return Readiness("failed", "its volume is lost")
        case _:
            return Readiness("waiting", phase or "Pending")


def _definition(manifest: Manifest) -> Readiness:
    conditions = fields.conditions(manifest)
    if fields.text(conditions.get("NamesAccepted", {}), "status") == "False":
        return Readiness("failed", _reason(conditions["NamesAccepted"]))
    if _is_true(conditions, "Established"):
        return Readiness("ready", "established")
    return Readiness("waiting", "it is not served yet")


def _by_conditions(manifest: Manifest) -> Readiness:
    """Judge what follows the conventions; an object that says nothing of itself is ready when it exists."""
    conditions = fields.conditions(manifest)
    if _is_true(conditions, "Stalled"):
        return Readiness("failed", _reason(conditions["Stalled"]))
    if _is_true(conditions, "Reconciling"):
        return Readiness("waiting", _reason(conditions["Reconciling"]))
    ready = conditions.get("Ready")
    if ready is None:
        return Readiness("ready", "it exists")
    return Readiness("ready" if _is_true(conditions, "Ready") else "waiting", _reason(ready))


_RULES: dict[tuple[str, str], Callable[[Manifest], Readiness]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _volume_claim,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}


def _observed(manifest: Manifest, message: str) -> Readiness:
    """Believe counts only after the controller has looked: a fresh object with zero wanted has all of them."""
    if fields.number(manifest, "status", "observedGeneration") is None:
        return Readiness("waiting", "its controller has not seen it yet")
    return Readiness("ready", message)


def _wanted(manifest: Manifest) -> int:
    """Give the wanted replicas; the API server's default is one."""
    replicas = fields.number(manifest, "spec", "replicas")
    return 1 if replicas is None else replicas


def _count(manifest: Manifest, name: str) -> int:
    return fields.number(manifest, "status", name) or 0


def _updates_itself(manifest: Manifest) -> bool:
    return fields.text(manifest, "spec", "updateStrategy", "type") != "OnDelete"


def _is_true(conditions: dict[str, Manifest], name: str) -> bool:
    return fields.text(conditions.get(name, {}), "status") == "True"


def _reason(stated: Manifest) -> str:
    """Give reason and message of a condition or a container state, as far as they are there."""
    said = [word for word in (fields.text(stated, "reason"), fields.text(stated, "message")) if word]
    return ": ".join(said) or f"{fields.text(stated, 'type')} is {fields.text(stated, 'status')}"


def _pod_failure(pod: Manifest) -> str:
    """Say why a Pod failed: its own reason, or the first container that did not end with 0."""
    if said := ": ".join(filter(None, (fields.text(pod, "status", "reason"), fields.text(pod, "status", "message")))):
        return said
    for container in fields.items(pod, "status", "containerStatuses"):
        code = fields.number(container, "state", "terminated", "exitCode")
        if code:
            reason = fields.text(container, "state", "terminated", "reason") or "no reason given"
            return f"container {fields.text(container, 'name')} ended with exit code {code} ({reason})"
    return "phase Failed"
