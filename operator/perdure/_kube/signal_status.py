"""What became of a signal, as the `.status` of its resource: a table of reasons, each with its state and its sentence.

The whole status is built from the facts every time, so what has not changed is equal. Pure: values in, values out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from perdure._core import limits
from perdure._kube import conditions
from perdure._kube.api import base
from perdure._store.signal_resources import SignalFact

__all__ = ["REASONS", "build"]

_DETAIL_CHARACTERS = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class _Story:
    """The state that a reason means, and the sentence; what was said besides is put in at {detail}."""

    state: conditions.State
    sentence: str


REASONS: Mapping[str, _Story] = {
    "Delivered": _Story("Done", "The signal was delivered to run {instance}."),
    "RunMissing": _Story(
        "Waiting", "Orchestration {target} does not exist, or has no run yet. The signal is delivered when it has one."
    ),
    "SignalsFull": _Story(
        "Waiting",
        f"Run {{instance}} has {limits.UNCONSUMED_SIGNALS} signals that its code did not wait for yet, which is the "
        "limit. The signal is delivered when it has taken some.",
    ),
    "PayloadMissing": _Story("Waiting", "{detail} The signal is delivered when it is there."),
    "PayloadUnreadable": _Story("Stuck", "The payload cannot be read: {detail}"),
    "PayloadInvalid": _Story("Stuck", "The payload cannot be sent: {detail}"),
    "SignalInvalid": _Story("Stuck", "The signal cannot be sent: {detail}"),
    "RunFinished": _Story(
        "Stuck",
        "Run {instance} had finished before the signal came, and takes none. To signal a later run, create another "
        "OrchestrationSignal once it has begun.",
    ),
    "RunRemoved": _Story(
        "Stuck",
        "Run {instance} is no more in the database. To signal a later run, create another OrchestrationSignal once it "
        "has begun.",
    ),
}
"""Every reason there is. `PayloadUnreadable` needs somebody to give a right, and is tried again all the same."""


def build(fact: SignalFact, previous: Mapping[str, JsonValue] | None, *, now: datetime) -> dict[str, JsonValue]:
    """Give the full status. `previous` is the one last written: it keeps the times of transition."""
    story = REASONS[fact.reason]
    message = story.sentence.format(
        instance=fact.instance_id, target=fact.target, detail=_cut(fact.detail, _DETAIL_CHARACTERS)
    )
    status: dict[str, JsonValue] = {
        "observedGeneration": fact.generation,
        "phase": fact.phase,
        "conditions": conditions.build(
            conditions.STATES[story.state],
            reason=fact.reason,
            message=message,
            generation=fact.generation,
            previous=previous or {},
            at=lambda *_: fact.decided_at or (now if previous else fact.observed_at),
        ),
        "message": message,
    }
    if fact.phase == "Delivered" and fact.decided_at is not None:
        status |= {"deliveredAt": base.timestamp(fact.decided_at), "instanceId": fact.instance_id}
    return status


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]} ... (cut)"
