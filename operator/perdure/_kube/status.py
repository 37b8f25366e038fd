"""Writes the facts about a run as the `.status` of its resource.

The whole status is built every time and depends on nothing but the facts, so what has not changed is equal and need
not be written: an identical write costs the API server as much as a real one. Times of transition come from the facts
as well where they can, so that a worker that takes over builds what its predecessor wrote.

The status stays below `limits.STATUS_BYTES`, whatever the run is made of: texts are cut with a mark, and what does not
fit is left out in the order of `_SHRINKERS` and named in `truncated`. What an API server refuses all the same has a
form that is as small as can be, and says why. This module is pure: no clock, no API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from pydantic import JsonValue

from perdure._core import limits, projection
from perdure._kube import conditions, verdict, waiting
from perdure._kube.api import base
from perdure._kube.api.condition import ConditionStatus
from perdure._kube.facts import Facts, Instance, Retry, Unrunnable

__all__ = ["Facts", "Instance", "Retry", "Status", "Unrunnable", "build", "cut", "kept", "minimal"]

Status = dict[str, JsonValue]

_MESSAGE_BYTES = limits.STATUS_BYTES // 16
"""Up to three conditions and the error carry one message each: a quarter of the room for all of them."""

_LINE_BYTES = limits.PROGRESS_MESSAGE_CHARACTERS
_STEPS_WHEN_CROWDED = 3
_MARK = " ... (cut)"


def build(facts: Facts, previous: Mapping[str, JsonValue] | None, *, now: datetime) -> Status:
    """Give the full status. `previous` is the one last written or read: it keeps the times of transition.

    `now` dates only a change that the facts do not date themselves (a hold, a refusal, an unknown orchestration).
    """
    judged = verdict.judge(facts)
    status: Status = {
        "observedGeneration": facts.generation,
        "phase": judged.phase,
        "conditions": conditions.build(
            judged.conditions,
            reason=judged.reason,
            message=cut(judged.message, _MESSAGE_BYTES),
            generation=facts.generation,
            previous=previous or {},
            at=_turned(facts, before=conditions.by_type(previous or {}), now=now),
        ),
        **_of_instance(facts),
        **_of_projection(facts),
        "waitingFor": _waiting_for(facts),
    }
    return _fit({key: value for key, value in status.items() if value is not None})


def kept(previous: Mapping[str, JsonValue], *, generation: int) -> Status:
    """Give the last status of a run that is not in the database any more, as of this generation of its resource."""
    observed: list[JsonValue] = [{**item, "observedGeneration": generation} for item in conditions.listed(previous)]
    return {**previous, "observedGeneration": generation, "conditions": observed}


def _turned(facts: Facts, *, before: Mapping[str, Mapping[str, JsonValue]], now: datetime) -> conditions.Dated:
    """Say when conditions take a new value: at the start or the end of the run, else now."""
    instance = facts.instance

    def at(type_: str, status: ConditionStatus) -> datetime:
        if instance is None:
            return now
        is_as_from_the_start = verdict.CONDITIONS["UnderWay"][type_] == status
        if is_as_from_the_start:
            turned_back = before.get(type_, {}).get("status") in {"True", "False"}
            return now if turned_back else instance.created_at
        ended = facts.refusal is None and instance.finished_at is not None
        return instance.finished_at if ended and instance.finished_at else now

    return at


# --- the run ---------------------------------------------------------------------------------------------------------


def _of_instance(facts: Facts) -> Status:
    instance = facts.instance
    if instance is None:
        return {}
    return {
        "instanceId": instance.instance_id,
        "version": instance.version or None,
        "execution": instance.execution,
        "error": _error(instance),
        **_output(instance),
        "startTime": _timestamp_or_none(instance.started_at),
        "completionTime": _timestamp_or_none(instance.finished_at),
        "duration": _duration(instance),
    }


def _error(instance: Instance) -> JsonValue:
    error = verdict.failure_or_none(instance.error)
    if error is None:
        return None
    shown: Status = {"code": error.code, "message": cut(error.message, _MESSAGE_BYTES)}
    if error.activity:
        shown |= {"activity": cut(error.activity, _LINE_BYTES), "attempt": error.attempts}
    return shown


def _output(instance: Instance) -> Status:
    if instance.output is None:
        return {}
    if len(instance.output) > limits.STATUS_OUTPUT_BYTES:
        return {"outputRef": _reference(instance.instance_id, len(instance.output))}
    return {"output": msgspec.json.decode(instance.output)}


def _reference(instance_id: JsonValue, size_bytes: int) -> Status:
    return {"instanceId": instance_id, "bytes": size_bytes}


def _timestamp_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else base.timestamp(moment)


def _duration(instance: Instance) -> str | None:
    """Say how long a finished run took, as kubectl says ages: 3.2s, 1m32s, 5h7m, 3d4h."""
    if instance.finished_at is None:
        return None
    seconds = max(0.0, (instance.finished_at - (instance.started_at or instance.created_at)).total_seconds())
    if seconds < 10:  # noqa: PLR2004 - below this a tenth of a second tells something
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, next_unit, size, next_size in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // next_size}{next_unit}"
    return f"{whole}s"


# --- what it does ----------------------------------------------------------------------------------------------------


def _of_projection(facts: Facts) -> Status:
    shown = facts.projection
    if shown.turns == 0:
        return {}
    retries = {retry.seq: retry for retry in facts.retries}
    listed: list[JsonValue] = [_step(step, retries.get(step.seq)) for step in projection.steps(shown)]
    return {
        "step": _current_step(shown),
        "progress": _progress(shown),
        "steps": listed or None,
        "counts": {
            "scheduled": shown.counts.scheduled,
            "completed": shown.counts.completed,
            "failed": shown.counts.failed,
            "cancelled": shown.counts.cancelled,
            "timers": shown.counts.timers,
        },
        "customStatus": None if shown.custom_status is None else msgspec.json.decode(shown.custom_status),
    }


def _step(step: projection.Step, retry: Retry | None) -> JsonValue:
    shown: Status = {"seq": step.seq, "name": cut(step.name, _LINE_BYTES), "state": step.state}
    is_running = step.state == "Running"
    attempt = step.attempts or ((0 if retry is None else retry.failed_attempts) + 1 if is_running else 0)
    if attempt:
        shown["attempt"] = attempt
    shown["startedAt"] = _milliseconds(step.started_at)
    if step.finished_at is not None:
        shown["finishedAt"] = _milliseconds(step.finished_at)
    if step.error:
        shown["error"] = cut(step.error, _LINE_BYTES)
    if retry is not None and is_running:
        if retry.next_retry_at is not None:
            shown["nextRetryAt"] = _milliseconds(retry.next_retry_at)
        if (error := verdict.failure_or_none(retry.last_error)) is not None:
            shown["lastError"] = cut(error.message, _LINE_BYTES)
    return shown


def _waiting_for(facts: Facts) -> list[JsonValue] | None:
    return [_wait(one) for one in waiting.waiting_for(facts)] or None


def _wait(one: waiting.Waiting) -> JsonValue:
    shown: Status = {"kind": one.kind}
    if one.name:
        shown["name"] = cut(one.name, _LINE_BYTES)
    if one.since is not None:
        shown["since"] = base.timestamp(one.since)
    if one.until is not None:
        shown["until"] = base.timestamp(one.until)
    return shown


def _milliseconds(moment: datetime) -> str:
    """Write a moment of a step: most take less than a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _current_step(shown: projection.Projection) -> str | None:
    """Name what the run does now, in a few words for a column."""
    if shown.ending is not None:
        failed = [step.name for step in shown.finished if step.state == "Failed"]
        return failed[-1] if shown.ending == "Failed" and failed else None
    if shown.running:
        name, more = next(iter(shown.running.values())).name, len(shown.running) - 1
        return cut(name, _LINE_BYTES) + (f" (+{more})" if more else "")
    if shown.waits:
        wait, more = next(iter(shown.waits.values())), len(shown.waits) - 1
        return cut(f"{wait.kind} {wait.name}", _LINE_BYTES) + (f" (+{more})" if more else "")
    return None if shown.waits_until is None else "timer"


