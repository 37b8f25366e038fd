"""What the projector reads for a status: the facts of resources, and their histories, folded as far as they go.

It knows the store and the words of a status (`facts`); it must not know when a resource is looked at, nor what is
written. What was folded is kept in memory for a while, so that a look reads the turns that are new and no others;
whoever forgets it loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from perdure._core import history, lifecycle, limits, projection
from perdure._kube import facts
from perdure._kube.api.refusals import Refusal
from perdure._store.resources import Fact, Resources, TurnRow

__all__ = ["Look", "Looks", "Shown", "shown_turn", "to_facts"]

_CACHED = 1_000


@dataclasses.dataclass(slots=True)
class Shown:
    """A history folded so far."""

    instance_id: str
    folded: projection.Projection = dataclasses.field(default_factory=projection.Projection)
    last: tuple[int, int] = (0, -1)


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look has read of a resource: the facts, and the turns that are not folded yet."""

    fact: Fact
    shown: Shown | None
    turns: list[TurnRow] = dataclasses.field(default_factory=list)

    def folded(self) -> projection.Projection:
        """Bring the projection up to the last turn. Raises when the history cannot be read.

        A run that waits for its encryption key is shown as what is known of it: that it waits, and for which key.
        """
        told = (self.fact.sealed, *(turn.sealed for turn in self.turns))
        sealed = [error for error in told if error is not None]
        if sealed and self.fact.hold_reason != lifecycle.PAYLOAD_SEALED:
            raise sealed[0]
        if self.shown is None:
            return projection.Projection()
        for row in self.turns:
            if row.sealed is not None:
                break
            projection.fold(self.shown.folded, history.decode_turn(row.at, row.body))
            self.shown.last = (row.execution, row.turn)
        return self.shown.folded


class Looks:
    """The reading of facts and histories, and the memory of what was folded."""

    def __init__(self, resources: Resources) -> None:
        """Begin with nothing in memory."""
        self._resources = resources
        self._cache: OrderedDict[UUID, Shown] = OrderedDict()

    def forget(self, uid: UUID) -> None:
        """Forget what was folded for a resource; another look reads it again."""
        self._cache.pop(uid, None)

    async def load(self, uids: Sequence[UUID]) -> tuple[list[Look], list[str]]:
        """Look at those of these resources that live; and give what live workers offer, if anybody asks for a worker.

        Raises what the database raises.
        """
        found = await self._resources.facts(uids)
        seen = await self._with_turns(found)
        needs_offers = any(fact.is_owned is False and fact.phase not in lifecycle.TERMINAL for fact in found)
        offers = await self._resources.offers() if needs_offers else []
        return seen, sorted({name for offered in offers for name in offered})

    async def _with_turns(self, found: list[Fact]) -> list[Look]:
        """Read what the cached projections of these runs lack."""
        seen = [Look(fact, self._cached(fact)) for fact in found]
        lacking = {
            one.shown.instance_id: one
            for one in seen
            if one.shown is not None and one.shown.last[1] < (one.fact.turn or 0) - 1
        }
        if lacking:
            known = {instance_id: one.shown.last for instance_id, one in lacking.items() if one.shown is not None}
            for row in await self._resources.turns(known):
                lacking[row.instance_id].turns.append(row)
        while len(self._cache) > max(_CACHED, len(found)):
            self._cache.popitem(last=False)
        return seen

    def _cached(self, fact: Fact) -> Shown | None:
        """Give the projection of a run, an empty one at first; None when there is no history."""
        if fact.instance_id is None or not fact.turn:
            return None
        shown = self._cache.get(fact.uid)
        if shown is None or shown.instance_id != fact.instance_id:
            shown = self._cache[fact.uid] = Shown(fact.instance_id)
        self._cache.move_to_end(fact.uid)
        return shown


def to_facts(
    fact: Fact,
    folded: projection.Projection,
    *,
    offers: Sequence[str],
    grace_seconds: float = limits.CANCEL_GRACE_SECONDS,
) -> facts.Facts:
    """Say in the words of a status what the store knows; `offers` is what the live workers can run.

    `grace_seconds`: how long after a cancel a run is ended by force.
    """
    refusal = None if fact.refusal is None else msgspec.json.decode(fact.refusal, type=Refusal)
    if fact.instance_id is not None and fact.phase is None and not fact.is_archived:
        refusal = Refusal(
            "InstanceMissing",
            f"The run {fact.instance_id} is not in the database, or belongs to somebody else. Delete this resource and "
            "create it again to start another run.",
        )
    if fact.cancel_reason is not None and folded.cancel_reason is None:
        folded = dataclasses.replace(folded, cancel_reason=fact.cancel_reason)
    return facts.Facts(
        generation=fact.generation,
        refusal=refusal,
        instance=_instance(fact),
        projection=folded,
        retries=[facts.Retry(*dataclasses.astuple(retry)) for retry in fact.retries],
        unrunnable=_unrunnable(fact, offers),
        wishes=facts.Wishes(
            waiting=fact.waiting,
            is_custom=fact.ready_when == "Custom",
            lacks_finalizer=fact.wants_finalizer and not fact.has_finalizer,
            is_kept=fact.deleting and fact.has_finalizer,
            forced_at=folded.cancelled_at and folded.cancelled_at + timedelta(seconds=grace_seconds),
        ),
    )


def shown_turn(fact: Fact, known: facts.Facts) -> int | None:
    """Give the turn that a status shows until the next one; None when it says what the store does not tell the end of.

    That no worker is there ends when one joins, which is no turn: such a status lags, and the next sweep looks again.
    """
    return None if known.unrunnable is not None else fact.turn


def _instance(fact: Fact) -> facts.Instance | None:
    if fact.instance_id is None or fact.phase is None or fact.created_at is None:
        return None
    return facts.Instance(
        instance_id=fact.instance_id,
        name=fact.orchestration or "",
        version=fact.version or "",
        phase=fact.phase,
        execution=fact.execution or 1,
        hold_reason=fact.hold_reason or "",
        output=fact.output,
        error=fact.error,
        created_at=fact.created_at,
        started_at=fact.started_at,
        finished_at=fact.finished_at,
        suspend_reason=fact.suspend_reason or "",
    )


def _unrunnable(fact: Fact, offers: Sequence[str]) -> facts.Unrunnable | None:
    """Say that nobody can run this, if so: nobody owns it, and no live worker offers it."""
    if fact.is_owned is not False or fact.phase in lifecycle.TERMINAL or fact.orchestration is None:
        return None
    wanted = f"{fact.orchestration}@{fact.version or ''}"
    if any(offer == wanted or (not fact.version and offer.startswith(wanted)) for offer in offers):
        return None
    return facts.Unrunnable(fact.orchestration, fact.version or "", tuple(offers))
