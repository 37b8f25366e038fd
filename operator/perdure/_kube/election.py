"""Who leads: the rules of the Lease that controllers share, as values in and values out.

It knows what a Lease says and the moments at which this process saw it say so; it must not know the API server, tasks
or loops. The rules, and the durations, are those of client-go, so that its Leases and ours read alike.

The times in a Lease are the holder's word, by the holder's clock, and are never compared with ours: a Lease has ended
when it was seen unchanged, by our own clock, for as long as it says that it lasts. Two may believe to lead for a
moment, and nothing here is built on there being one: the election saves work, the database decides (I1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

__all__ = [
    "Claim",
    "Sight",
    "Terms",
    "claim_of",
    "has_ended",
    "is_over",
    "is_wanted",
    "look",
    "may_take",
    "pause",
    "released",
    "spec",
    "taken",
]


def is_wanted(chosen: str, *, is_in_pod: bool, is_named: bool) -> bool:
    """Whether to elect at all, as PERDURE_LEADER_ELECTION has it: who runs one on their own machine need not wait."""
    return chosen == "on" or (chosen == "auto" and (is_in_pod or is_named))


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """How long a Lease lasts unrenewed, how long its holder tries to renew it, and the time between two tries."""

    lease_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What a Lease says. `holder` is empty when it was released; the times are the holder's, and only compared."""

    holder: str = ""
    lease_seconds: float = 0.0
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """A claim, and since when, by the clock of this process, it has been seen to be this one."""

    claim: Claim
    since: float


def look(before: Sight | None, claim: Claim, *, now: float) -> Sight:
    """Give what is seen now: an unchanged claim has been seen since before."""
    return before if before is not None and before.claim == claim else Sight(claim, now)


def has_ended(sight: Sight, now: float) -> bool:
    """Whether nobody holds the Lease: it was released, or nobody has renewed it for as long as it lasts."""
    return not sight.claim.holder or now - sight.since >= sight.claim.lease_seconds


def may_take(sight: Sight | None, me: str, *, now: float) -> bool:
    """Whether to write oneself into the Lease: there is none, it is one's own, or it has ended."""
    return sight is None or sight.claim.holder == me or has_ended(sight, now)


def taken(before: Claim, me: str, *, at: datetime, terms: Terms) -> Claim:
    """Give the claim that renews one's own, or takes another's place."""
    stamp = _stamp(at)
    is_mine = before.holder == me
    return Claim(
        holder=me,
        lease_seconds=terms.lease_seconds,
        acquired=before.acquired if is_mine else stamp,
        renewed=stamp,
        transitions=before.transitions + (not is_mine),
    )


def released(before: Claim, *, at: datetime) -> Claim:
    """Give the claim that lets anybody else go on at once."""
    stamp = _stamp(at)
    return dataclasses.replace(before, holder="", lease_seconds=1.0, acquired=stamp, renewed=stamp)


def is_over(renewed_at: float, now: float, *, terms: Terms) -> bool:
    """Whether a leader must stop: it could not renew for so long that another may soon take its place."""
    return now - renewed_at >= terms.renew_seconds


def pause(terms: Terms, chance: float) -> float:
    """Give the seconds until the next try; `chance`, from 0 to 1, keeps candidates from trying all at once."""
    return terms.retry_seconds * (0.9 + 0.2 * chance)


def claim_of(manifest: Mapping[str, JsonValue]) -> Claim:
    """Read a Lease; what it does not say, or says in no way that it could, counts as not said."""
    found = manifest.get("spec")
    said = found if isinstance(found, dict) else {}
    lease_seconds, transitions = said.get("leaseDurationSeconds"), said.get("leaseTransitions")
    return Claim(
        holder=str(said.get("holderIdentity") or ""),
        lease_seconds=float(lease_seconds) if isinstance(lease_seconds, int) else 0.0,
        acquired=str(said.get("acquireTime") or ""),
        renewed=str(said.get("renewTime") or ""),
        transitions=transitions if isinstance(transitions, int) else 0,
    )


def spec(claim: Claim) -> dict[str, JsonValue]:
    """Write a claim as the API server wants it."""
    return {
        "holderIdentity": claim.holder,
        "leaseDurationSeconds": int(claim.lease_seconds),
        "acquireTime": claim.acquired,
        "renewTime": claim.renewed,
        "leaseTransitions": claim.transitions,
    }


def _stamp(at: datetime) -> str:
    """Give a time with all six places of its microseconds: the API server refuses one without."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
