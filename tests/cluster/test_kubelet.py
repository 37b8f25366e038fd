"""What the stand-in for the kubelet does with one Pod: a decision without an API server.

That it really brings StatefulSets and Jobs to their end is proved on a cluster, in `test_cluster`.
"""

from typing import Any

import pytest

from tests.cluster import kubelet


def pod(
    *, node: str | None = kubelet.NODE, phase: str = "Pending", restart: str = "Always", **more: Any
) -> kubelet.Pod:
    """Return a Pod on our node that waits to be run; `more` goes into its metadata."""
    spec = {"restartPolicy": restart, "containers": [{"name": "main", "image": "any"}]}
    placed = {} if node is None else {"nodeName": node}
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", **more},
        "spec": spec | placed,
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (pod(node=None), "bind"),
        (pod(), "run"),
        (pod(restart="Never"), "complete"),
        (pod(restart="OnFailure"), "complete"),
        (pod(annotations={kubelet.ANNOTATION: "Hold"}), "nothing"),
        (pod(annotations={kubelet.ANNOTATION: "Fail"}), "fail"),
        (pod(annotations={kubelet.ANNOTATION: "Fail:42"}), "fail"),
        (pod(phase="Running"), "nothing"),
        (pod(phase="Succeeded"), "nothing"),
        (pod(node="another"), "nothing"),
        (pod(phase="Running", deletionTimestamp="now", deletionGracePeriodSeconds=30), "remove"),
        (pod(node=None, deletionTimestamp="now", deletionGracePeriodSeconds=30), "remove"),
        (pod(phase="Running", deletionTimestamp="now", deletionGracePeriodSeconds=0), "nothing"),
    ],
)
def test_each_pod_has_one_next_step(given: kubelet.Pod, step: kubelet.Step) -> None:
    """Binding, running, ending and removing follow each other, and a Pod at rest or of another node is left alone."""
    assert kubelet.next_step(given) == step


def test_a_pod_that_runs_is_ready_and_has_an_address() -> None:
    """What controllers look at is there: phase, Ready, container statuses and a Pod address."""
    status = kubelet.pod_status(pod(), "run", address="10.244.1.1", now="2026-01-01T00:00:00Z")

    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert (status["phase"], conditions["Ready"], status["podIP"]) == ("Running", "True", "10.244.1.1")
    assert [(container["name"], container["ready"]) for container in status["containerStatuses"]] == [("main", True)]


@pytest.mark.parametrize(("step", "phase", "code"), [("complete", "Succeeded", 0), ("fail", "Failed", 1)])
def test_a_pod_that_ends_says_how(step: kubelet.Step, phase: str, code: int) -> None:
    """The phase and the exit code agree, and nothing is ready any more."""
    status = kubelet.pod_status(pod(restart="Never"), step, address="10.244.1.1", now="2026-01-01T00:00:00Z")

    (container,) = status["containerStatuses"]
    assert (status["phase"], container["state"]["terminated"]["exitCode"], container["ready"]) == (phase, code, False)


def test_a_pod_may_fail_with_a_code_of_its_choice() -> None:
    """What looks at exit codes can be tried with any of them."""
    given = pod(restart="Never", annotations={kubelet.ANNOTATION: "Fail:42"})

    status = kubelet.pod_status(given, "fail", address="10.244.1.1", now="2026-01-01T00:00:00Z")

    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 42


def test_a_pod_that_completes_may_leave_a_word() -> None:
    """What reads the termination message of a container finds what the namespace says it is; a failed one has none."""
    completed, failed = (
        kubelet.pod_status(pod(restart="Never"), step, address="10.244.1.1", now="now", last_word="done")
        for step in ("complete", "fail")
    )

    assert completed["containerStatuses"][0]["state"]["terminated"]["message"] == "done"
    assert "message" not in failed["containerStatuses"][0]["state"]["terminated"]


def test_a_word_may_be_for_some_pods_alone() -> None:
    """Who has the part in its name says it, all others what is for all."""
    annotations = {kubelet.LAST_WORD: "made", f"{kubelet.LAST_WORD}.restore": "back"}

    assert kubelet.last_word(annotations, "orders-restore-1a2b-x") == "back"
    assert kubelet.last_word(annotations, "orders-backup-1a2b-x") == "made"
    assert kubelet.last_word({}, "orders-backup-1a2b-x") == ""
