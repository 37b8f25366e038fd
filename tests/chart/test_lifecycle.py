"""A release from its install to its end, by Helm, on a real API server; the stand-in for the kubelet lets pods run.

All tests share one release, and each leaves it installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.generated import CHART
from tests.chart.rendering import NAMESPACE, RELEASE
from tests.cluster.errors import CommandFailedError
from tests.cluster.handle import Cluster
from tests.cluster.kubelet import ANNOTATION
from tests.tree import ROOT

pytestmark = pytest.mark.slow

CRDS = sorted(path.name.partition("_")[2].removesuffix(".yaml") + ".perdure.dev" for path in (ROOT / "crds").iterdir())
WAITING = ("--wait", "--timeout=120s")
VALUES = ("--reset-values", "--set", "impersonation.namespaces={team-a}")
FAILING = f"hooks.annotations.{ANNOTATION.replace('.', chr(92) + '.')}=Fail"


def helm(cluster: Cluster, action: str, *arguments: str) -> str:
    """Let Helm do something with the release."""
    chart = (str(CHART),) if action in {"install", "upgrade"} else ()
    return cluster.helm(action, RELEASE, *chart, f"--namespace={NAMESPACE}", *arguments)


def names(cluster: Cluster, kind: str) -> list[str]:
    """Name the objects of a kind that are in the release's namespace, or of the cluster."""
    listed = cluster.kubectl("get", kind, f"--namespace={NAMESPACE}", "--output=name", "--ignore-not-found")
    return sorted(line.partition("/")[2] for line in listed.split())


