"""The activities around Kubernetes objects against a real API server: what each does, and that doing it again is fine.

`Cast` is the cast of a scenario. Attempts that come too late have a file of their own, `test_stale_attempts`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from activities.kubernetes import restart as restarting
from activities.kubernetes.apply import apply
from activities.kubernetes.create_namespace import create_namespace
from activities.kubernetes.delete import delete, delete_many
from activities.kubernetes.list_objects import list_objects
from activities.kubernetes.patch import patch
from activities.kubernetes.read_secret import read_secret
from activities.kubernetes.restart import restart
from activities.kubernetes.roll_out import roll_out
from activities.kubernetes.run_job import run_job
from activities.kubernetes.scale import scale
from activities.kubernetes.wait_for_condition import wait_for_condition
from activities.kubernetes.wait_until_gone import wait_until_gone
from activities.kubernetes.wait_until_ready import wait_until_ready
from activities.kubernetes.write_secret import write_secret
from activities.types import (
    ApplyInput,
    ConditionInput,
    DeleteInput,
    DeleteManyInput,
    ListInput,
    NamespaceInput,
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
from perdure import Manifest, SecretRef, errors
from tests.e2e.library import HOLD, IMAGE, Cast, config, deployment, done, job, managers

pytestmark = pytest.mark.slow

CONFIG = {"api_version": "v1", "kind": "ConfigMap", "name": "colours"}
DEPLOYMENT = {"api_version": "apps/v1", "kind": "Deployment", "name": "web"}
PATIENCE = 120.0


async def test_what_was_created_is_applied_from_the_second_time_on(cast: Cast) -> None:
    """What a later manifest leaves out is removed, although the object began by a creation."""
    await cast.do(apply, ApplyInput(manifests=[config(sky="blue", sun="round")]), epoch=1)

    await cast.do(apply, ApplyInput(manifests=[config(sky="blue")]), epoch=2)

    made = await cast.read("configmap", "colours")
    assert made["data"] == {"sky": "blue"}
    assert made["metadata"]["annotations"]["perdure.dev/epoch"] == "2"
    assert {(entry["manager"], entry["operation"]) for entry in made["metadata"]["managedFields"]} == {
        ("perdure", "Apply")
    }


async def test_of_two_runs_that_make_the_same_object_one_gets_it(cast: Cast) -> None:
    """An object that is not there is created, and only one can do that."""
    ended = await asyncio.gather(
        *(cast.do(apply, ApplyInput(manifests=[config(made_by=name)]), run=name) for name in ("first", "second")),
        return_exceptions=True,
    )

    (refused,) = [each for each in ended if isinstance(each, BaseException)]
    assert isinstance(refused, errors.ObjectNotOwnedError)
    made = await cast.read("configmap", "colours")
    assert made["metadata"]["annotations"]["perdure.dev/instance-id"] == f"{cast.namespace}/{made['data']['made_by']}:1"


async def test_a_patch_changes_what_it_names_and_writes_nothing_twice(cast: Cast) -> None:
    """Other fields stay, null removes one, and who applies later does not take it back."""
    await cast.do(apply, ApplyInput(manifests=[config(sky="blue", sun="round")]))
    wanted = PatchInput(**CONFIG, patch={"data": {"sky": "red", "sun": None, "sea": "green"}})

    after = await cast.do(patch, wanted)
    before = await cast.read("configmap", "colours")
    await cast.do(patch, wanted, epoch=2)

    assert after.manifest["data"] == {"sky": "red", "sea": "green"}
    assert await cast.read("configmap", "colours") == before
    assert managers(before) == {"perdure", "perdure-patch"}


async def test_a_patch_of_what_is_not_there_or_not_its_own_is_refused(cast: Cast) -> None:
    """Nothing is made by a patch, and nobody's object is changed, unless that is said."""
    with pytest.raises(errors.ObjectMissingError, match="ConfigMap colours does not exist"):
        await cast.do(patch, PatchInput(**CONFIG, patch={"data": {"sky": "red"}}))
    await cast.kubectl("create", "configmap", "colours", "--from-literal=sky=grey")
    with pytest.raises(errors.ObjectNotOwnedError):
        await cast.do(patch, PatchInput(**CONFIG, patch={"data": {"sky": "red"}}))

    await cast.do(patch, PatchInput(**CONFIG, patch={"data": {"sky": "red"}}, require_own=False))

    assert (await cast.read("configmap", "colours"))["data"] == {"sky": "red"}


