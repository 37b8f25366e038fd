"""Run a Job to its end: its result, its exit code and the last lines of its log, or an error with all of them.

A Job is run once for each activity, however many attempts that takes: the Job says which activity it is for, and a
later attempt finds it, running or finished. Another activity of the same run that uses the name again begins anew,
when the earlier Job has ended. The Job ends with the patience that was given for it, by its own deadline, also when
nobody is left to watch it.

What a Job writes to its log ends up in history: one that shows secrets is run with `log_lines` 0.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math

from activities import names
from activities.kubernetes import delete, fencing, fields, ownership, readiness, troubles, watching
from activities.kubernetes.readiness import Readiness
from activities.types import DeleteInput, ObjectRef, RunJobInput, RunJobOutput
from perdure import ActivityContext, JsonValue, Manifest, PerdureError, activity, errors

__all__ = ["KEY", "run_job"]

KEY = "perdure.dev/idempotency-key"
"""The annotation that says for which activity a Job is."""

KEPT_SECONDS = 3_600
"""How long a Job that removes itself is kept after its end: for a second attempt that looks for its result."""

_DEADLINE_MARGIN_SECONDS = 10
"""The Job's own deadline comes after the activity's patience, so that it is always the activity that tells."""

_REMOVAL_SECONDS = 300.0
_LOG_SECONDS = 15.0
_LOG_CHARACTERS = 16 * 1024
_LOG_CHARACTERS_OF_ERROR = 1_500
"""An error's sentence has room for 4,000 characters, its details for as many bytes."""


@activity(names.KUBERNETES_RUN_JOB)
async def run_job(ctx: ActivityContext, input: RunJobInput) -> RunJobOutput:
    """Run the Job and return when it is complete.

    Raises `ObjectFailedError` when it fails, with `exitCode`, `logTail` and `pod` as details; `ObjectNotReadyError`
    after `timeout_seconds`; `ObjectBusyError` while a Job of that name runs for another activity of this run.
    """
    wanted = _wanted(ctx, input)
    target = ObjectRef.model_validate({**ownership.reference(wanted).model_dump(), "namespace": _namespace(wanted)})
    await _ensure(ctx, wanted, target)
    seen = await watching.until(ctx, target, judge=_judge, timeout_seconds=input.timeout_seconds)
    end = await _end_of(ctx, seen.manifest, input.log_lines)
    if seen.verdict.state == "failed":
        raise await _failure(ctx, target, seen, end)
    return RunJobOutput(exit_code=end.exit_code, log_tail=end.log_tail, pod=end.pod)


def _wanted(ctx: ActivityContext, input: RunJobInput) -> Manifest:
    """Give the Job as this activity's own, with a deadline."""
    deadline = math.ceil(input.timeout_seconds) + _DEADLINE_MARGIN_SECONDS
    spec: Manifest = {"activeDeadlineSeconds": deadline, **fields.mapping(input.manifest, "spec")}
    if input.delete_after:
        spec["ttlSecondsAfterFinished"] = KEPT_SECONDS
    mine: Manifest = {"metadata": {"annotations": {KEY: ctx.idempotency_key}}}
    return fields.merged({**input.manifest, "spec": spec}, mine)


async def _ensure(ctx: ActivityContext, wanted: Manifest, target: ObjectRef) -> None:
    """See to it that there is the Job of this activity."""
    for _ in range(fencing.TRIES):
        existing = await fencing.look(ctx, target)
        if existing is None:
            if await fencing.created(ctx, wanted) is not None:
                ctx.trace_info("job created", object=str(target))
                return
        elif fields.text(existing, "metadata", "annotations", KEY) == ctx.idempotency_key:
            return
        elif _is_running(existing):
            raise errors.ObjectBusyError(str(target), "a Job of that name still runs for another activity of this run")
        else:
            uid = fields.text(existing, "metadata", "uid")
            earlier = DeleteInput(**target.model_dump(by_alias=False), uid=uid, wait_seconds=_REMOVAL_SECONDS)
            await delete.delete_one(ctx, earlier)
    raise fencing.too_busy(target)


def _is_running(job: Manifest) -> bool:
    return readiness.judge(job).state == "waiting" and not fields.text(job, "metadata", "deletionTimestamp")


def _judge(manifest: Manifest | None) -> Readiness:
    """Judge a Job that was there: one that is gone will not come to its end any more."""
    if manifest is None:
        return Readiness("failed", "it is gone: somebody has deleted it before its end was seen")
    return readiness.judge(manifest)


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """What the last Pod of a Job left behind."""

    pod: str | None = None
    exit_code: int | None = None
    log_tail: str = ""


async def _end_of(ctx: ActivityContext, job: Manifest | None, log_lines: int) -> _End:
    """Look at the Pod that decided: the last one. A run that may not look at Pods gets no more than the verdict."""
    if job is None:
        return _End()
    try:
        pods = await troubles.pods_of(ctx, job)
    except PerdureError as error:
        return _End(log_tail=f"log not available: {error.message}" if log_lines else "")
    if not pods:
        return _End()
    name = fields.text(pods[0], "metadata", "name")
    container, code = _ended_container(pods[0])
    return _End(name, code, await _log_tail(ctx, pods[0], container, log_lines) if log_lines else "")


def _ended_container(pod: Manifest) -> tuple[str, int | None]:
    """Give the container whose end counts, and its exit code: the first that failed, else the first of all."""
    ended = [
        (fields.text(status, "name"), fields.number(status, "state", "terminated", "exitCode"))
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in fields.items(pod, "status", kind)
    ]
    failed = [(name, code) for name, code in ended if code]
    first = fields.text(next(fields.items(pod, "spec", "containers"), {}), "name")
    return failed[0] if failed else (first, dict(ended).get(first))


async def _log_tail(ctx: ActivityContext, pod: Manifest, container: str, lines: int) -> str:
    """Give the last lines of a log; why there are none, when they cannot be had."""
    try:
        async with asyncio.timeout(_LOG_SECONDS):
            log = await ctx.kubernetes.log(
                fields.text(pod, "metadata", "name"),
                container=container,
                namespace=_namespace(pod),
                tail_lines=lines,
            )
    except TimeoutError:
        return "log not available: the node did not answer"
    except PerdureError as error:
        return f"log not available: {error.message[:_LOG_CHARACTERS_OF_ERROR]}"
    return log.rstrip()[-_LOG_CHARACTERS:]


async def _failure(ctx: ActivityContext, target: ObjectRef, seen: watching.Seen, end: _End) -> errors.ObjectFailedError:
    """Say how the Job failed, for people and for code."""
    log = end.log_tail[-_LOG_CHARACTERS_OF_ERROR:]
    ended = f"; Pod {end.pod} ended with exit code {end.exit_code}" if end.exit_code is not None else ""
    wrote = f"; its log ends with: {log}" if log else ""
    details: JsonValue = {"exitCode": end.exit_code, "logTail": log, "pod": end.pod}
    # The log before the events: where a message is cut, it is the log that people would miss.
    reason = f"{seen.verdict.message}{ended}{wrote}{await troubles.told(ctx, seen.manifest)}"
    return errors.ObjectFailedError(str(target), reason, details=details)


def _namespace(manifest: Manifest) -> str | None:
    return fields.text(manifest, "metadata", "namespace") or None
