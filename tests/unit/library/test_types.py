"""The types of the offered activities and orchestrations: what travels, how it looks on the wire, what is refused.

Every model of both packages stands in `EXAMPLES`; a test fails when one is missing there. Nothing here runs anything.
"""

from __future__ import annotations

import inspect
import json

import pydantic
import pytest

from activities import types as activity_types
from activities.types import (
    AppliedObject,
    ApplyInput,
    ApplyOutput,
    Chunk,
    ConditionInput,
    CopyChunkInput,
    CopyChunkOutput,
    DeleteInput,
    DeleteManyInput,
    DeleteManyOutput,
    DeleteOutput,
    DeployPostgresInput,
    DeployPostgresOutput,
    GetOutput,
    ListInput,
    ListOutput,
    MigratedTable,
    Model,
    NamespaceInput,
    NamespaceOutput,
    ObjectRef,
    PatchInput,
    PatchOutput,
    PlanMigrationInput,
    PlanMigrationOutput,
    PostgresDatabase,
    RestartInput,
    RollOutInput,
    RunJobInput,
    RunJobOutput,
    ScaleInput,
    ScaleOutput,
    SecretInput,
    SecretOutput,
    TableCounts,
    VerifyConnectionInput,
    VerifyConnectionOutput,
    VerifyMigrationInput,
    WaitForPostgresInput,
    WaitInput,
    WaitOutput,
    WriteSecretInput,
)
from perdure import Manifest, SecretRef, errors
from perdure._core import payload
from tests.unit.library.examples import AT, INVENTORY, POSTGRES
from workflows import types as workflow_types
from workflows.types import (
    ApplyManifestsInput,
    ApplyManifestsOutput,
    Approval,
    BackupPostgresInput,
    BackupPostgresOutput,
    CreatePostgresInput,
    CreatePostgresOutput,
    DeletePostgresInput,
    DeletePostgresOutput,
    GreetInput,
    GreetOutput,
    MigrateDataInput,
    MigrateDataOutput,
    OnboardTenantInput,
    OnboardTenantOutput,
    PostgresActorInput,
    PostgresActorOutput,
    RollBackPostgresInput,
    RollBackPostgresOutput,
    UpgradePostgresInput,
    UpgradePostgresOutput,
)

CONFIG: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}}
JOB: Manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load"}, "spec": {}}
SOURCE = {"secretRef": {"name": "house", "key": "key"}}
WEB = {"api_version": "apps/v1", "kind": "Deployment", "name": "web"}
APPLIED = AppliedObject(api_version="v1", kind="ConfigMap", name="colours", namespace="shop", uid="6b1f")
ORDERS = MigratedTable(name="orders", key="id")
COUNTS = TableCounts(table="orders", copied=3, source=3, target=4)
MOVE = {
    "source": PostgresDatabase(host="old.shop.svc", database="app", secret_name="old-credentials"),
    "target": PostgresDatabase(host="new.shop.svc", port=5433, database="app", secret_name="new-credentials"),
}
SERVER = {"host": "pg.shop.svc", "port": 5432, "database": "app", "secret_name": "pg-credentials"}