async def test_a_list_is_cut_and_says_so(cast: Cast) -> None:
    """As many as were asked for, by labels, and without the values of Secrets."""
    for name in ("one", "two", "three"):
        await cast.kubectl("create", "secret", "generic", name, "--from-literal=key=hunter2")
    await cast.kubectl("label", "secret", "one", "two", "place=here")

    some = await cast.do(list_objects, ListInput(api_version="v1", kind="Secret", limit=2))
    here = await cast.do(list_objects, ListInput(api_version="v1", kind="Secret", label_selector="place=here", limit=2))

    assert (len(some.manifests), some.truncated) == (2, True)
    assert (len(here.manifests), here.truncated) == (2, False)
    assert here.manifests[0]["kind"] == "Secret"
    assert {json.dumps(one["data"]) for one in here.manifests} == {'{"key": ""}'}


async def test_a_deletion_may_wait_until_the_object_is_gone(cast: Cast) -> None:
    """What is held by a finalizer is not gone, and the error names it; without it the wait ends."""
    held = config(sky="blue")
    held["metadata"] = {"name": "colours", "finalizers": ["example.com/hold"]}
    await cast.do(apply, ApplyInput(manifests=[held]))

    with pytest.raises(errors.ObjectNotReadyError, match=r"not gone after 0\.5 s\. .*held by example\.com/hold"):
        await cast.do(delete, DeleteInput(**CONFIG, wait_seconds=0.5))
    waiting = asyncio.create_task(cast.do(delete, DeleteInput(**CONFIG, wait_seconds=PATIENCE)))
    await cast.kubectl("patch", "configmap", "colours", "--type=merge", '--patch={"metadata":{"finalizers":null}}')

    assert (await waiting).deleted
    assert "colours" not in await cast.kubectl("get", "configmaps", "--output=name")


async def test_a_deletion_by_uid_leaves_another_life_alone(cast: Cast) -> None:
    """Whoever remembers a uid deletes that object or nothing."""
    await cast.do(apply, ApplyInput(manifests=[config()]))

    other = await cast.do(delete, DeleteInput(**CONFIG, uid="6b1f"))

    assert not other.deleted
    assert "colours" in await cast.kubectl("get", "configmaps", "--output=name")


async def test_dependents_go_first_when_that_is_asked_for(cast: Cast) -> None:
    """With `Foreground` the object is gone when all that belongs to it is."""
    await cast.load_images()
    await cast.do(apply, ApplyInput(manifests=[deployment("web")]))
    await cast.do(wait_for_condition, ConditionInput(**DEPLOYMENT, condition="Available", timeout_seconds=PATIENCE))

    await cast.do(delete, DeleteInput(**DEPLOYMENT, propagation="Foreground", wait_seconds=PATIENCE))

    assert "web" not in await cast.kubectl("get", "deployments,replicasets", "--output=name")


