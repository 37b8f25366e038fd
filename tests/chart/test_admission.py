"""Everything that the chart renders, before a real API server: it knows each field, and takes each pod as restricted.

kubeconform knows schemas (`test_conformance`); asking the server says more: CEL, defaults and admission too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.chart.rendering import MATRIX, NAMESPACE, Manifest, Renderer, Values, pods
from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster

pytestmark = pytest.mark.slow

OF_OTHERS = {"PodMonitor", "PrometheusRule", "ServiceMonitor"}
"""Kinds whose definitions come with the Prometheus operator; `test_conformance` looks at them."""
ACCOUNTS = ("perdure", "ours", "perdure-test", "perdure-release-finalizers")


@pytest.fixture(scope="module")
def cluster(bare: Cluster) -> Iterator[Cluster]:
    """Give the cluster with the ServiceAccounts that pods name: no pod is taken without."""
    for name in ACCOUNTS:
        bare.kubectl("create", "serviceaccount", name, f"--namespace={NAMESPACE}")
    yield bare
    for name in ACCOUNTS:
        bare.kubectl("delete", "serviceaccount", name, f"--namespace={NAMESPACE}")


def tried(cluster: Cluster, objects: list[Manifest]) -> str:
    """Let the server say what it would make of these objects; nothing is kept."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    options = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-")
    return cluster.kubectl("apply", *options, input=items)


def in_namespace(pod: Manifest) -> Manifest:
    """Give the pod with the namespace that its workload would be in."""
    return {**pod, "metadata": {**pod["metadata"], "namespace": NAMESPACE}}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_the_server_takes_every_object(cluster: Cluster, chart: Renderer, values: Values) -> None:
    """No field that it does not know, none of a wrong type, none missing."""
    objects = [one for one in chart.render(values) if one["kind"] not in OF_OTHERS]

    said = tried(cluster, objects)

    assert len(said.splitlines()) == len(objects)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_pod_is_taken_as_restricted(cluster: Cluster, chart: Renderer, values: Values) -> None:
    """The namespace enforces the strictest of the Pod Security Standards, for the database and the hooks as well."""
    made = [in_namespace(pod) for pod in pods(chart.render(values))]

    said = tried(cluster, made)

    assert len(said.splitlines()) == len(made)


def test_a_pod_of_more_rights_would_be_refused(cluster: Cluster, chart: Renderer) -> None:
    """The server does look: the same pod without its security context is not taken."""
    [pod, *_] = pods(chart.render({"pods": {"securityContext": {"seccompProfile": None}}}))

    with pytest.raises(CommandFailedError, match="violates PodSecurity"):
        tried(cluster, [in_namespace(pod)])
