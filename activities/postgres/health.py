"""Look at a server as a whole: whether all of it is there, is as it was made, runs, and answers.

Existence is judged by all of its objects, never by one; its Pod is found by the uid of the StatefulSet that is there
now, so that one of an earlier life speaks for nobody. A server that is sick is an answer, not an error; what is an
error is that nothing can be known (a missing right, an API server that is away).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from activities import names
from activities.kubernetes import fields, ownership, readiness, troubles
from activities.postgres import connection, drift, manifests, volumes
from activities.types import HealthInput, HealthOutput, VerifyConnectionInput
from perdure import ActivityContext, Manifest, activity, errors

__all__ = ["check_postgres_health"]

_SHOWN = 20
"""Fields that differ, in an answer: enough to see what somebody has done."""


@activity(names.CHECK_POSTGRES_HEALTH)
async def check_postgres_health(ctx: ActivityContext, input: HealthInput) -> HealthOutput:
    """Say how a server is: what is missing or was changed, whether its Pod is ready, whether it answers."""
    found = {
        "Secret": await ctx.kubernetes.get("v1", "Secret", manifests.secret_name(input.name)),
        "Service": await ctx.kubernetes.get("v1", "Service", input.host or input.name),
        "StatefulSet": await ctx.kubernetes.get("apps/v1", "StatefulSet", input.name),
    }
    missing = [kind for kind, each in found.items() if each is None]
    drifted = _drifted(input, found)
    said = [f"missing: {', '.join(missing)}"] if missing else []
    said += [f"changed: {', '.join(drifted)}"] if drifted else []
    said += _strangers(ownership.acting_for(ctx, input.owner).instance_id, found)
    stateful_set = found["StatefulSet"]
    trouble = "no Pod" if stateful_set is None else await _pod_trouble(ctx, input, stateful_set)
    said += [trouble] if trouble else []
    version, latency_ms, refusal = await _asked(ctx, input, found["Secret"]) if input.connect else ("", None, "")
    said += [refusal] if refusal else []
    return HealthOutput(
        healthy=not said,
        ready=not trouble,
        connected=bool(version),
        latency_ms=latency_ms,
        version=version,
        missing=missing,
        drifted=drifted[:_SHOWN],
        message="; ".join(said) or "all of it is there, ready and as it was made",
    )


def _drifted(input: HealthInput, found: dict[str, Manifest | None]) -> list[str]:
    """Name the fields that are not as the server was made, of the objects that are there and stay."""
    drifted = []
    service, stateful_set = found["Service"], found["StatefulSet"]
    if service is not None and not _is_going(service):
        wanted = manifests.service(input.name, input.host)
        drifted += [f"Service {path}" for path in drift.drifted_fields(wanted, service)]
    if stateful_set is not None and not _is_going(stateful_set):
        wanted = _wanted_stateful_set(input, stateful_set)
        drifted += [f"StatefulSet {path}" for path in drift.drifted_fields(wanted, stateful_set)]
    return drifted


def _wanted_stateful_set(input: HealthInput, existing: Manifest) -> Manifest:
    """Give what the StatefulSet should be; without a version given, its own version, image and settings are right."""
    _, storage = manifests.volume_of(existing)
    if input.version:
        shape = manifests.Shape(input.volume, input.image, input.parameters, input.resources)
        return manifests.stateful_set(input.name, input.version, storage=storage, shape=shape)
    shape = manifests.Shape(input.volume, manifests.image_of(existing))
    wanted = manifests.stateful_set(input.name, manifests.version_of(existing), storage=storage, shape=shape)
    [container] = fields.items(wanted, "spec", "template", "spec", "containers")
    container.pop("resources")
    fields.mapping(wanted, "metadata").pop("annotations")
    return wanted


def _strangers(instance_id: str, found: dict[str, Manifest | None]) -> Sequence[str]:
    """Name the objects that are there and not this owner's, or not there for long."""
    there = [each for each in found.values() if each is not None]
    strange = [
        f"{ownership.describe(each)} is not its own" for each in there if not ownership.is_own(each, instance_id)
    ]
    return [*strange, *(f"{ownership.describe(each)} is being deleted" for each in there if _is_going(each))]


async def _pod_trouble(ctx: ActivityContext, input: HealthInput, stateful_set: Manifest) -> str:
    """Say what is wrong with the Pod of this very StatefulSet, or its volume; empty when both are fine."""
    target = volumes.claim(input.name, input.volume)
    claim = await ctx.kubernetes.get(target.api_version, target.kind, target.name)
    if claim is None:
        return f"no {target}"
    if _is_going(claim):
        return f"{target} is being deleted"
    pods = await troubles.pods_of(ctx, stateful_set)
    if not pods:
        return "no Pod"
    verdict = readiness.judge(pods[0])
    if verdict.state == "ready" and not _is_going(pods[0]):
        return ""
    return f"Pod {manifests.pod_name(input.name)}: {readiness.pod_trouble(pods[0]) or verdict.message}"


async def _asked(ctx: ActivityContext, input: HealthInput, secret: Manifest | None) -> tuple[str, float | None, str]:
    """Connect; give version and latency, or why not."""
    target = VerifyConnectionInput(
        host=manifests.host(input.host or input.name, ctx.kubernetes.namespace),
        port=manifests.PORT,
        database=manifests.DATABASE,
        secret_name=manifests.secret_name(input.name),
        timeout_seconds=input.timeout_seconds,
    )
    began = time.monotonic()
    try:
        version = await connection.ask_version(target, secret)
    except (errors.CredentialsError, errors.PostgresUnreachableError) as error:
        return "", None, error.message
    return version, round((time.monotonic() - began) * 1_000, 1), ""


def _is_going(manifest: Manifest) -> bool:
    return bool(fields.text(manifest, "metadata", "deletionTimestamp"))