async def test_many_are_deleted_in_order_and_others_are_passed_by(cast: Cast) -> None:
    """By name in the order given; by a selector only what this run has made."""
    labels: Manifest = {"app": "shop"}
    made = [{**config(name), "metadata": {"name": name, "labels": labels}} for name in ("one", "two", "three")]
    await cast.do(apply, ApplyInput(manifests=made))
    await cast.do(
        apply, ApplyInput(manifests=[{**config("four"), "metadata": {"name": "four", "labels": labels}}]), run="second"
    )
    target = {name: ObjectRef(api_version="v1", kind="ConfigMap", name=name) for name in ("two", "gone")}

    by_name = await cast.do(
        delete_many, DeleteManyInput(targets=[target["gone"], target["two"]], wait_seconds=PATIENCE)
    )
    wanted = DeleteManyInput(api_version="v1", kind="ConfigMap", label_selector="app=shop", wait_seconds=PATIENCE)
    by_label = await cast.do(delete_many, wanted)
    again = await cast.do(delete_many, wanted)

    assert by_name.deleted == [target["two"]]
    assert {each.name for each in by_label.deleted} == {"one", "three"}
    assert again.deleted == []
    assert "configmap/four" in await cast.kubectl("get", "configmaps", "--output=name")


async def test_waiting_for_the_end_of_an_object_ends_when_another_has_its_name(cast: Cast) -> None:
    """Gone is the object that was seen first, not its name."""
    await cast.do(apply, ApplyInput(manifests=[config()]))
    waiting = asyncio.create_task(cast.do(wait_until_gone, WaitInput(**CONFIG, timeout_seconds=PATIENCE)))
    nothing = await cast.do(wait_until_gone, WaitInput(**{**CONFIG, "name": "shapes"}, timeout_seconds=PATIENCE))

    await cast.kubectl("replace", "--force", "--filename=-", input=json.dumps(config()))

    assert nothing.message == "it is gone"
    assert (await waiting).message.startswith("it is gone")


async def test_a_condition_is_waited_for_and_said(cast: Cast) -> None:
    """The wait ends with what the condition says; in vain, with what it said last."""
    await cast.load_images()
    waiting = asyncio.create_task(
        cast.do(wait_for_condition, ConditionInput(**DEPLOYMENT, condition="Available", timeout_seconds=PATIENCE))
    )
    await cast.do(apply, ApplyInput(manifests=[deployment("web")]))

    assert (await waiting).message.startswith("Available is True (MinimumReplicasAvailable")
    with pytest.raises(errors.ObjectNotReadyError, match=r"was not Sunny=True after 0\.2 s\. .*no condition Sunny"):
        await cast.do(wait_for_condition, ConditionInput(**DEPLOYMENT, condition="Sunny", timeout_seconds=0.2))


