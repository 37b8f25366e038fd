"""The offered orchestrations on the pure core: which steps, in which order, and what comes of a failing one.

Activities are plain functions here; every run is rebuilt from its history before every turn.
"""

from __future__ import annotations

from perdure import Manifest, errors
from tests.unit.library.driving import Plain, drive
from workflows.apply_manifests import apply_manifests
from workflows.create_postgres import create_postgres
from workflows.types import ApplyManifestsInput, CreatePostgresInput

SERVER = {"host": "pg.shop.svc", "port": 5432, "database": "app", "secretName": "pg-credentials"}
POSTGRES: dict[str, Plain] = {
    "deploy-postgres": lambda _: SERVER,
    "wait-for-postgres": lambda _: {"message": "1 of 1 replicas ready"},
    "verify-postgres-connection": lambda _: {"serverVersion": "18.4"},
}
CONFIG: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}}
JOB: Manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load"}}


def applied(input: object) -> object:
    """Stand for the API server: give back what was applied, with a uid."""
    assert isinstance(input, dict)
    [manifest] = input["manifests"]
    reference = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "name": manifest["metadata"]["name"]}
    return {"objects": [{**reference, "namespace": "shop", "uid": "6b1f"}]}


def refuse(_: object) -> object:
    """Stand for a server that does not answer."""
    raise errors.PostgresUnreachableError("pg.shop.svc:5432/app", "connection refused")


def fail(_: object) -> object:
    """Stand for an object that has failed."""
    raise errors.ObjectFailedError("Job load", "BackoffLimitExceeded")


def test_create_postgres_deploys_waits_connects_and_says_where_it_is() -> None:
    """Three steps, each shown before it begins; the output is what a client needs, and no password."""
    ended = drive(create_postgres, CreatePostgresInput(name="pg"), activities=POSTGRES)

    assert ended.output == {**SERVER, "version": "18"}
    assert ended.activities == ["deploy-postgres", "wait-for-postgres", "verify-postgres-connection"]
    assert [(done, total) for done, total, _ in ended.progress] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_create_postgres_without_verification_has_two_steps() -> None:
    """Where the operator cannot reach the server (outside its cluster), the input leaves the connection out."""
    ended = drive(create_postgres, CreatePostgresInput(name="pg", verify_connection=False), activities=POSTGRES)

    assert ended.output == {**SERVER, "version": "18"}
    assert ended.activities == ["deploy-postgres", "wait-for-postgres"]
    assert ended.progress[-1] == (2, 2, "pg is ready")


def test_create_postgres_fails_with_the_reason_of_the_step_that_failed() -> None:
    """A server that never answers fails the run with its address."""
    ended = drive(
        create_postgres, CreatePostgresInput(name="pg"), activities={**POSTGRES, "verify-postgres-connection": refuse}
    )

    assert "pg.shop.svc:5432/app: connection refused" in ended.failure.message


def test_apply_manifests_waits_for_each_object_before_the_next() -> None:
    """The order of the list is the order of the cluster."""
    ended = drive(
        apply_manifests,
        ApplyManifestsInput(manifests=[CONFIG, JOB]),
        activities={"kubernetes-apply": applied, "kubernetes-wait-until-ready": lambda _: {"message": "ready"}},
    )

    assert ended.activities == ["kubernetes-apply", "kubernetes-wait-until-ready"] * 2
    assert ended.output == {
        "objects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "colours", "namespace": "shop", "uid": "6b1f"},
            {"apiVersion": "batch/v1", "kind": "Job", "name": "load", "namespace": "shop", "uid": "6b1f"},
        ]
    }


def test_apply_manifests_stops_at_the_first_object_that_fails() -> None:
    """What comes after a failed object is not applied."""
    ended = drive(
        apply_manifests,
        ApplyManifestsInput(manifests=[JOB, CONFIG]),
        activities={"kubernetes-apply": applied, "kubernetes-wait-until-ready": fail},
    )

    assert ended.activities == ["kubernetes-apply", "kubernetes-wait-until-ready"]
    assert "Job load failed: BackoffLimitExceeded" in ended.failure.message


def test_apply_manifests_need_not_wait() -> None:
    """A timeout of zero means: apply, and go on."""
    ended = drive(
        apply_manifests,
        ApplyManifestsInput(manifests=[CONFIG, JOB], timeout_seconds=0),
        activities={"kubernetes-apply": applied},
    )

    assert ended.activities == ["kubernetes-apply"] * 2
