"""Attempts that come too late change nothing: each writing activity, frozen wherever that could do harm.

The story is always the same. An attempt falls asleep: before it has looked at anything, or in front of its first write,
with what it saw still in its hands. Its worker is taken for dead, a later attempt does the work, and the run goes on
and changes the same objects again. Then the first one wakes up.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.kubernetes.apply import apply
from activities.kubernetes.create_namespace import create_namespace
from activities.kubernetes.delete import delete, delete_many
from activities.kubernetes.patch import patch
from activities.kubernetes.restart import restart
from activities.kubernetes.roll_out import roll_out
from activities.kubernetes.run_job import run_job
from activities.kubernetes.scale import scale
from activities.kubernetes.write_secret import write_secret
from activities.registry import create_activity_registry
from activities.types import (
    ApplyInput,
    DeleteInput,
    DeleteManyInput,
    NamespaceInput,
    ObjectRef,
    PatchInput,
    RestartInput,
    RollOutInput,
    RunJobInput,
    ScaleInput,
    WriteSecretInput,
)
from perdure import ActivityDefinition, KubernetesApi, Manifest, errors
from tests.e2e.library import Cast, config, deployment, done, job

pytestmark = pytest.mark.slow

WRITES = {"apply", "create", "patch", "delete"}
READS = {"get", "list", "watch"}
CONFIG = {"api_version": "v1", "kind": "ConfigMap", "name": "colours"}
DEPLOYMENT = {"api_version": "apps/v1", "kind": "Deployment", "name": "web"}


class Sleeper:
    """The API server for an attempt that falls asleep in front of its first call of some kind."""

    def __init__(self, api: KubernetesApi, before: set[str]) -> None:
        """Fall asleep in front of one of these calls, once."""
        self._api = api
        self._before = before
        self.sleeps = asyncio.Event()
        self.wake = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        """Give the call, which waits to be woken when it is one of those."""
        call = getattr(self._api, name)
        if name not in self._before or self.sleeps.is_set():
            return call

        async def late(*arguments: Any, **named: Any) -> Any:
            self.sleeps.set()
            await self.wake.wait()
            return await call(*arguments, **named)

        return late


@dataclasses.dataclass(frozen=True)
class Story:
    """An activity, its input, what is there before it, and what the run goes on to do to the same objects."""

    activity: ActivityDefinition[Any, Any]
    input: Any
    before: tuple[Manifest, ...] = ()
    then: tuple[tuple[ActivityDefinition[Any, Any], Any], ...] = ()
    is_everywhere: bool = False


def touched(target: dict[str, str], **content: Any) -> tuple[ActivityDefinition[Any, Any], Any]:
    """Give the activity by which the run goes on: it changes an object."""
    return patch, PatchInput(**target, patch=content or {"metadata": {"annotations": {"example.com/later": "yes"}}})


STORIES = [
    Story(apply, ApplyInput(manifests=[config(sky="blue")]), then=(touched(CONFIG, data={"sky": "red"}),)),
    Story(
        apply,
        ApplyInput(manifests=[config(sky="blue")]),
        before=(config(sky="grey"),),
        then=(touched(CONFIG, data={"sky": "red"}),),
    ),
    Story(
        patch,
        PatchInput(**CONFIG, patch={"data": {"sky": "blue"}}),
        before=(config(sky="grey"),),
        then=(touched(CONFIG, data={"sky": "red"}),),
    ),
    Story(
        delete,
        DeleteInput(**CONFIG),
        before=(config(sky="grey"),),
        then=((apply, ApplyInput(manifests=[config(sky="red")])),),
    ),
    Story(
        delete_many,
        DeleteManyInput(targets=[ObjectRef(**CONFIG)]),
        before=(config(sky="grey"),),
        then=((apply, ApplyInput(manifests=[config(sky="red")])),),
    ),
    Story(
        roll_out,
        RollOutInput(name="web", images={"main": "example.invalid/late:1"}, timeout_seconds=1),
        before=(deployment("web"),),
        then=(touched(DEPLOYMENT, spec={"paused": True}),),
    ),
    Story(
        restart,
        RestartInput(name="web", timeout_seconds=0),
        before=(deployment("web"),),
        then=((restart, RestartInput(name="web", timeout_seconds=0)),),
    ),
    Story(
        scale,
        ScaleInput(**DEPLOYMENT, replicas=2),
        before=(deployment("web"),),
        then=((scale, ScaleInput(**DEPLOYMENT, replicas=0)),),
    ),
    Story(
        run_job,
        RunJobInput(manifest=job("load"), timeout_seconds=120, log_lines=0),
        then=((run_job, RunJobInput(manifest=job("load"), timeout_seconds=120, log_lines=0)),),
    ),
    Story(
        write_secret,
        WriteSecretInput(name="door", generate={"key": 20}),
        then=((write_secret, WriteSecretInput(name="door", generate={"key": 20, "code": 20})),),
    ),
    Story(
        create_namespace,
        NamespaceInput(name="tenant", quota={"pods": "5"}),
        then=((create_namespace, NamespaceInput(name="tenant", quota={"pods": "9"})),),
        is_everywhere=True,
    ),
]

KINDS = "configmaps,secrets,deployments,jobs,resourcequotas"


def name_of(value: object) -> str:
    """Name a case of a test."""
    return value.activity.name.rpartition("::")[2] if isinstance(value, Story) else str(value)


@pytest.mark.parametrize("asleep", ["at its beginning", "before its write"])
@pytest.mark.parametrize("story", STORIES, ids=name_of)
async def test_an_attempt_that_wakes_up_after_its_successor_changes_nothing(
    cast: Cast, story: Story, asleep: str
) -> None:
    """Everything is as those left it who came after it; at most it is told that it is stale."""
    async with prepared(cast, story) as namespaces:
        sleeper = Sleeper(cast.api.acting_as(cast.run().info.run_as), WRITES if "write" in asleep else WRITES | READS)
        ctx = dataclasses.replace(cast.run(seq=2, epoch=2), _kubernetes=lambda *_: sleeper)
        zombie = asyncio.create_task(done(story.activity, ctx, named(story.input, namespaces)))
        await sleeper.sleeps.wait()
        with contextlib.suppress(errors.ObjectNotReadyError):  # a rollout to an image that nobody has
            await cast.do(story.activity, named(story.input, namespaces), seq=2, epoch=3)
        for seq, (activity, input) in enumerate(story.then, start=3):
            await cast.do(activity, named(input, namespaces), seq=seq, epoch=seq + 1)
        left = await state(cast, namespaces)

        sleeper.wake.set()
        ended: object = (await asyncio.gather(zombie, return_exceptions=True))[0]

        assert isinstance(ended, errors.StaleAttemptError)
        assert await state(cast, namespaces) == left


def test_every_activity_that_writes_has_a_story() -> None:
    """One that is added to the library is proved here, or said to change nothing."""
    harmless = {"get", "list", "wait-until-ready", "wait-for-condition", "wait-until-gone", "read-secret"}
    offered = {name.rpartition("::")[2] for name in create_activity_registry().names() if "::kubernetes-" in name}

    assert {name_of(story) for story in STORIES} == offered - {f"kubernetes-{name}" for name in harmless}


@contextlib.asynccontextmanager
async def prepared(cast: Cast, story: Story) -> AsyncIterator[list[str]]:
    """Bring the cluster to where the story begins; give the namespaces that it is about."""
    await cast.load_images()
    tenant = f"{cast.namespace}-tenant"
    bound = f"--serviceaccount={cast.namespace}:runner"
    if story.is_everywhere:
        await cast.kubectl("create", "clusterrolebinding", tenant, "--clusterrole=cluster-admin", bound)
    if story.before:
        await cast.do(apply, ApplyInput(manifests=list(story.before)), seq=1, epoch=1)
    try:
        yield [cast.namespace, *([tenant] if story.is_everywhere else [])]
    finally:
        if story.is_everywhere:
            await cast.kubectl("delete", "namespace", tenant, "--wait=false", "--ignore-not-found")
            await cast.kubectl("delete", "clusterrolebinding", tenant)


def named(input: Any, namespaces: list[str]) -> Any:
    """Put the name of the namespace to be made, which only the test knows, into an input."""
    return input.model_copy(update={"name": namespaces[-1]}) if isinstance(input, NamespaceInput) else input


async def state(cast: Cast, namespaces: list[str]) -> dict[str, Any]:
    """Give all that somebody wanted of the objects; not what controllers have made of it meanwhile."""
    found: dict[str, Any] = {}
    for namespace in namespaces:
        listed = json.loads(await cast.kubectl("get", KINDS, f"--namespace={namespace}", "--output=json"))
        for one in listed["items"]:
            metadata = {key: one["metadata"].get(key) for key in ("uid", "generation", "labels", "deletionTimestamp")}
            annotations = one["metadata"].get("annotations", {})
            mine = {key: value for key, value in annotations.items() if not key.startswith("deployment.kubernetes.io/")}
            content = {key: value for key, value in one.items() if key not in {"metadata", "status"}}
            found[f"{namespace}/{one['kind']}/{one['metadata']['name']}"] = [metadata, mine, content]
    return found
