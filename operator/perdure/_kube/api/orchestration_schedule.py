"""The `OrchestrationSchedule` resource: Orchestrations that are created by the clock.

The descriptions are the manual: `kubectl explain orchestrationschedule.spec` prints them. What a schema can refuse, the
API server refuses; whether a cron expression and a time zone exist, it cannot know: that becomes a condition.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from perdure._core import limits
from perdure._kube.api import base, condition, orchestration

__all__ = [
    "API_VERSION",
    "KIND",
    "PLURAL",
    "ActiveRun",
    "LastMissed",
    "OrchestrationSchedule",
    "OrchestrationScheduleSpec",
    "OrchestrationScheduleStatus",
    "OrchestrationTemplate",
    "TemplateMetadata",
]

API_VERSION = base.API_VERSION
KIND = "OrchestrationSchedule"
PLURAL = "orchestrationschedules"

_NAME_CHARACTERS = 52
"""As of a CronJob: what is created is named after it, with a dash and the tick, and carries its name as a label."""

_NICKNAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MAX_CRON = 256
_MAX_ZONE = 64
_MAX_METADATA = 64
_ZONE_PATTERN = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"
_YEAR_SECONDS = 366 * 24 * 3600
_MAX_JITTER_SECONDS = 24 * 3600
_RESERVED = f"{base.GROUP}/"
_LABEL_PATTERN = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"

LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_PATTERN)]
AnnotationValue = Annotated[str, Field(max_length=16384)]


class TemplateMetadata(base.Model):
    """What the created Orchestrations carry besides their names."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"!has(self.{field}) || self.{field}.all(key, !key.startsWith('{_RESERVED}'))",
                    "message": f"{field} that begin with {_RESERVED} are the operator's own.",
                    "fieldPath": f".{field}",
                }
                for field in ("labels", "annotations")
            ]
        }
    )

    labels: Annotated[dict[str, LabelValue], Field(max_length=_MAX_METADATA)] | None = Field(
        default=None,
        description="Labels of every Orchestration that is created. "
        "The operator adds perdure.dev/schedule with the name of the schedule.",
    )
    annotations: Annotated[dict[str, AnnotationValue], Field(max_length=_MAX_METADATA)] | None = Field(
        default=None,
        description="Annotations of every Orchestration that is created. "
        "The operator adds perdure.dev/scheduled-at with the time of the tick, in UTC.",
    )