EXAMPLES: list[Model] = [
    ObjectRef(api_version="apps/v1", kind="Deployment", name="web"),
    ApplyInput(manifests=[CONFIG], take_over=True),
    APPLIED,
    ApplyOutput(objects=[APPLIED]),
    GetOutput(manifest=CONFIG),
    GetOutput(manifest=None),
    PatchInput(**WEB, patch={"spec": {"paused": True}}, require_own=False),
    PatchOutput(manifest=CONFIG),
    ListInput(api_version="v1", kind="ConfigMap", label_selector="app=web", limit=7),
    ListOutput(manifests=[CONFIG], truncated=True),
    DeleteInput(**WEB, propagation="Foreground", wait_seconds=60, uid="6b1f", require_own=False),
    DeleteOutput(deleted=True),
    DeleteManyInput(targets=[ObjectRef(**WEB)], wait_seconds=0),
    DeleteManyInput(api_version="v1", kind="ConfigMap", namespace="shop", label_selector="app=web"),
    DeleteManyOutput(deleted=[ObjectRef(**WEB)]),
    ConditionInput(**WEB, condition="Available", status="False", timeout_seconds=5),
    RunJobInput(manifest=JOB, timeout_seconds=60, log_lines=0, delete_after=True),
    RunJobOutput(exit_code=0, log_tail="done", pod="load-x7"),
    RunJobOutput(exit_code=None, log_tail="", pod=None),
    RollOutInput(name="web", images={"web": "web:2"}),
    RestartInput(name="db", kind="StatefulSet", timeout_seconds=0),
    ScaleInput(**WEB, replicas=3, timeout_seconds=60),
    ScaleOutput(before=1, after=3),
    SecretInput(name="door", namespace="shop"),
    SecretOutput(keys=["key"], uid="6b1f", resource_version="42"),
    WriteSecretInput(name="door", from_={"key": SecretRef("house", "key")}, generate={"code": 16}),
    NamespaceInput(name="shop", labels={"team": "a"}, quota={"pods": "5"}, admins=["Group:a", "ServiceAccount:b/c"]),
    NamespaceOutput(name="shop", uid="6b1f", objects=[APPLIED]),
    WaitInput(api_version="batch/v1", kind="Job", name="load", namespace="shop", timeout_seconds=2.5),
    WaitOutput(message="1 of 1 replicas ready"),
    DeployPostgresInput(name="pg", version="18", storage="1Gi"),
    DeployPostgresOutput.model_validate(SERVER),
    WaitForPostgresInput(name="pg"),
    VerifyConnectionInput.model_validate(SERVER),
    VerifyConnectionOutput(server_version="18.4"),
    *INVENTORY,
    *POSTGRES,
    CreatePostgresInput(name="pg", version="16.2", storage="10Gi", verify_connection=False),
    CreatePostgresOutput.model_validate({**SERVER, "version": "18"}),
    DeletePostgresInput(name="pg", keep_volumes=True, owner="shop/pg", is_actor_stopped=True),
    DeletePostgresOutput(deleted=["Service pg"]),
    PostgresActorInput(name="pg", parameters={"work_mem": "64MB"}, managed=True, rounds=3, last_healed="Service"),
    PostgresActorOutput(reason="pg is being deleted", rounds=3, healed=1),
    BackupPostgresInput(name="pg", keep=3, storage="2Gi", target="nas", restore="latest", owner="shop/pg"),
    BackupPostgresOutput(backup="monday", tables=2, restored=False, size_bytes=9, checksum="sha256:0", finished_at=AT),
    UpgradePostgresInput(name="pg", version="18", require_approval=False, approval_seconds=60, keep_old_volume=True),
    UpgradePostgresOutput(from_version="16", version="18", volume="data-v18", backup="monday", tables=2),
    RollBackPostgresInput(
        before=DeployPostgresInput(name="pg", version="16", storage="1Gi"), volume="data-v18", upgrade="a", reason="b"
    ),
    RollBackPostgresOutput(rolled_back=True),
    ApplyManifestsInput(manifests=[CONFIG], timeout_seconds=0),
    ApplyManifestsOutput(objects=[APPLIED]),
    ORDERS,
    MOVE["target"],
    Chunk(number=1, rows=3),
    PlanMigrationInput(migration="shop/move", **MOVE, table=ORDERS, chunk_rows=100, chunks=7),
    PlanMigrationOutput(chunks=[Chunk(number=1, rows=3)], copied_rows=0, estimated_rows=3),
    CopyChunkInput(migration="shop/move", **MOVE, table=ORDERS, chunk=1),
    CopyChunkOutput(rows=3, was_done=True),
    VerifyMigrationInput(migration="shop/move", **MOVE, table=ORDERS),
    COUNTS,
    MigrateDataInput(**MOVE, tables=[ORDERS], migration="move", parallel=2, rows_per_second=1_000),
    MigrateDataOutput(migration="shop/move", rows=3, tables=[COUNTS]),
    OnboardTenantInput(tenant="shop", quota={"pods": "5"}, admins=["Group:shop"], approval_seconds=60),
    Approval(approved=False, by="ann", reason="too big"),
    OnboardTenantOutput(namespace="shop", uid="6b1f", approved_by="ann", objects=["Namespace shop"]),
    GreetInput(name="Ada", pause_seconds=1.5),
    GreetOutput(greeting="Hello, Ada!"),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_every_type_survives_the_way_through_history(example: Model) -> None:
    """What is written into history and read back is the same value, and is written the same again."""
    written = payload.encode(example, "example")

    read = payload.decoder(type(example))(written)

    assert read == example
    assert payload.encode(read, "example") == written


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_every_type_speaks_camel_case_and_understands_python_names(example: Model) -> None:
    """On the wire no field has an underscore; Python names are accepted as well."""
    fields = json.loads(payload.encode(example, "example"))
    names = {field.alias or name: name for name, field in type(example).model_fields.items()}

    assert set(fields) == set(names)
    assert not [name for name in fields if "_" in name]
    assert type(example).model_validate({names[name]: value for name, value in fields.items()}) == example


def test_every_type_has_an_example() -> None:
    """A type that is added is tested: it has an example above."""
    offered = {
        name
        for module in (activity_types, workflow_types)
        for name, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Model) and value.__module__.startswith(module.__name__)
    }

    assert offered - {"Model", "Input"} == {type(example).__name__ for example in EXAMPLES}


