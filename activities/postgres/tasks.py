"""Running a Job beside a server: for which server it is, under which name it is found again, and what came out of it.

A Job runs once for an activity, however many attempts that takes: its name is made of the activity's key. Its result
stands in the status of its Pod, where it needs no log of a node; the end of the log is the second place to look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import TypeVar

import pydantic

from activities.kubernetes import fields, ownership
from activities.kubernetes.run_job import run_job
from activities.postgres import manifests, objects
from activities.types import Model, RunJobInput
from perdure import ActivityContext, Manifest, errors

__all__ = ["job_name", "run", "server_of"]

M = TypeVar("M", bound=Model)

_LOG_LINES = 20
_JOB_CHARACTERS = 63
"""The name of a Job is a label of its Pods."""


async def server_of(ctx: ActivityContext, name: str, *, owned_by: str) -> tuple[Manifest, str]:
    """Give the StatefulSet of a server, which says of which version it is, and the address of its Service.

    Raises `ServerIncompleteError` when one of them is missing, `ObjectNotOwnedError` when it is another owner's.
    """
    stateful_set = await ctx.kubernetes.get(*objects.STATEFUL_SET, name)
    service = await objects.service_of(ctx, name)
    if stateful_set is None or service is None:
        there = {"StatefulSet": stateful_set, "Service": service}
        raise errors.ServerIncompleteError(name, [kind for kind, each in there.items() if each is None])
    ownership.require_own(stateful_set, ownership.acting_for(ctx, owned_by).instance_id)
    return stateful_set, manifests.host(fields.text(service, "metadata", "name"), ctx.kubernetes.namespace)


def job_name(ctx: ActivityContext, name: str, *, what: str) -> str:
    """Give the name of the Job of this activity, the same in each attempt."""
    digest = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:10]
    ending = f"-{what}-{digest}"
    return f"{name[: _JOB_CHARACTERS - len(ending)]}{ending}"


async def run(ctx: ActivityContext, job: Manifest, *, result: type[M], timeout_seconds: float) -> M:
    """Run a Job to its end and give what it says of it.

    Raises what `run_job` raises, and `ObjectFailedError` for one that says nothing although it ended well.
    """
    running = run_job(
        ctx, RunJobInput(manifest=job, timeout_seconds=timeout_seconds, log_lines=_LOG_LINES, delete_after=True)
    )
    assert isinstance(running, Awaitable)  # noqa: S101 - it is an async function
    ended = await running
    said = await _message(ctx, ended.pod) or ended.log_tail.rpartition("\n")[2]
    try:
        return result.model_validate_json(said)
    except pydantic.ValidationError:
        name = fields.text(job, "metadata", "name")
        why = f"it ended well and did not say with what; its log ends with: {ended.log_tail or 'nothing'}"
        raise errors.ObjectFailedError(f"Job {name}", why) from None


async def _message(ctx: ActivityContext, pod: str | None) -> str:
    """Give what the container of a Pod has left as its last word; empty when there is none."""
    found = await ctx.kubernetes.get("v1", "Pod", pod) if pod else None
    status = next(fields.items(found or {}, "status", "containerStatuses"), {})
    return fields.text(status, "state", "terminated", "message")
