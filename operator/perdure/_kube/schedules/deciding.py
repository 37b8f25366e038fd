"""What is to be done about the ticks of one schedule: its plan and what the database says in, a decision out. Pure.

It knows the policies of a spec; it must not know how a decision is written down or what is created for a tick. Time is
the database's (I7), and what still runs is what the database says (I1); both are arguments.
"""

from __future__ import annotations

import dataclasses
import datetime
import zlib
from collections.abc import Mapping
from typing import Literal
from uuid import UUID

import pydantic
from pydantic import JsonValue

from perdure._kube.api.orchestration_schedule import OrchestrationScheduleSpec
from perdure._kube.api.refusals import Refusal
from perdure._kube.schedules import ticks
from perdure._store.schedules import MissedTicks

__all__ = ["Decision", "Plan", "Standing", "decide", "plan"]

_LOOK_AGAIN = datetime.timedelta(seconds=5)
"""So often a tick that waits for a run to end asks whether it has."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What of a spec decides about ticks."""

    table: ticks.Timetable
    policy: Literal["Allow", "Forbid", "Replace"] = "Allow"
    deadline_seconds: int | None = None
    catch_up_limit: int = 1
    jitter: datetime.timedelta = datetime.timedelta()
    is_suspended: bool = False

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """Give the first tick later than `moment`; none of a suspended schedule."""
        return None if self.is_suspended else self.table.next_after(moment)


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Where a schedule stands: all ticks up to `decided_until` are decided; so many of its runs are unfinished."""

    decided_until: datetime.datetime
    now: datetime.datetime
    unfinished: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to write down: runs for these ticks, all others up to `decided_until` not; look again at `next_at`."""

    decided_until: datetime.datetime
    next_at: datetime.datetime | None
    run: tuple[datetime.datetime, ...] = ()
    missed: MissedTicks | None = None


def plan(uid: UUID, spec: Mapping[str, JsonValue]) -> Plan | Refusal:
    """Read a spec; say what is wrong with it otherwise."""
    try:
        read = OrchestrationScheduleSpec.model_validate(spec)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Refusal("InvalidSpec", f"spec.{where}: {first['msg']}. Nothing is run until it is changed.")
    table = ticks.timetable(read.cron, read.time_zone)
    if isinstance(table, Refusal):
        return table
    return Plan(
        table=table,
        policy=read.concurrency_policy,
        deadline_seconds=read.starting_deadline_seconds,
        catch_up_limit=read.catch_up_limit,
        jitter=datetime.timedelta(seconds=zlib.crc32(uid.bytes) % ((read.jitter_seconds or 0) + 1)),
        is_suspended=read.suspend,
    )


def decide(plan: Plan, standing: Standing) -> Decision:
    """Give what is to be done now.

    A schedule with jitter lives that much in the past: a tick is due when its delay is over, and not before.
    """
    if plan.is_suspended:
        return Decision(standing.decided_until, None)
    now = max(standing.now - plan.jitter, standing.decided_until)
    due = ticks.due(
        plan.table,
        after=standing.decided_until,
        now=now,
        deadline_seconds=plan.deadline_seconds,
        at_most=plan.catch_up_limit if plan.policy == "Allow" else 1,
    )
    coming = plan.table.next_after(now)
    next_at = None if coming is None else coming + plan.jitter
    if due.run and plan.policy == "Forbid" and standing.unfinished:
        if plan.deadline_seconds is not None:
            look_at = standing.now + _LOOK_AGAIN
            return Decision(standing.decided_until, look_at if next_at is None else min(look_at, next_at))
        return Decision(now, next_at, missed=_forbidden(due))
    return Decision(now, next_at, due.run, _missed(plan, due))


def _forbidden(due: ticks.Due) -> MissedTicks:
    return MissedTicks(
        due.too_late + due.beyond + len(due.run),
        due.run[-1],
        "StillRunning",
        "A run of this schedule was unfinished, and spec.concurrencyPolicy is Forbid.",
    )


def _missed(plan: Plan, due: ticks.Due) -> MissedTicks | None:
    if due.last_missed is None:
        return None
    count = due.too_late + due.beyond
    if due.beyond:
        return MissedTicks(count, due.last_missed, *_beyond(plan))
    return MissedTicks(
        count,
        due.last_missed,
        "TooLate",
        f"It could not begin within {plan.deadline_seconds} seconds of its time (spec.startingDeadlineSeconds).",
    )


def _beyond(plan: Plan) -> tuple[str, str]:
    if plan.policy == "Allow":
        limit = f"the latest {plan.catch_up_limit} were run (spec.catchUpLimit)"
    else:
        limit = f"only the latest was run, since spec.concurrencyPolicy is {plan.policy}"
    return "CatchUpLimit", f"Several ticks had passed before anybody could see to them; {limit}."
