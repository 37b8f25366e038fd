"""What the projector knows about one resource at one moment, gathered from Postgres and memory.

Plain values without behaviour: `verdict` judges them, `status` writes them down. Nothing here knows where they came
from, so both can be read and tested as tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from perdure._core.projection import Projection
from perdure._kube.api.refusals import Refusal

__all__ = ["Facts", "Instance", "Retry", "Unrunnable", "Wishes"]


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """The row of the run in `instances`; `output` is JSON of the value, `error` JSON of a `failure.Failure`."""

    instance_id: str
    name: str
    version: str
    phase: str
    execution: int
    hold_reason: str
    output: bytes | None
    error: bytes | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    suspend_reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What the resource asks of its run, as far as it is seen in the status.

    `waiting` is the updatePolicy under which a changed request waits. `lacks_finalizer` says that no run may begin
    before our finalizer is there, `is_kept` that the resource is being deleted and our finalizer keeps it; `forced_at`
    is when a run that is being cancelled is ended by force.
    """

    waiting: str = ""
    is_custom: bool = False
    lacks_finalizer: bool = False
    is_kept: bool = False
    forced_at: datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Retry:
    """A row of `tasks` of the present execution: an activity with failed attempts, or one that a queue has.

    `next_retry_at` is None once the next attempt is due; `is_taken` says that a worker of its queue has it, `is_served`
    that some live worker serves that queue.
    """

    seq: int
    failed_attempts: int
    next_retry_at: datetime | None
    last_error: bytes | None
    is_taken: bool = True
    is_served: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Unrunnable:
    """No live worker can run the instance, and what they can run instead, as `name@version`."""

    name: str
    version: str
    known: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """All that the status of a resource is made of. `generation` is the one that was taken in."""

    generation: int
    refusal: Refusal | None = None
    instance: Instance | None = None
    projection: Projection = dataclasses.field(default_factory=Projection)
    retries: Sequence[Retry] = ()
    unrunnable: Unrunnable | None = None
    wishes: Wishes = Wishes()
