"""What becomes of the run that a resource asks for: a sight of it, and what is known of it, give one decision.

Pure: values in, values out. It must not know where a sight came from, how a decision is carried out, or what a status
looks like. Whoever calls has locked what is known, so that a decision may name the values that the rows will have.

Theory of operation. A sight without news decides nothing. Else each question has one small function, and none of them
asks what another has answered, but for those that are given it: does a run begin, does a change wait, is the run to
end, to be told, to pause? All of them are about the state of things, never about what has changed since: whatever was
missed or is seen twice comes to the same. The first wish to end a run is the one that counts; a change that is taken
back waits no more.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from perdure._core import sights

__all__ = [
    "CHANGED",
    "DELETED",
    "SUSPENDED_BY_SPEC",
    "UPDATE_SIGNAL",
    "Decision",
    "Earlier",
    "Policies",
    "Remembered",
    "Run",
    "Seen",
    "Steering",
    "Tombstone",
    "decide",
    "is_news",
    "remains",
]

UPDATE_SIGNAL = "update"
"""The signal that tells a run of a changed request, with `updatePolicy: Signal`; its payload is the new input."""
SUSPENDED_BY_SPEC = "spec.suspend"
"""The reason of a pause that a resource asks for: the resource takes back no other."""
DELETED = "The resource was deleted."
CHANGED = "The request was changed."

Update = Literal["", "AfterCurrentRun", "Signal", "CancelCurrent"]
Beginning = Literal["", "Start", "Adopt"]
Clock = Literal["Keep", "Change", "Anew"]


@dataclasses.dataclass(frozen=True, slots=True)
class Policies:
    """What a spec says of its run besides the request. Times are seconds; the words are those of the resource."""

    suspend: bool = False
    timeout_seconds: int | None = None
    deletion: Literal["Cancel", "Compensate", "Orphan"] = "Cancel"
    rerun: Literal["Never", "OnChange"] = "Never"
    update: Update = "AfterCurrentRun"
    on_nondeterminism: Literal["Hold", "Fail"] = "Hold"
    ttl_seconds: int | None = None
    retention_seconds: int | None = None
    ready_when: Literal["Completed", "Custom"] = "Completed"


@dataclasses.dataclass(frozen=True, slots=True)
class Earlier:
    """What the status of a resource says of its run; `status` is the whole of it, as JSON bytes.

    It counts only where the resource is not known: the database was lost, or is older than the resource.
    """

    run: int
    instance_id: str
    is_over: bool
    status: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One sight of a resource; `gone` says that it is no more, and the rest then counts nothing.

    `spec`, `refusal` and `input` are JSON bytes. A `refusal` keeps a run from being started. `request` is a digest of
    what a run is started with, as it stands in the spec. `instead_of` is the generation that was known before this one
    was read (`sights.py`).
    """

    uid: UUID
    namespace: str
    name: str
    generation: int = 0
    spec: bytes | None = None
    deleting: bool = False
    gone: bool = False
    refusal: bytes | None = None
    cancel_reason: str | None = None
    orchestration: str = ""
    version: str = ""
    input: bytes = b"null"
    run_as: str = ""
    request: str = ""
    policies: Policies = Policies()
    has_finalizer: bool = False
    earlier: Earlier | None = None
    instead_of: int | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether it is no request any more."""
        return self.gone or self.deleting


@dataclasses.dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a resource from earlier sights; `is_same`: with the spec and refusal of this one."""

    generation: int
    is_same: bool
    deleting: bool = False
    gone: bool = False
    run: int | None = None
    instance_id: str | None = None
    run_as: str = ""
    request: str | None = None
    told: str | None = None
    waiting: Update = ""
    cancel_reason: str | None = None
    timeout_seconds: int | None = None
    deletion: str = "Cancel"
    has_finalizer: bool = False
    is_adopted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """The row of the present run, which is this resource's."""

    phase: str
    turn: int = 0
    is_owned: bool = False
    is_suspended: bool = False
    suspend_reason: str = ""
    hold_reason: str = ""
    on_nondeterminism: str = "Hold"
    retention_seconds: int | None = None
    finished_at: datetime | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether no worker ever had it."""
        return self.turn == 0 and not self.is_owned

    @property
    def phase_without_pause(self) -> str:
        """The phase that it has when nobody asks for a pause."""
        if not self.is_suspended or self.hold_reason:
            return self.phase
        return "Pending" if self.turn == 0 else "Running"


@dataclasses.dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a resource of the same name that its own TTL has removed."""

    request: str
    run: int
    instance_id: str
    uid: UUID


