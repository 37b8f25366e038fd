"""The offered orchestrations in simulations: which steps, in which order, and what comes of a failing one."""

from __future__ import annotations

from activities.kubernetes.apply import apply
from activities.kubernetes.wait_until_ready import wait_until_ready
from activities.postgres.connection import verify_connection
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from activities.types import (
    AppliedObject,
    ApplyInput,
    ApplyOutput,
    DeployPostgresOutput,
    VerifyConnectionOutput,
    WaitOutput,
)
from perdure import ActivityContext, Manifest, errors
from perdure.testing import Run, simulate
from workflows.apply_manifests import apply_manifests
from workflows.greet import greet
from workflows.types import (
    ApplyManifestsInput,
    CreatePostgresOutput,
    GreetInput,
    GreetOutput,
)

SERVER = DeployPostgresOutput(host="pg.shop.svc", port=5432, database="app", secret_name="pg-credentials")
POSTGRES = {
    deploy_postgres: SERVER,
    wait_for_postgres: WaitOutput(message="1 of 1 replicas ready"),
    verify_connection: VerifyConnectionOutput(server_version="18.4"),
}
READY = CreatePostgresOutput(**SERVER.model_dump(), version="18")
CONFIG: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}}
JOB: Manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load"}}


def applied(_: ActivityContext, input: ApplyInput) -> ApplyOutput:
    """Stand for the API server: give back what was applied, with a uid."""
    return ApplyOutput(objects=[to_object(manifest) for manifest in input.manifests])


def to_object(manifest: Manifest) -> AppliedObject:
    """Name an object as the API server has it."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    fields = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "name": metadata["name"]}
    return AppliedObject.model_validate({**fields, "namespace": "shop", "uid": "6b1f"})


CLUSTER = {apply: applied, wait_until_ready: WaitOutput(message="ready")}


def steps(run: Run[object]) -> list[str]:
    """Name the activities that were asked for, by the last part of their names."""
    return [call.name.rpartition("::")[2] for call in run.activities]


def failed_with(run: Run[object]) -> str:
    """Give the sentence that a run failed with."""
    assert run.error is not None
    return run.error.message


def test_apply_manifests_waits_for_each_object_before_the_next() -> None:
    """The order of the list is the order of the cluster."""
    run = simulate(apply_manifests, ApplyManifestsInput(manifests=[CONFIG, JOB]), activities=CLUSTER)

    assert steps(run) == ["kubernetes-apply", "kubernetes-wait-until-ready"] * 2
    assert run.output.objects == [to_object(CONFIG), to_object(JOB)]


def test_apply_manifests_stops_at_the_first_object_that_fails() -> None:
    """What comes after a failed object is not applied."""
    broken = errors.ObjectFailedError("Job load", "BackoffLimitExceeded")

    run = simulate(
        apply_manifests,
        ApplyManifestsInput(manifests=[JOB, CONFIG]),
        activities={**CLUSTER, wait_until_ready: broken},
    )

    assert steps(run) == ["kubernetes-apply", "kubernetes-wait-until-ready"]
    assert "Job load failed: BackoffLimitExceeded" in failed_with(run)


def test_apply_manifests_need_not_wait() -> None:
    """A timeout of zero means: apply, and go on."""
    input = ApplyManifestsInput(manifests=[CONFIG, JOB], timeout_seconds=0)

    run = simulate(apply_manifests, input, activities=CLUSTER)

    assert steps(run) == ["kubernetes-apply"] * 2


def test_a_greeting_asks_for_nothing() -> None:
    """Neither an activity nor a right: it is what an installation is tried with."""
    run = simulate(greet, GreetInput(name="Ada", pause_seconds=60))

    assert run.output == GreetOutput(greeting="Hello, Ada!")
    assert steps(run) == []