class OrchestrationTemplate(base.Model):
    """The Orchestration that is created at each tick."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.spec.cancel)",
                    "message": "cancel has no place in a template: every run would be cancelled before it began. "
                    "Set spec.suspend of the schedule instead.",
                    "fieldPath": ".spec.cancel",
                }
            ]
        }
    )

    metadata: TemplateMetadata | None = Field(
        default=None, description="Labels and annotations of what is created; names are given by the schedule."
    )
    spec: orchestration.OrchestrationSpec = Field(
        description="The spec of every Orchestration that is created, as of an Orchestration. A change counts for "
        "those that are created from then on."
    )


def _rules() -> list[pydantic.JsonValue]:
    nicknames = "|".join(name.removeprefix("@") for name in _NICKNAMES)
    return [
        {
            "rule": rf"self.cron.matches('^\\s*(@({nicknames})|[^@\\s]\\S*(\\s+\\S+){{4}})\\s*$')",
            "message": "cron needs five fields (minute, hour, day of month, month, day of week) or one of "
            f"{', '.join(_NICKNAMES)}. There are no seconds; a time zone goes into timeZone.",
            "fieldPath": ".cron",
        },
        {
            "rule": "!self.cron.contains('TZ=')",
            "message": "a time zone goes into timeZone, not into cron.",
            "fieldPath": ".cron",
        },
    ]


class OrchestrationScheduleSpec(base.Model):
    """When to create Orchestrations, which, and what to do about those that still run."""

    model_config = pydantic.ConfigDict(json_schema_extra={"x-kubernetes-validations": _rules()})

    cron: Annotated[str, Field(min_length=1, max_length=_MAX_CRON)] = Field(
        description="When: minute, hour, day of month, month, day of week, as in crontab(5), with names (MON, JAN), "
        "ranges, lists and steps; L for the last day of a month, LW for its last weekday, 5L for its last Friday, "
        f"MON#2 for its second Monday; or one of {', '.join(_NICKNAMES)}. Hours that are named are times on the wall: "
        "one that the clocks leave out runs once, right after; one that they show twice runs once. With * in the hours "
        "every interval counts as it passes. A change takes effect from then on."
    )
    time_zone: Annotated[str, Field(min_length=1, max_length=_MAX_ZONE, pattern=_ZONE_PATTERN)] = Field(
        default="UTC",
        description="The zone that cron is read in, by its name in the IANA database, for example Europe/Berlin. A "
        "zone that is not known gives the condition Stalled with reason UnknownTimeZone. A change takes effect from "
        "then on.",
    )
    orchestration_template: OrchestrationTemplate = Field(description="What is created at each tick.")
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = Field(
        default="Allow",
        description="What to do at a tick while a run of this schedule is unfinished. Allow: begin another beside it. "
        "Forbid: leave the tick out; with startingDeadlineSeconds, wait so long for the run to end. Replace: cancel "
        "the unfinished run, and begin another at once.",
    )
    starting_deadline_seconds: Annotated[int, Field(ge=1, le=_YEAR_SECONDS)] | None = Field(
        default=None,
        description="How late a run may begin, for whatever reason: an operator that was away, suspend, Forbid. Ticks "
        "that are older are missed. Without it a tick is never too late, but only the latest is made up for.",
    )
    suspend: bool = Field(
        default=False,
        description="Create nothing while this is true; runs that have begun go on. Ticks meanwhile are missed as if "
        "the operator had been away: when it is false again, what startingDeadlineSeconds and catchUpLimit allow is "
        "made up for, which without a deadline is the latest one.",
    )
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=1_000)] = Field(
        default=3,
        description="How many completed Orchestrations of this schedule are kept; those beyond are deleted, the oldest "
        "first. What the database holds of their runs stays.",
    )
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=1_000)] = Field(
        default=1, description="The same for those that have failed or were cancelled."
    )
    catch_up_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="How many ticks that came due together, because nobody was there to see to them, are run: the "
        "latest so many, oldest first. With Forbid and Replace it is always the latest one.",
    )
    jitter_seconds: Annotated[int, Field(ge=0, le=_MAX_JITTER_SECONDS)] | None = Field(
        default=None,
        description="Begin each run up to so many seconds after its tick: a delay that this schedule keeps, so that "
        "many schedules with the same cron do not begin at once.",
    )


class ActiveRun(base.Model):
    """An unfinished run of the schedule."""

    name: str = Field(description="Name of the Orchestration.")
    scheduled_at: datetime = Field(description="The tick that it was created for.")


class LastMissed(base.Model):
    """The latest tick that was not run."""

    scheduled_at: datetime = Field(description="The tick.")
    reason: str = Field(
        description="Why, in one word: TooLate (startingDeadlineSeconds), CatchUpLimit, StillRunning "
        "(concurrencyPolicy Forbid), NameTaken, CreationRefused (by the API server)."
    )
    message: str = Field(description="Why, in a sentence.")


class OrchestrationScheduleStatus(base.Model):
    """What the schedule has done and will do."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"default": base.unseen_status()},
    )

    observed_generation: int | None = Field(
        default=None, description="The generation of the resource that this status speaks of; -1 before any."
    )
    conditions: list[condition.Condition] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready: the schedule is understood and followed, or suspended. Stalled: it is not, and the message "
        "says what to change.",
    )
    last_schedule_time: datetime | None = Field(default=None, description="The latest tick that was run.")
    last_successful_time: datetime | None = Field(
        default=None, description="When a run of this schedule last came to a good end."
    )
    next_schedule_time: datetime | None = Field(
        default=None, description="The next tick; none while the schedule is suspended or not understood."
    )
    active: list[ActiveRun] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description=f"The unfinished runs, the oldest first, at most {limits.STATUS_ACTIVE_RUNS} of them.",
    )
    active_count: int | None = Field(default=None, description="How many runs are unfinished.")
    missed: int | None = Field(default=None, description="How many ticks were not run since the schedule was created.")
    last_missed: LastMissed | None = Field(default=None, description="The latest of them.")


class OrchestrationSchedule(base.Model):
    """Creates an Orchestration at each tick of a cron expression: once, whatever restarts or runs beside.

    An Orchestration belongs to its schedule and is deleted with it; what then becomes of its run says its
    deletionPolicy.
    """

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"size(self.metadata.name) <= {_NAME_CHARACTERS}",
                    "message": f"the name of a schedule has at most {_NAME_CHARACTERS} characters: what it creates is "
                    "named after it.",
                }
            ]
        }
    )

    spec: OrchestrationScheduleSpec
    status: OrchestrationScheduleStatus | None = None