@dataclasses.dataclass(frozen=True, slots=True)
class Steering:
    """What the row of the present run becomes. `ends`: at once, without a turn. `wakes`: somebody has to look at it.

    `cancel` is the reason to send, `tells` says that the changed request is sent, `clock` what becomes of its deadline.
    """

    phase: str
    is_suspended: bool
    suspend_reason: str
    on_nondeterminism: str = "Hold"
    retention_seconds: int | None = None
    ends: bool = False
    wakes: bool = False
    cancel: str | None = None
    tells: bool = False
    clock: Clock = "Keep"


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What a sight means. `steering` is None when the present run is left as it is, or there is none.

    `keeps_expiry`: the moment of its deletion stays as it is known. The rest is what is to be remembered.
    """

    begins: Beginning
    waiting: Update
    cancel_reason: str | None
    cancels: bool
    steering: Steering | None
    wants_finalizer: bool
    told: str | None
    is_adopted: bool
    expires_at: datetime | None
    keeps_expiry: bool


def is_news(seen: Seen, known: Remembered | None) -> bool:
    """Whether a sight may change anything: it is news (`sights.py`), or its finalizer is, or a change may be due."""
    if known is None or sights.is_news(seen, known):
        return True
    return not sights.is_older(seen, known) and (seen.has_finalizer != known.has_finalizer or known.waiting != "")


def remains(seen: Seen, known: Remembered | None, *, buried: Tombstone | None) -> Tombstone | None:
    """Give what is left of the run of a resource that is seen for the first time: nothing is to be run again.

    A status says it that only an operator can have written: the one of a database that is no more, or of a later state
    of this one. Else a tombstone says it.
    """
    if known is not None or seen.earlier is None:
        return buried
    return Tombstone(seen.request, seen.earlier.run, seen.earlier.instance_id, seen.uid)


def decide(seen: Seen, known: Remembered | None, *, run: Run | None, tombstone: Tombstone | None = None) -> Decision:
    """Say what a sight with news means. `run` is None when there is none, or it is somebody else's, or was removed."""
    present = known if known is not None and known.run is not None else None
    waits = _waits(seen, present)
    begins = _begins(seen, present, run, tombstone=tombstone, waits=waits)
    waiting = "" if begins else waits
    reason = _cancel_reason(seen, known, begins=begins, waiting=waiting)
    steering = None if begins or present is None or run is None else _steering(seen, present, run, cancel=reason)
    is_told = begins != "" or (steering is not None and steering.tells)
    is_adopted = begins == "Adopt" or (begins == "" and known is not None and known.is_adopted)
    return Decision(
        begins=begins,
        waiting=waiting,
        cancel_reason=reason,
        cancels=reason is not None and (begins == "Start" or known is None or known.cancel_reason is None),
        steering=steering,
        wants_finalizer=_wants_finalizer(seen, present, run, begins=begins, waiting=waiting),
        told=seen.request if is_told else None if present is None else present.told,
        is_adopted=is_adopted,
        expires_at=_expires_at(seen, run, stays=is_adopted or waiting != "" or begins != ""),
        keeps_expiry=not begins and run is None,
    )


# --- does a run begin, and does a change wait? -----------------------------------------------------------------------


def _is_open(run: Run | None) -> bool:
    return run is not None and run.finished_at is None


def _waits(seen: Seen, present: Remembered | None) -> Update:
    """Say under which policy the request waits, for the present run is one of another request; empty when it is not.

    A run that was cancelled because of a change is over in any case, also when the change is taken back.
    """
    if present is None or seen.is_leaving or seen.policies.rerun == "Never":
        return ""
    differs = present.request is not None and present.request != seen.request
    return seen.policies.update if differs or present.cancel_reason == CHANGED else ""


def _begins(
    seen: Seen, present: Remembered | None, run: Run | None, *, tombstone: Tombstone | None, waits: Update
) -> Beginning:
    """Say whether a run begins: the first one, or the next one of a changed request once the present one is over."""
    if seen.is_leaving or seen.refusal is not None:
        return ""
    if present is None and tombstone is not None and tombstone.request == seen.request:
        return "Adopt"
    if present is not None and (not waits or _is_open(run)):
        return ""
    needs_finalizer = seen.policies.deletion == "Compensate" and seen.cancel_reason is None
    return "" if needs_finalizer and not seen.has_finalizer else "Start"


# --- is it to end, to be told, to pause? -----------------------------------------------------------------------------