def read(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    """Give an object."""
    shown = cluster.kubectl("get", kind, name, f"--namespace={NAMESPACE}", "--output=json")
    found: dict[str, Any] = json.loads(shown)
    return found


def password(cluster: Cluster) -> str:
    """Give the password of the bundled database, as it is stored."""
    return str(read(cluster, "secret", "perdure-postgres")["data"]["password"])


@pytest.fixture(autouse=True)
def _no_jobs_are_left(installed: Cluster) -> Iterator[None]:
    """Remove the Jobs of hooks that failed, which stay for their logs to be read."""
    yield
    installed.kubectl("delete", "jobs", "--all", f"--namespace={NAMESPACE}")


def test_one_command_is_enough(installed: Cluster) -> None:
    """On a bare cluster, in a namespace of the restricted level: pods run, definitions are served, hooks are gone."""
    assert [definition for definition in names(installed, "crd") if definition in CRDS] == CRDS
    assert read(installed, "deployment", "perdure")["status"]["availableReplicas"] == 1
    assert read(installed, "statefulset", "perdure-postgres")["status"]["availableReplicas"] == 1
    assert names(installed, "jobs") == []


def test_helm_test_runs_and_leaves_nothing(installed: Cluster) -> None:
    """Its Job, its ServiceAccount and its Role come and go."""
    assert "Succeeded" in helm(installed, "test", "--timeout=60s")

    assert names(installed, "jobs") == []
    assert "perdure-test" not in names(installed, "serviceaccounts") + names(installed, "roles")


def test_helm_test_fails_when_its_run_does(installed: Cluster) -> None:
    """And the Job stays, for its log to be read."""
    helm(installed, "upgrade", *VALUES, "--set", FAILING, "--set", "hooks.backoffLimit=0", *WAITING)

    with pytest.raises(CommandFailedError, match="failed"):
        helm(installed, "test", "--timeout=60s")

    assert names(installed, "jobs") == ["perdure-test"]
    helm(installed, "upgrade", *VALUES, *WAITING)


def test_an_upgrade_keeps_the_password(installed: Cluster) -> None:
    """It was drawn at the install; a database that has one does not learn another."""
    drawn = password(installed)

    helm(installed, "upgrade", *VALUES, "--set", "mode=split", *WAITING)

    assert password(installed) == drawn
    assert names(installed, "deployments") == ["perdure-controller", "perdure-worker-default"]
    helm(installed, "upgrade", *VALUES, *WAITING)
    assert names(installed, "deployments") == ["perdure"]


def test_an_upgrade_brings_the_definitions_up_to_date(installed: Cluster) -> None:
    """They are a part of the release: one that is behind, or was changed by hand, becomes what the chart says."""
    patch = json.dumps({"spec": {"names": {"shortNames": ["old"]}}})
    installed.kubectl("patch", "crd", "orchestrations.perdure.dev", "--type=merge", f"--patch={patch}")

    helm(installed, "upgrade", *VALUES, "--force-conflicts", *WAITING)

    assert read(installed, "crd", "orchestrations.perdure.dev")["spec"]["names"]["shortNames"] == ["orch"]


def test_a_difference_in_the_code_blocks_an_upgrade(installed: Cluster) -> None:
    """The replay check fails before the migration and before any pod is another one."""
    before = read(installed, "deployment", "perdure")["metadata"]["generation"]
    changed = ("--set", "image.tag=next", "--set", "replayCheck.enabled=true", "--set", FAILING)

    with pytest.raises(CommandFailedError, match="perdure-replay-check-operator"):
        helm(installed, "upgrade", *VALUES, *changed, "--set", "hooks.backoffLimit=0", *WAITING)

    assert names(installed, "jobs") == ["perdure-replay-check-operator"]
    assert read(installed, "deployment", "perdure")["metadata"]["generation"] == before
    helm(installed, "upgrade", *VALUES, *WAITING)


def test_a_database_of_the_user_is_migrated_first(installed: Cluster) -> None:
    """The Job of the migration ends before the new pods begin; a failing one stops the upgrade."""
    database = ("--set", "database.host=db.example.internal", "--set", "database.passwordSecret.name=db")

    with pytest.raises(CommandFailedError, match="perdure-migration"):
        helm(installed, "upgrade", *VALUES, *database, "--set", FAILING, "--set", "hooks.backoffLimit=0", *WAITING)
    assert names(installed, "statefulsets") == ["perdure-postgres"]

    helm(installed, "upgrade", *VALUES, *database, *WAITING)
    assert names(installed, "statefulsets") == []
    assert names(installed, "secrets") == ["perdure-postgres", *names_of_releases(installed)]
    helm(installed, "upgrade", *VALUES, *WAITING)


def names_of_releases(cluster: Cluster) -> list[str]:
    """Name the Secrets in which Helm remembers the release."""
    return [name for name in names(cluster, "secrets") if name.startswith("sh.helm.release.")]


def test_an_uninstall_keeps_runs_and_data(installed: Cluster) -> None:
    """Definitions, Orchestrations, volume and password stay; the next install finds them, and all else is gone."""
    drawn = password(installed)
    run = {"apiVersion": "perdure.dev/v1alpha1", "kind": "Orchestration", "metadata": {"name": "kept"}}
    spec = {"spec": {"orchestration": "workflows::orchestration::greet"}}
    installed.kubectl("create", f"--namespace={NAMESPACE}", "--filename=-", input=json.dumps({**run, **spec}))

    said = helm(installed, "uninstall", *WAITING)

    assert "These resources were kept due to the resource policy" in said
    assert [definition for definition in names(installed, "crd") if definition in CRDS] == CRDS
    assert names(installed, "orchestrations") == ["kept"]
    assert names(installed, "persistentvolumeclaims") == ["data-perdure-postgres-0"]
    for kind in ("deployments", "statefulsets", "jobs", "roles", "services"):
        assert names(installed, kind) == [], kind
    assert [name for name in names(installed, "clusterroles") if "perdure" in name] == []

    helm(installed, "install", "--set", "impersonation.namespaces={team-a}", *WAITING)
    assert password(installed) == drawn
    assert names(installed, "orchestrations") == ["kept"]
    installed.kubectl("delete", "orchestration", "kept", f"--namespace={NAMESPACE}")
