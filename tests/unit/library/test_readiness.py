"""When an object is ready: the table of the rules, kind by kind, on objects as the API server gives them.

Every line of the tables is one case: what stands in the object, and what is said of it. Nothing here waits.
"""

from __future__ import annotations

import pytest

from activities.kubernetes import readiness
from perdure import JsonValue, Manifest


def thing(kind: str, status: Manifest, spec: Manifest | None = None) -> Manifest:
    """Give an object of a kind (`apps/v1 Deployment`) in its second generation."""
    api_version, _, kind = kind.rpartition(" ")
    return {
        "apiVersion": api_version, "kind": kind, "metadata": {"name": "it", "generation": 2},
        "spec": spec or {}, "status": status,
    }  # fmt: skip


def said(type: str, status: str = "True", *, reason: str = "", message: str = "") -> list[JsonValue]:
    """Give a list of one condition."""
    return [{"type": type, "status": status, "reason": reason, "message": message}]


SEEN: Manifest = {"observedGeneration": 2}
THREE: Manifest = {"replicas": 3}
ROLLED_OUT: Manifest = {**SEEN, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
ON_DELETE: Manifest = {**THREE, "updateStrategy": {"type": "OnDelete"}}
PARTITION: Manifest = {**THREE, "updateStrategy": {"rollingUpdate": {"partition": 2}}}
TOO_LATE = said("Progressing", "False", reason="ProgressDeadlineExceeded", message="timed out")
BACKOFF = said("Failed", reason="BackoffLimitExceeded", message="too many failures")
UNSCHEDULABLE = said("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes")
PULLING: Manifest = {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
CREATING: Manifest = {"name": "web", "state": {"waiting": {"reason": "ContainerCreating"}}}
BROKEN: Manifest = {"name": "web", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
DEPLOYMENT, STATEFUL_SET, DAEMON_SET = "apps/v1 Deployment", "apps/v1 StatefulSet", "apps/v1 DaemonSet"
JOB, POD, SERVICE, CLAIM = "batch/v1 Job", "v1 Pod", "v1 Service", "v1 PersistentVolumeClaim"
DEFINITION, CUSTOM = "apiextensions.k8s.io/v1 CustomResourceDefinition", "example.com/v1 Thing"

READY = [
    (thing(DEPLOYMENT, ROLLED_OUT, THREE), "3 of 3 replicas available"),
    (thing(DEPLOYMENT, SEEN, {"replicas": 0}), "0 of 0 replicas available"),
    (thing(STATEFUL_SET, ROLLED_OUT, THREE), "3 of 3 replicas ready"),
    (thing(STATEFUL_SET, {**ROLLED_OUT, "updatedReplicas": 1}, PARTITION), "3 of 3 replicas ready"),
    (thing(STATEFUL_SET, {**ROLLED_OUT, "updatedReplicas": 0}, ON_DELETE), "3 of 3 replicas ready"),
    (thing(DAEMON_SET, {**SEEN, "desiredNumberScheduled": 0}), "0 of 0 nodes available"),
    (thing(JOB, {"conditions": said("Complete"), "succeeded": 2}), "complete, 2 succeeded"),
    (thing(POD, {"phase": "Running", "conditions": said("Ready")}), "running and ready"),
    (thing(POD, {"phase": "Succeeded"}), "it succeeded"),
    (thing(SERVICE, {}), "it exists"),
    (
        thing(SERVICE, {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}, {"type": "LoadBalancer"}),
        "it has an address",
    ),
    (thing(CLAIM, {"phase": "Bound"}), "bound"),
    (thing(DEFINITION, {"conditions": said("Established")}), "established"),
    (thing("v1 ConfigMap", {}), "it exists"),
    (thing(CUSTOM, {**SEEN, "conditions": said("Ready", reason="Done", message="all is well")}), "Done: all is well"),
]

WAITING = [
    (thing(DEPLOYMENT, {}, THREE), "0 of 3 replicas updated"),
    (thing(DEPLOYMENT, {}, {"replicas": 0}), "its controller has not seen it yet"),
    (
        thing(DEPLOYMENT, {**ROLLED_OUT, "observedGeneration": 1}, THREE),
        "its controller has not seen the last change yet",
    ),
    (thing(DEPLOYMENT, {**ROLLED_OUT, "replicas": 4}, THREE), "1 old replicas are still to end"),
    (thing(DEPLOYMENT, {**ROLLED_OUT, "availableReplicas": 2}, THREE), "2 of 3 replicas available"),
    (thing(STATEFUL_SET, {**SEEN, "replicas": 1}), "0 of 1 replicas ready"),
    (thing(STATEFUL_SET, {**ROLLED_OUT, "updatedReplicas": 1}, THREE), "1 of 3 replicas updated"),
    (thing(STATEFUL_SET, {**ROLLED_OUT, "replicas": 4}, THREE), "1 replicas too many are still to end"),
    (thing(DAEMON_SET, {}), "its controller has not seen it yet"),
    (thing(DAEMON_SET, {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1}), "1 of 2 nodes updated"),
    (thing(DAEMON_SET, {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1}), "0 of 1 nodes available"),
    (thing(JOB, {"active": 1, "failed": 2}), "1 active, 2 failed"),
    (thing(JOB, {"conditions": said("Suspended")}), "it is suspended"),
    (thing(POD, {}), "Pending"),
    (thing(POD, {"phase": "Running", "conditions": said("Ready", "False")}), "Running"),
    (thing(POD, {"phase": "Pending", "containerStatuses": [CREATING]}), "Pending"),
    (
        thing(POD, {"phase": "Pending", "containerStatuses": [PULLING]}),
        "Pending: container web: ImagePullBackOff: no such image",
    ),
    (
        thing(POD, {"phase": "Pending", "conditions": UNSCHEDULABLE}),
        "Pending: not scheduled: Unschedulable: 0/1 nodes",
    ),
    (thing(SERVICE, {}, {"type": "LoadBalancer"}), "its load balancer has no address yet"),
    (thing(CLAIM, {"phase": "Pending"}), "Pending"),
    (thing(DEFINITION, {}), "it is not served yet"),
    (thing(CUSTOM, {"conditions": said("Reconciling", message="at it")}), "at it"),
    (thing(CUSTOM, {"conditions": said("Ready", "False", reason="NotYet")}), "NotYet"),
    (thing(CUSTOM, {"conditions": said("Ready", "Unknown")}), "Ready is Unknown"),
]

FAILED = [
    (thing(DEPLOYMENT, {**SEEN, "conditions": TOO_LATE}, THREE), "ProgressDeadlineExceeded: timed out"),
    (thing(JOB, {"conditions": BACKOFF}), "BackoffLimitExceeded: too many failures"),
    (thing(JOB, {"conditions": said("FailureTarget", reason="PodFailurePolicy")}), "PodFailurePolicy"),
    (thing(POD, {"phase": "Failed", "reason": "Evicted", "message": "no disk"}), "Evicted: no disk"),
    (thing(POD, {"phase": "Failed", "containerStatuses": [BROKEN]}), "container web ended with exit code 3 (Error)"),
    (thing(POD, {"phase": "Failed"}), "phase Failed"),
    (thing(CLAIM, {"phase": "Lost"}), "its volume is lost"),
    (thing(DEFINITION, {"conditions": said("NamesAccepted", "False", reason="Taken")}), "Taken"),
    (thing(CUSTOM, {"conditions": said("Stalled", reason="BadSpec", message="no")}), "BadSpec: no"),
]


@pytest.mark.parametrize(("manifest", "message"), READY, ids=lambda value: value if isinstance(value, str) else "")
def test_ready_is_what_has_come_to_its_end(manifest: Manifest, message: str) -> None:
    """An object is ready when its controller has seen the last change and nothing is left to do."""
    assert readiness.judge(manifest) == readiness.Readiness("ready", message)


@pytest.mark.parametrize(("manifest", "message"), WAITING, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_on_its_way_is_waited_for_with_a_word_on_how_far_it_is(manifest: Manifest, message: str) -> None:
    """An object that may still become ready is waited for, and what is said of it helps whoever waits."""
    assert readiness.judge(manifest) == readiness.Readiness("waiting", message)


@pytest.mark.parametrize(("manifest", "message"), FAILED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_recover_by_itself_has_failed_with_its_reason(manifest: Manifest, message: str) -> None:
    """Waiting ends at once where it cannot help."""
    assert readiness.judge(manifest) == readiness.Readiness("failed", message)


def test_what_does_not_exist_is_waited_for() -> None:
    """Somebody else may be about to make it."""
    assert readiness.judge(None) == readiness.Readiness("waiting", "it does not exist")


def test_what_is_being_deleted_is_never_ready() -> None:
    """An object on its way out may look ready to the last."""
    leaving = thing(STATEFUL_SET, ROLLED_OUT, THREE)
    leaving["metadata"] = {"name": "it", "generation": 2, "deletionTimestamp": "2030-01-01T00:00:00Z"}

    assert readiness.judge(leaving) == readiness.Readiness("waiting", "it is being deleted")