def _cancel_reason(seen: Seen, known: Remembered | None, *, begins: Beginning, waiting: Update) -> str | None:
    """Give the first wish to end the present run, which a new one begins without."""
    if known is not None and known.cancel_reason is not None and not begins:
        return known.cancel_reason
    deletion = known.deletion if seen.gone and known is not None else seen.policies.deletion
    if seen.is_leaving:
        return None if deletion == "Orphan" else DELETED
    if seen.cancel_reason is not None:
        return seen.cancel_reason
    return CHANGED if waiting == "CancelCurrent" and seen.refusal is None else None


def _tells(seen: Seen, present: Remembered | None, run: Run | None) -> bool:
    """Whether the present run has to be told of the request as it is now."""
    policies = seen.policies
    return (
        present is not None
        and _is_open(run)
        and (policies.rerun, policies.update) == ("OnChange", "Signal")
        and not seen.is_leaving
        and seen.refusal is None
        and present.cancel_reason is None
        and present.told not in {None, seen.request}
    )


def _steering(seen: Seen, present: Remembered, run: Run, *, cancel: str | None) -> Steering | None:
    """Say what becomes of the row of the present run; None when nothing does."""
    before = Steering(run.phase, run.is_suspended, run.suspend_reason, run.on_nondeterminism, run.retention_seconds)
    steered = before if seen.gone else _with_policies(seen, present, run, before=before)
    if run.finished_at is None:
        if cancel is not None and present.cancel_reason is None:
            steered = _ending(run, cancel, before=steered)
        elif present.cancel_reason is None and not seen.is_leaving:
            steered = _pausing(seen, run, before=steered)
    return None if steered == before else steered


def _with_policies(seen: Seen, present: Remembered, run: Run, *, before: Steering) -> Steering:
    """Take over what moves no run by itself: its age, its deadline, what it is told, another try of held code."""
    policies = seen.policies
    if run.finished_at is not None:
        return dataclasses.replace(before, retention_seconds=policies.retention_seconds)
    may_fail_now = (run.hold_reason, run.on_nondeterminism, policies.on_nondeterminism) == (
        "Nondeterministic",
        "Hold",
        "Fail",
    )
    tells = _tells(seen, present, run)
    return dataclasses.replace(
        before,
        on_nondeterminism=policies.on_nondeterminism,
        retention_seconds=policies.retention_seconds,
        tells=tells,
        wakes=tells or may_fail_now,
        clock="Keep" if policies.timeout_seconds == present.timeout_seconds else "Change",
    )


def _ending(run: Run, reason: str, *, before: Steering) -> Steering:
    """A run that no worker ever had ends here; any other is told, and no pause keeps it from listening."""
    steered = dataclasses.replace(before, is_suspended=False, suspend_reason="", tells=False)
    if run.is_fresh:
        return dataclasses.replace(steered, phase="Cancelled", ends=True)
    return dataclasses.replace(steered, phase=run.phase_without_pause, wakes=True, cancel=reason)


def _pausing(seen: Seen, run: Run, *, before: Steering) -> Steering:
    """Pause and go on as the spec says; a pause that somebody else asked for is theirs."""
    if seen.policies.suspend and not run.is_suspended:
        return dataclasses.replace(
            before,
            phase="Suspended",
            is_suspended=True,
            suspend_reason=SUSPENDED_BY_SPEC,
            wakes=before.wakes or run.is_owned,
        )
    if not seen.policies.suspend and run.is_suspended and run.suspend_reason == SUSPENDED_BY_SPEC:
        clock: Clock = "Anew" if run.turn == 0 else before.clock
        return dataclasses.replace(
            before, phase=run.phase_without_pause, is_suspended=False, suspend_reason="", wakes=True, clock=clock
        )
    return before


# --- what is to be remembered ----------------------------------------------------------------------------------------


def _wants_finalizer(
    seen: Seen, present: Remembered | None, run: Run | None, *, begins: Beginning, waiting: Update
) -> bool:
    """Whether the resource has to stay until its run has ended: from before the begin of the run, to its end."""
    if seen.gone or seen.policies.deletion != "Compensate":
        return False
    if seen.deleting or begins == "Adopt":
        return _is_open(run) and begins == ""
    if begins == "Start":
        return seen.cancel_reason is None
    if present is None:
        return seen.refusal is None
    return _is_open(run) or waiting != ""


def _expires_at(seen: Seen, run: Run | None, *, stays: bool) -> datetime | None:
    ttl_seconds = seen.policies.ttl_seconds
    if run is None or run.finished_at is None or ttl_seconds is None or stays:
        return None
    return run.finished_at + timedelta(seconds=ttl_seconds)