@pytest.mark.parametrize(
    ("model", "value", "complaint"),
    [
        (PatchInput, {"kind": "Secret", "patch": {"data": {"a": "aHVudGVyMg=="}}}, "a Secret's data"),
        (DeleteManyInput, {}, "either targets, or apiVersion and kind"),
        (DeleteManyInput, {"kind": "Pod", "apiVersion": ""}, "either targets, or apiVersion and kind"),
        (DeleteManyInput, {"apiVersion": "v1", "kind": "Pod", "targets": [WEB]}, "either targets, or apiVersion"),
        (RunJobInput, {"manifest": CONFIG}, "expected a Job of batch/v1"),
        (RollOutInput, {"kind": "Pod"}, "Deployment"),
        (ScaleInput, {"replicas": -1}, "greater than or equal to 0"),
        (WriteSecretInput, {}, "at least one key in from or generate"),
        (WriteSecretInput, {"generate": {"a": 9}, "from": {"a": SOURCE}}, "not both: a"),
        (WriteSecretInput, {"generate": {"a": 7}}, "greater than or equal to 8"),
        (NamespaceInput, {"name": "Shop"}, "should match pattern"),
        (NamespaceInput, {"admins": ["alice"]}, "expected User:NAME"),
    ],
    ids=str,
)
def test_what_would_do_harm_is_refused_at_the_door(
    model: type[Model], value: dict[str, object], complaint: str
) -> None:
    """An input that cannot mean what it says is refused before anything is done, and no value of a Secret is quoted."""
    with pytest.raises(errors.InputInvalidError, match=complaint) as caught:
        payload.decoder(model)(json.dumps({"apiVersion": "v1", "name": "a", **value}).encode())

    assert "aHVudGVyMg" not in str(caught.value)


def test_create_postgres_needs_only_a_name() -> None:
    """The shortest input is a name; the rest has defaults."""
    read = payload.decoder(CreatePostgresInput)(b'{"name": "pg"}')

    assert read == CreatePostgresInput(name="pg", version="18", storage="1Gi", verify_connection=True)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "name"),
        ({"name": "Pg"}, "name"),
        ({"name": "9pg"}, "name"),
        ({"name": "pg-"}, "name"),
        ({"name": "pg\n"}, "name"),
        ({"name": "p" * 41}, "name"),
        ({"name": "pg", "version": 18}, "version"),
        ({"name": "pg", "version": "latest"}, "version"),
        ({"name": "pg", "version": "18-alpine"}, "version"),
        ({"name": "pg", "version": "9"}, "version"),
        ({"name": "pg", "storage": "1"}, "storage"),
        ({"name": "pg", "storage": "0Gi"}, "storage"),
        ({"name": "pg", "storage": "-1Gi"}, "storage"),
        ({"name": "pg", "verifyConnection": "perhaps"}, "verifyConnection"),
        ({"name": "pg", "storrage": "5Gi"}, "storrage"),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_refused_by_the_path_of_its_field(fields: dict[str, object], path: str) -> None:
    """Whoever wrote the resource reads which field is wrong, by the name they wrote."""
    with pytest.raises(errors.InputInvalidError, match=rf"CreatePostgresInput: {path}: "):
        payload.decoder(CreatePostgresInput)(json.dumps(fields).encode())


@pytest.mark.parametrize("name", ["p", "pg", "p9", "my-pg-2", "p" * 40])
def test_a_postgres_is_named_by_any_dns_label(name: str) -> None:
    """Every DNS label of at most forty characters is a name."""
    assert CreatePostgresInput(name=name).name == name


@pytest.mark.parametrize("version", ["14", "16", "18", "18.4", "18.10", "20"])
def test_a_version_is_major_or_major_and_minor(version: str) -> None:
    """Versions that are tags of the image are taken as they are."""
    assert CreatePostgresInput(name="pg", version=version).version == version


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "ConfigMap", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ""}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}},
    ],
    ids=str,
)
def test_a_manifest_without_kind_or_name_is_refused_before_anything_runs(manifest: Manifest) -> None:
    """An object that a retry could not find again is refused when the input is read, with its place in the list."""
    value = json.dumps({"manifests": [CONFIG, manifest]}).encode()

    with pytest.raises(errors.InputInvalidError, match=r"manifests\.1: .*metadata\.name"):
        payload.decoder(ApplyManifestsInput)(value)


@pytest.mark.parametrize("key", ["data", "stringData"])
def test_a_secret_with_data_is_refused_and_not_quoted(key: str) -> None:
    """Data of a Secret has no place in an input; the refusal says so without repeating it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, key: {"password": "hunter2"}}

    with pytest.raises(errors.InputInvalidError, match="a Secret's data") as caught:
        payload.decoder(ApplyInput)(json.dumps({"manifests": [secret]}).encode())

    assert "hunter2" not in str(caught.value)


def test_values_do_not_change() -> None:
    """A value that was read from history cannot be changed under the feet of others."""
    with pytest.raises(pydantic.ValidationError):
        APPLIED.name = "other"  # type: ignore[misc]  # the point of the test
