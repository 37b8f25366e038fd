"""The cluster of this test run does what tests lean on, whichever of the three it is.

The manifests are for real kubelets as well: images of busybox that do nothing, for as short as they may.
"""

from tests.cluster.handle import Cluster, Request

STATEFUL_SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: store, image: "busybox:1.36", command: [sleep, "3600"]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: once, image: "busybox:1.36", command: ["true"]}]
"""


def test_a_stateful_set_gets_ready_with_its_volume_bound(cluster: Cluster, namespace: str) -> None:
    """A StatefulSet with a volume claim reaches one ready replica, and its claim is bound."""
    cluster.load_image("busybox:1.36")

    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", input=STATEFUL_SET)

    ready = "jsonpath={.status.readyReplicas}=1"
    cluster.kubectl("wait", f"--for={ready}", "statefulset/store", f"--namespace={namespace}", "--timeout=120s")
    cluster.kubectl(
        "wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data-store-0", f"--namespace={namespace}", "--timeout=60s"
    )


def test_a_job_comes_to_its_end(cluster: Cluster, namespace: str) -> None:
    """A Job completes."""
    cluster.load_image("busybox:1.36")

    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", input=JOB)

    cluster.kubectl("wait", "--for=condition=Complete", "job/once", f"--namespace={namespace}", "--timeout=120s")


def test_writes_are_counted_at_the_server(cluster: Cluster, namespace: str) -> None:
    """One ConfigMap made is one more POST of configmaps."""
    before = cluster.api_request_counts()

    cluster.kubectl("create", "configmap", "counted", f"--namespace={namespace}")

    grown = cluster.api_request_counts() - before
    assert grown[Request("POST", "", "configmaps", "")] >= 1


def test_the_api_server_comes_back_after_a_crash_with_its_data(local_cluster: Cluster, namespace: str) -> None:
    """An API server that was killed and started again serves what was written before, and Pods still get ready."""
    local_cluster.kubectl("create", "configmap", "kept", f"--namespace={namespace}")

    local_cluster.stop_api_server()
    refused = local_cluster.kubectl("get", "--raw=/readyz", check=False)
    local_cluster.start_api_server()

    assert refused == ""
    assert "kept" in local_cluster.kubectl("get", "configmaps", f"--namespace={namespace}", "--output=name")
    local_cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", input=JOB)
    local_cluster.kubectl("wait", "--for=condition=Complete", "job/once", f"--namespace={namespace}", "--timeout=60s")
