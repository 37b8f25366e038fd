"""What is shown of a schedule, and which of its Orchestrations are too many. Pure: facts in, a status out.

It knows the words of a status and the limits of a spec; it must not know how either gets to the API server. The whole
status is built every time and depends on the facts alone: what has not changed is equal and need not be written.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from perdure._core import limits
from perdure._kube import conditions
from perdure._kube.api import base
from perdure._kube.api.refusals import Refusal
from perdure._kube.schedules import deciding
from perdure._store.schedules import Facts, Tick

__all__ = ["Status", "build", "surplus"]

Status = dict[str, JsonValue]

_MESSAGE_CHARACTERS = 1_000


def build(facts: Facts, previous: Mapping[str, JsonValue] | None) -> Status:
    """Give the full status. `previous` is the one last written: it keeps the times of transition."""
    spec = json.loads(facts.spec)
    plan = deciding.plan(facts.uid, spec)
    state, reason, message = _judged(facts, plan, spec)
    active = [tick for tick in facts.ticks if tick.outcome is None and not tick.is_gone]
    next_at = None if isinstance(plan, Refusal) else plan.next_after(facts.decided_until)
    status: Status = {
        "observedGeneration": facts.generation,
        "conditions": conditions.build(
            conditions.STATES[state],
            reason=reason,
            message=message,
            generation=facts.generation,
            previous=previous or {},
            at=lambda *_: facts.now,
        ),
        "lastScheduleTime": _time(facts.last_tick_at),
        "lastSuccessfulTime": _time(facts.last_successful_at),
        "nextScheduleTime": _time(next_at),
        "active": [
            {"name": tick.name, "scheduledAt": base.timestamp(tick.at)} for tick in active[: limits.STATUS_ACTIVE_RUNS]
        ],
        "activeCount": len(active),
        "missed": facts.missed,
        "lastMissed": _last_missed(facts),
    }
    return {key: value for key, value in status.items() if value is not None}


def surplus(facts: Facts) -> list[Tick]:
    """Give the ticks whose Orchestrations are to be deleted: ended, beyond the limits of the spec, the oldest first."""
    spec = json.loads(facts.spec)
    ended = [tick for tick in facts.ticks if tick.outcome is not None and not tick.is_gone]
    good = [tick for tick in ended if tick.outcome == "Completed"]
    bad = [tick for tick in ended if tick.outcome != "Completed"]
    beyond = [
        *_beyond(good, int(spec.get("successfulRunsHistoryLimit", 3))),
        *_beyond(bad, int(spec.get("failedRunsHistoryLimit", 1))),
    ]
    return sorted(beyond, key=lambda tick: tick.at)


def _beyond(ticks: Sequence[Tick], limit: int) -> Sequence[Tick]:
    return ticks[: max(0, len(ticks) - limit)]


def _judged(
    facts: Facts, plan: deciding.Plan | Refusal, spec: Mapping[str, JsonValue]
) -> tuple[conditions.State, str, str]:
    """Say how the schedule is: for tools, in a word, and in a sentence."""
    if isinstance(plan, Refusal):
        return "Stuck", plan.reason, plan.message
    if plan.is_suspended:
        return "Done", "Suspended", "Suspended: nothing is created until spec.suspend is false."
    if facts.problem_reason:
        return "Stuck", facts.problem_reason, facts.problem_message[:_MESSAGE_CHARACTERS]
    return "Done", "Scheduled", f"Creates Orchestrations at {spec['cron']}, {plan.table.zone.key}."


def _last_missed(facts: Facts) -> JsonValue:
    if facts.missed_tick_at is None:
        return None
    return {
        "scheduledAt": base.timestamp(facts.missed_tick_at),
        "reason": facts.missed_reason,
        "message": facts.missed_message[:_MESSAGE_CHARACTERS],
    }


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else base.timestamp(moment)