async def test_a_wait_beats_all_the_while(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for long is not taken for hanging: heartbeats go out although nothing happens."""
    monkeypatch.setattr("activities.kubernetes.watching.BEAT_SECONDS", 0.05)
    ctx, beats = cast.run_that_beats()

    waiting = asyncio.create_task(done(wait_until_ready, ctx, WaitInput(**CONFIG, timeout_seconds=PATIENCE)))
    await beats.reach(4)
    await cast.do(apply, ApplyInput(manifests=[config()]))

    assert (await waiting).message == "it exists"


async def test_a_job_is_run_once_however_many_attempts_it_takes(cast: Cast) -> None:
    """The second attempt finds the Job of the first, with its exit code and its Pod."""
    await cast.load_images()

    first = await cast.do(run_job, RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE, log_lines=0))
    before = await cast.read("job", "load")
    second = await cast.do(run_job, RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE, log_lines=0), epoch=2)

    assert (first.succeeded, first.exit_code, first.log_tail) == (True, 0, "")
    assert second == first
    assert (await cast.read("job", "load"))["metadata"]["uid"] == before["metadata"]["uid"]
    assert before["spec"]["activeDeadlineSeconds"] == PATIENCE + 10


async def test_a_job_that_fails_says_its_exit_code_and_the_events(cast: Cast) -> None:
    """The error is for people and for code, and a second attempt gets the same one."""
    await cast.load_images()
    wanted = RunJobInput(manifest=job("load", exit_code=42), timeout_seconds=PATIENCE)

    with pytest.raises(
        errors.ObjectFailedError, match=r"Job load failed: BackoffLimitExceeded.*exit code 42"
    ) as caught:
        await cast.do(run_job, wanted)
    with pytest.raises(errors.ObjectFailedError):
        await cast.do(run_job, wanted, epoch=2)

    details = caught.value.details
    assert isinstance(details, dict)
    assert (details["exitCode"], str(details["pod"]).startswith("load-")) == (42, True)
    assert "event of Job load: BackoffLimitExceeded" in caught.value.message
    assert not caught.value.retryable


async def test_a_job_whose_log_cannot_be_had_is_run_all_the_same(cast: Cast) -> None:
    """A node that does not answer costs the lines, not the result."""
    await cast.load_images()

    ran = await cast.do(run_job, RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE))

    assert ran.exit_code == 0
    if not cast.cluster.has_kubelet:
        assert ran.log_tail.startswith("log not available: ")


@pytest.mark.needs_kubelet
async def test_the_last_lines_of_a_jobs_log_are_kept(cast: Cast) -> None:
    """As many as were asked for, from the end; of a failed Job in the error."""
    await cast.load_images()
    talk = "for n in 1 2 3; do echo line $n; done"

    ran = await cast.do(run_job, RunJobInput(manifest=job("talk", talk), timeout_seconds=PATIENCE, log_lines=2))
    with pytest.raises(errors.ObjectFailedError, match="its log ends with: line 1\nline 2\nline 3") as caught:
        await cast.do(run_job, RunJobInput(manifest=job("fail", f"{talk}; exit 7"), timeout_seconds=PATIENCE))

    assert ran.log_tail == "line 2\nline 3"
    assert isinstance(caught.value.details, dict)
    assert caught.value.details["exitCode"] == 7


async def test_another_activity_runs_the_job_anew(cast: Cast) -> None:
    """The name is free again when the earlier Job has ended; while it runs the later activity is to come back."""
    await cast.load_images()
    await cast.do(run_job, RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE, delete_after=True), seq=1)
    before = await cast.read("job", "load")
    await cast.do(run_job, RunJobInput(manifest=job("load"), timeout_seconds=PATIENCE), seq=2, epoch=2)
    after = await cast.read("job", "load")
    held = asyncio.create_task(
        cast.do(
            run_job, RunJobInput(manifest=job("slow", "sleep 600", annotations=HOLD), timeout_seconds=PATIENCE), seq=3
        )
    )
    await cast.kubectl("wait", "job/slow", "--for=create", "--timeout=60s")

    with pytest.raises(errors.ObjectBusyError, match="still runs for another activity") as caught:
        await cast.do(run_job, RunJobInput(manifest=job("slow"), timeout_seconds=PATIENCE), seq=4, epoch=4)

    assert caught.value.retryable
    assert before["spec"]["ttlSecondsAfterFinished"] == 3600
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    held.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await held


async def test_a_job_that_takes_too_long_ends_by_itself_and_one_that_is_deleted_is_not_waited_for(cast: Cast) -> None:
    """The patience of the activity is in the Job too; a Job that is gone has failed."""
    slow = RunJobInput(manifest=job("slow", "sleep 600", annotations=HOLD), timeout_seconds=0.5)
    with pytest.raises(errors.ObjectNotReadyError, match=r"Job slow was not ready after 0\.5 s"):
        await cast.do(run_job, slow)
    waiting = asyncio.create_task(
        cast.do(
            run_job, RunJobInput(manifest=job("gone", "sleep 600", annotations=HOLD), timeout_seconds=PATIENCE), seq=2
        )
    )
    await cast.kubectl("wait", "job/gone", "--for=create", "--timeout=60s")

    await cast.kubectl("delete", "job", "gone")

    with pytest.raises(errors.ObjectFailedError, match="Job gone failed: it is gone"):
        await waiting
    assert (await cast.read("job", "slow"))["spec"]["activeDeadlineSeconds"] == 11


async def test_new_images_are_rolled_out_and_waited_for(cast: Cast) -> None:
    """Only the image changes; an attempt that finds it in place writes nothing."""
    await cast.load_images()
    await cast.do(apply, ApplyInput(manifests=[deployment("web", image="example.invalid/old:1")]))
    wanted = RollOutInput(name="web", images={"main": IMAGE}, timeout_seconds=PATIENCE)

    ready = await cast.do(roll_out, wanted, seq=2)
    before = await cast.read("deployment", "web")
    await cast.do(roll_out, wanted, seq=2, epoch=2)
    after = await cast.read("deployment", "web")

    (container,) = after["spec"]["template"]["spec"]["containers"]
    assert ready.message == "1 of 1 replicas available"
    assert (container["image"], container["command"]) == (IMAGE, ["sleep", "infinity"])
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


async def test_a_rollout_that_gets_nowhere_says_what_the_pods_say(cast: Cast) -> None:
    """The error has what keeps the Pods, and the events about them."""
    gated = deployment("web")
    pod = gated["spec"]["template"]["spec"]  # type: ignore[index,call-overload]  # our own manifest
    pod["schedulingGates"] = [{"name": "example.com/hold"}]  # type: ignore[index,call-overload]  # our own manifest
    await cast.do(apply, ApplyInput(manifests=[gated]))

    with pytest.raises(errors.ObjectNotReadyError) as caught:
        await cast.do(roll_out, RollOutInput(name="web", timeout_seconds=3), seq=2)

    assert "0 of 1 replicas available; Pod web-" in caught.value.message
    assert "event of Deployment web: ScalingReplicaSet" in caught.value.message


async def test_a_second_attempt_restarts_nothing_twice(cast: Cast) -> None:
    """The mark is the activity's: its attempts find it, another activity restarts again."""
    await cast.load_images()
    await cast.do(apply, ApplyInput(manifests=[deployment("web")]))
    wanted = RestartInput(name="web", timeout_seconds=PATIENCE)

    await cast.do(restart, wanted, seq=2)
    first = await cast.read("deployment", "web")
    await cast.do(restart, wanted, seq=2, epoch=2)
    second = await cast.read("deployment", "web")
    await cast.do(restart, RestartInput(name="web", timeout_seconds=0), seq=3, epoch=3)
    third = await cast.read("deployment", "web")

    mark = first["spec"]["template"]["metadata"]["annotations"][restarting.ANNOTATION]
    assert mark == cast.run(seq=2).idempotency_key
    assert second["metadata"]["generation"] == first["metadata"]["generation"]
    assert third["metadata"]["generation"] == first["metadata"]["generation"] + 1


async def test_scaling_says_what_there_was_before_in_every_attempt(cast: Cast) -> None:
    """Who wants to go back knows the way, also when the first attempt's answer was lost."""
    await cast.load_images()
    await cast.do(apply, ApplyInput(manifests=[deployment("web")]))
    wanted = ScaleInput(**DEPLOYMENT, replicas=3, timeout_seconds=PATIENCE)

    first = await cast.do(scale, wanted, seq=2)
    second = await cast.do(scale, wanted, seq=2, epoch=2)
    back = await cast.do(scale, ScaleInput(**DEPLOYMENT, replicas=first.before), seq=3, epoch=3)

    assert (first.before, first.after) == (1, 3)
    assert second == first
    assert (back.before, back.after) == (3, 1)
    assert (await cast.read("deployment", "web"))["spec"]["replicas"] == 1


async def test_what_has_no_replicas_cannot_be_scaled(cast: Cast) -> None:
    """An object without the subresource, or none at all, is refused by name."""
    await cast.kubectl("create", "role", "scaler", "--verb=get", "--resource=configmaps/scale")
    runner = f"--serviceaccount={cast.namespace}:runner"
    await cast.kubectl("create", "rolebinding", "scaler", "--role=scaler", runner)
    await cast.do(apply, ApplyInput(manifests=[config()]))

    with pytest.raises(errors.KubernetesKindUnknownError, match="knows no configmaps/scale"):
        await cast.do(scale, ScaleInput(**CONFIG, replicas=1))
    with pytest.raises(errors.ObjectMissingError, match="Deployment web does not exist"):
        await cast.do(scale, ScaleInput(**DEPLOYMENT, replicas=1))


async def test_a_secret_is_written_once_and_its_values_stay_in_the_cluster(cast: Cast) -> None:
    """Drawn values are kept by later attempts, copied ones follow their source, and nobody is told any of them."""
    await cast.kubectl("create", "secret", "generic", "house", "--from-literal=key=hunter2hunter2")
    wanted = WriteSecretInput(name="door", from_={"key": SecretRef("house", "key")}, generate={"code": 40})

    first = await cast.do(write_secret, wanted)
    made = (await cast.read("secret", "door"))["data"]
    again = await cast.do(write_secret, wanted, epoch=2)
    await cast.kubectl("patch", "secret", "house", '--patch={"stringData":{"key":"hunter3hunter3"}}')
    await cast.do(write_secret, wanted, epoch=3)
    seen = await cast.do(read_secret, SecretInput(name="door"))

    assert again == first
    assert seen.keys == ["code", "key"]
    assert seen.uid == first.uid
    assert len(base64.b64decode(made["code"])) == 40
    now = (await cast.read("secret", "door"))["data"]
    assert now == {"code": made["code"], "key": base64.b64encode(b"hunter3hunter3").decode()}


async def test_a_secret_that_is_missing_or_another_runs_is_not_written(cast: Cast) -> None:
    """A source that is not there yet is waited for by retries; an object of somebody else is left alone."""
    with pytest.raises(errors.SecretMissingError, match="house") as caught:
        await cast.do(write_secret, WriteSecretInput(name="door", from_={"key": SecretRef("house", "key")}))
    with pytest.raises(errors.SecretMissingError, match="Secret door in namespace"):
        await cast.do(read_secret, SecretInput(name="door"))
    await cast.kubectl("create", "secret", "generic", "door", "--from-literal=key=hunter2")
    with pytest.raises(errors.ObjectNotOwnedError):
        await cast.do(write_secret, WriteSecretInput(name="door", generate={"key": 20}))

    assert caught.value.retryable


@pytest.fixture
async def tenant(cast: Cast) -> AsyncIterator[str]:
    """Give the name of a namespace to be made, by a run that may do everything."""
    name = f"{cast.namespace}-tenant"
    await cast.kubectl(
        "create", "clusterrolebinding", name, "--clusterrole=cluster-admin",
        f"--serviceaccount={cast.namespace}:runner",
    )  # fmt: skip
    yield name
    await cast.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
    await cast.kubectl("delete", "clusterrolebinding", name)


async def test_a_namespace_comes_with_quota_defaults_and_administrators(cast: Cast, tenant: str) -> None:
    """All of it is there, labelled as the run's, and a second attempt changes nothing."""
    wanted = NamespaceInput(
        name=tenant, labels={"team": "a"}, quota={"pods": "5"}, limits={"memory": "1Gi"}, admins=["Group:team-a"]
    )

    first = await cast.do(create_namespace, wanted)
    second = await cast.do(create_namespace, wanted)

    assert first == second
    assert [each.kind for each in first.objects] == ["Namespace", "ResourceQuota", "LimitRange", "RoleBinding"]
    made = await cast.read("namespace", tenant)
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert made["metadata"]["annotations"]["perdure.dev/instance-id"] == f"{cast.namespace}/first:1"
    assert (
        await cast.kubectl("auth", "can-i", "create", "pods", f"--namespace={tenant}", "--as=ann", "--as-group=team-a")
    ).strip() == "yes"


async def test_a_right_that_is_missing_is_named(cast: Cast) -> None:
    """A run that may not make namespaces reads verb, resource and whose right it is, before anything is made."""
    with pytest.raises(errors.KubernetesForbiddenError, match="runner may not get namespaces"):
        await cast.do(create_namespace, NamespaceInput(name=f"{cast.namespace}-tenant"))