def _progress(shown: projection.Projection) -> JsonValue:
    if shown.progress is None:
        return {"text": f"{shown.counts.completed} done"}
    given = shown.progress
    progress: Status = {"text": f"{given.done}/{given.total}", "done": given.done, "total": given.total}
    if given.message:
        progress["message"] = cut(given.message, _LINE_BYTES)
    return progress


# --- bounds ----------------------------------------------------------------------------------------------------------


def cut(text: str, limit_bytes: int) -> str:
    """Bound a text in UTF-8, between characters, with a mark where something is missing."""
    if len(text.encode()) <= limit_bytes:
        return text
    return text.encode()[: limit_bytes - len(_MARK)].decode(errors="ignore") + _MARK


def _fit(status: Status) -> Status:
    """Leave out what does not fit, the least missed first, and say what."""
    truncated: list[JsonValue] = []
    for field, shrink in _SHRINKERS:
        if _size(status) <= limits.STATUS_BYTES:
            break
        if field in status:
            truncated.append(field)
            status = {**shrink(status), "truncated": truncated}
    return status


def minimal(status: Status, why: str) -> Status:
    """Give what is left of a status that the API server refuses: conditions, phase, times; Ready says why.

    All else is named in `truncated`.
    """
    kept: Status = {field: status[field] for field in _ALWAYS if field in status}
    sentence = f" (The API server refused the full status: {cut(why, _MESSAGE_BYTES // 2)})"
    kept["conditions"] = [
        {
            **one,
            "message": cut(str(one["message"]), _MESSAGE_BYTES // 2) + (sentence if one["type"] == "Ready" else ""),
        }
        for one in conditions.listed(status)
    ]
    kept["truncated"] = [field for field in status if field not in {*_ALWAYS, "truncated"}]
    return kept


_ALWAYS = (
    "observedGeneration",
    "phase",
    "conditions",
    "instanceId",
    "version",
    "execution",
    "startTime",
    "completionTime",
)
"""What programs decide by; it is small, and its schema is as old as the resource."""


def _size(status: Status) -> int:
    return len(msgspec.json.encode(status))


def _with_fewer_steps(status: Status) -> Status:
    steps = status["steps"]
    return {**status, "steps": steps[-_STEPS_WHEN_CROWDED:]} if isinstance(steps, list) else status


def _with_output_elsewhere(status: Status) -> Status:
    reference = _reference(status["instanceId"], len(msgspec.json.encode(status["output"])))
    return {key: value for key, value in status.items() if key != "output"} | {"outputRef": reference}


def _without_waits(status: Status) -> Status:
    return {key: value for key, value in status.items() if key != "waitingFor"}


def _without_custom_status(status: Status) -> Status:
    return {key: value for key, value in status.items() if key != "customStatus"}


_SHRINKERS: tuple[tuple[str, Callable[[Status], Status]], ...] = (
    ("steps", _with_fewer_steps),
    ("waitingFor", _without_waits),
    ("customStatus", _without_custom_status),
    ("output", _with_output_elsewhere),
)
"""What goes first when the status is too large. The sum of what is left is bounded by the cuts above."""
