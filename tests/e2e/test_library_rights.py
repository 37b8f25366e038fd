"""The rights that the page of the library names are enough: each activity does its work with these and no others.

The column is read from the page, made a Role of, and bound to a ServiceAccount that has nothing else.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from activities.kubernetes.apply import apply
from activities.registry import create_activity_registry
from activities.types import (
    ApplyInput,
    ConditionInput,
    DeleteInput,
    DeleteManyInput,
    ListInput,
    ObjectRef,
    PatchInput,
    RestartInput,
    RollOutInput,
    RunJobInput,
    ScaleInput,
    SecretInput,
    WaitInput,
    WriteSecretInput,
)
from perdure import Manifest, SecretRef
from tests.e2e.library import IMAGE, Cast, config, deployment, done, job
from tests.tree import text

pytestmark = pytest.mark.slow

GROUPS = {"deployments": "apps", "jobs": "batch"}
PATIENCE = 120.0
CONFIG = {"api_version": "v1", "kind": "ConfigMap", "name": "colours"}
DEPLOYMENT = {"api_version": "apps/v1", "kind": "Deployment", "name": "web"}

CASES: dict[str, tuple[str, Any]] = {
    "apply": ("configmaps", ApplyInput(manifests=[config(sky="red"), config("shapes")])),
    "patch": ("configmaps", PatchInput(**CONFIG, patch={"data": {"sky": "red"}})),
    "get": ("configmaps", ObjectRef(**CONFIG)),
    "list": ("configmaps", ListInput(api_version="v1", kind="ConfigMap")),
    "delete": ("configmaps", DeleteInput(**CONFIG, wait_seconds=PATIENCE)),
    "delete-many": ("configmaps", DeleteManyInput(targets=[ObjectRef(**CONFIG)], wait_seconds=PATIENCE)),
    "wait-until-ready": ("deployments", WaitInput(**DEPLOYMENT, timeout_seconds=PATIENCE)),
    "wait-for-condition": (
        "deployments",
        ConditionInput(**DEPLOYMENT, condition="Available", timeout_seconds=PATIENCE),
    ),
    "wait-until-gone": ("configmaps", WaitInput(**{**CONFIG, "name": "shapes"}, timeout_seconds=PATIENCE)),
    "run-job": ("jobs", RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE)),
    "roll-out": ("deployments", RollOutInput(name="web", images={"main": IMAGE}, timeout_seconds=PATIENCE)),
    "restart": ("deployments", RestartInput(name="web", timeout_seconds=PATIENCE)),
    "scale": ("deployments", ScaleInput(**DEPLOYMENT, replicas=2, timeout_seconds=PATIENCE)),
    "read-secret": ("secrets", SecretInput(name="house")),
    "write-secret": (
        "secrets",
        WriteSecretInput(name="door", from_={"a": SecretRef("house", "key")}, generate={"b": 9}),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_rights_on_the_page_are_enough(cast: Cast, name: str) -> None:
    """With a Role of just what the page says the activity comes to its end, and so does a second attempt."""
    await cast.load_images()
    resource, input = CASES[name]
    before = [config(sky="blue")]
    if resource == "deployments":
        before.append(deployment("web", image="example.invalid/old:1" if name == "roll-out" else IMAGE))
    await cast.do(apply, ApplyInput(manifests=before))
    await cast.kubectl("create", "secret", "generic", "house", "--from-literal=key=hunter2hunter2")
    await cast.kubectl("create", "serviceaccount", "narrow")
    await cast.kubectl("create", "--filename=-", input=json.dumps(role(cast.namespace, rights_of(name), resource)))
    await cast.kubectl("create", "rolebinding", "narrow", "--role=narrow", f"--serviceaccount={cast.namespace}:narrow")

    activity = next(one for one in create_activity_registry() if one.name.endswith(f"::kubernetes-{name}"))
    for epoch in (2, 3):
        ctx = cast.run(seq=2, epoch=epoch)
        narrow = dataclasses.replace(ctx.info, run_as=f"system:serviceaccount:{cast.namespace}:narrow")
        await done(activity, dataclasses.replace(ctx, info=narrow), input)


def test_no_activity_is_left_out() -> None:
    """One that is added to the library is tried here; only making namespaces is a matter of the whole cluster."""
    offered = {
        name.rpartition("::kubernetes-")[2] for name in create_activity_registry().names() if "::kubernetes-" in name
    }

    assert offered - {"create-namespace"} == set(CASES)


def rights_of(name: str) -> str:
    """Give the last column of an activity's row."""
    (row,) = [line for line in text(Path("docs/library.md")).splitlines() if line.startswith(f"| `kubernetes-{name}` ")]
    return row.strip("| ").rpartition(" | ")[2]


def role(namespace: str, rights: str, resource: str) -> Manifest:
    """Make a Role of a cell: verbs of the object itself, or of what stands before a colon."""
    rules: list[Any] = []
    for part in rights.split(";"):
        named, _, verbs = part.strip().rpartition(":")
        of = {"": resource, "to wait": resource, "scale": f"{resource}/scale"}.get(named, named)
        rules.append({
            "apiGroups": [GROUPS.get(of.partition("/")[0], "")],
            "resources": [of],
            "verbs": [verb.strip() for verb in verbs.split(",")],
        })  # fmt: skip
    metadata: Manifest = {"name": "narrow", "namespace": namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}
