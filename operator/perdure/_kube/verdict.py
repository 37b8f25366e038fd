"""What state a run is in, for people and for tools that know nothing of Perdure.

`judge` is one decision, in one order; the conditions of each state are a table. The rules of kstatus, which Helm,
Flux and kpt follow, stand behind the table: Reconciling=True means wait, Stalled=True means failed, Ready=True means
done, and whichever of the first two is met first in the list decides, so no state has both.

An instance that no worker can run is stalled and not reconciling: `helm --wait` ends with the known names at once
instead of a timeout, and the condition turns back by itself when a worker joins that has it. Values in, values out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import msgspec

from perdure import errors
from perdure._core import failure, projection
from perdure._kube import waiting
from perdure._kube.api import base
from perdure._kube.api.condition import CONDITION_TYPES
from perdure._kube.api.refusals import Refusal
from perdure._kube.conditions import STATES, States
from perdure._kube.facts import Facts, Instance, Retry, Unrunnable

__all__ = ["CONDITIONS", "END_REASONS", "State", "Verdict", "failure_or_none", "judge"]

State = Literal["UnderWay", "Serving", "Completed", "Failed", "Cancelled", "Stuck"]

_MARKS: Mapping[State, str] = {
    # Ready Reconciling Stalled Completed Failed Finished
    "UnderWay": "-+----",
    "Serving": "+-----",
    "Completed": "+--+-+",
    "Failed": "--+-++",
    "Cancelled": "--+--+",
    "Stuck": "--+---",
}

CONDITIONS: Mapping[State, States] = {
    state: {type: "True" if mark == "+" else "False" for type, mark in zip(CONDITION_TYPES, marks, strict=True)}
    for state, marks in _MARKS.items()
}
"""Every condition of every state."""

END_REASONS = frozenset({"Completed", "Cancelled", "OrchestrationFailed", "ActivityFailed", "RunTimedOut"})
"""Reasons that say how a run has ended, and nothing of the request after it. `InputInvalid` may be either."""

_WAITS_SHOWN = 3
_KNOWN_NAMES_SHOWN = 10
"""Names in a message; whoever needs all of them asks the command line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The phase shown, every condition, and why: `reason` for programs, `message` for people."""

    phase: str
    conditions: States
    reason: str
    message: str


def judge(facts: Facts) -> Verdict:
    """Say what state a run is in; the first rule that speaks decides."""
    verdict = (
        _next(facts)
        or _ended(facts)
        or _unrunnable(facts)
        or _held(facts)
        or _suspended(facts)
        or _serving(facts)
        or _under_way(facts)
    )
    return verdict if facts.refusal is None else _refused(verdict, facts.refusal, facts.instance)


def failure_or_none(data: bytes | None) -> failure.Failure | None:
    """Read an error as the store keeps it; None when there is none."""
    return None if data is None else msgspec.json.decode(data, type=failure.Failure)


def _verdict(state: State, phase: str, *, reason: str, message: str) -> Verdict:
    return Verdict(phase, CONDITIONS[state], reason, message)


def _refused(verdict: Verdict, refusal: Refusal, instance: Instance | None) -> Verdict:
    """A refused spec is stalled whatever its run does; what the run has come to stays said.

    One that waits for what will come is no failure, as a Pod without its Secret is none.
    """
    stated = {**verdict.conditions, **STATES["Waiting" if refusal.waits else "Stuck"]}
    if instance is None:
        consequence = "Nothing is run until then."
    elif instance.finished_at is None:
        consequence = "The run that was started before goes on."
    else:
        consequence = f"The run that was started before is {instance.phase}."
    return Verdict(verdict.phase, stated, refusal.reason, f"{refusal.message} {consequence}")


def _next(facts: Facts) -> Verdict | None:
    """A run that has ended while a changed request waited is not what was asked for: the next one is about to begin."""
    instance = facts.instance
    if instance is None or instance.finished_at is None or not facts.wishes.waiting:
        return None
    message = f"The last run is {instance.phase}; another one begins, with the changed request."
    return _verdict("UnderWay", "Pending", reason="ChangeWaiting", message=message)


def _ended(facts: Facts) -> Verdict | None:
    instance = facts.instance
    if instance is None or instance.finished_at is None:
        return None
    match instance.phase:
        case "Completed":
            return _verdict("Completed", "Completed", reason="Completed", message="The run has completed.")
        case "Cancelled":
            message = _sentence("The run was cancelled", facts.projection.cancel_reason or "")
            return _verdict("Cancelled", "Cancelled", reason="Cancelled", message=message)
        case _:
            return _failed(failure_or_none(instance.error))


def _failed(error: failure.Failure | None) -> Verdict:
    if error is None:
        return _verdict("Failed", "Failed", reason="OrchestrationFailed", message="The run has failed.")
    reason = "OrchestrationFailed"
    message = error.message
    if error.activity:
        reason = "ActivityFailed"
        tries = "" if error.attempts == 1 else f" after {error.attempts} attempts"
        message = f"Activity {projection.short_name(error.activity)} failed{tries}: {error.message}"
    elif error.code == errors.InputInvalidError.code:
        reason = "InputInvalid"
    elif error.code == errors.RunTimedOutError.code:
        reason = "RunTimedOut"
    return _verdict("Failed", "Failed", reason=reason, message=f"{error.code}: {message}")


def _unrunnable(facts: Facts) -> Verdict | None:
    phase = "Pending" if facts.instance is None else facts.instance.phase
    if facts.unrunnable is None or phase == "Suspended":
        return None
    wanted, known = _names(facts.unrunnable)
    if phase != "Pending" or not facts.unrunnable.known:
        # A run that some worker had is nobody's mistake: workers come and go, and this is no failure to Helm or Flux.
        message = f"No live worker has {wanted}; the run goes on by itself when one joins."
        return _verdict("UnderWay", phase, reason="WaitingForWorker", message=message)
    message = (
        f"No live worker offers {wanted}. Known are: {known}. Correct the name or version, or deploy a worker that has "
        "it; the run then goes on by itself."
    )
    return _verdict("Stuck", phase, reason="UnknownOrchestration", message=message)


def _names(unrunnable: Unrunnable) -> tuple[str, str]:
    """Give what is wanted and what is known; versions of the wanted name come first."""
    near = [name for name in unrunnable.known if name.startswith(f"{unrunnable.name}@")]
    ordered = near + [name for name in unrunnable.known if name not in near]
    more = len(ordered) - _KNOWN_NAMES_SHOWN
    return waiting.wanted(unrunnable), ", ".join(ordered[:_KNOWN_NAMES_SHOWN]) + (
        f" and {more} more" if more > 0 else ""
    )


def _held(facts: Facts) -> Verdict | None:
    instance = facts.instance
    if instance is None or instance.phase != "Suspended" or not instance.hold_reason:
        return None
    error = failure_or_none(instance.error)
    message = "The run is held." if error is None else f"{error.code}: {error.message}"
    return _verdict("Stuck", "Suspended", reason=instance.hold_reason, message=message)


def _suspended(facts: Facts) -> Verdict | None:
    """A run that somebody has paused is no failure: tools wait for it, and its health is for people to judge."""
    instance = facts.instance
    if instance is None or instance.phase != "Suspended":
        return None
    message = _sentence("The run is suspended", instance.suspend_reason)
    return _verdict("UnderWay", "Suspended", reason="Suspended", message=message + _change_of(facts))


def _serving(facts: Facts) -> Verdict | None:
    """A run that says that it is ready, where that is what Ready means, and of which nothing else is wanted."""
    said, wishes = facts.projection.readiness, facts.wishes
    if not wishes.is_custom or said is None or not said.ready or facts.projection.cancel_reason is not None:
        return None
    if _change_of(facts) or facts.instance is None or facts.instance.phase != "Running":
        return None
    return _verdict("Serving", "Running", reason="Ready", message=said.message or "The run says that it is ready.")


def _under_way(facts: Facts) -> Verdict:
    """A run that goes on by itself: the message says what it does now, or what it waits for."""
    phase = "Pending" if facts.instance is None else facts.instance.phase
    reason, message = _activity_of(facts)
    said = facts.projection.readiness
    if facts.projection.cancel_reason is not None:
        reason, message = _ending_of(facts, doing=message)
    elif facts.wishes.is_custom and said is not None and not said.ready:
        reason, message = "NotReady", f"{_sentence('Not ready', said.message)} {message}"
    return _verdict("UnderWay", phase, reason=reason, message=message + _change_of(facts))


def _change_of(facts: Facts) -> str:
    """Say that a changed request waits; one that the run was told of is the run's to deal with."""
    return " A changed request waits until this run has ended." if facts.wishes.waiting in _WAITING else ""


_WAITING = ("AfterCurrentRun", "CancelCurrent")


def _ending_of(facts: Facts, *, doing: str) -> tuple[str, str]:
    """Say that a run is being ended; of one that keeps its resource, by what, and until when at the latest."""
    message = _sentence("The run is being cancelled", facts.projection.cancel_reason or "")
    if not facts.wishes.is_kept:
        return "Cancelling", message
    forced_at = facts.wishes.forced_at
    limit = "" if forced_at is None else f" At {base.timestamp(forced_at)} it is ended by force."
    return "Compensating", f"The resource is kept until its run has compensated. {doing}{limit}"


def _activity_of(facts: Facts) -> tuple[str, str]:
    shown = facts.projection
    if facts.instance is None and facts.wishes.lacks_finalizer:
        return "Pending", "The run begins when the finalizer that its deletionPolicy needs is in this resource."
    if facts.instance is None or facts.instance.phase == "Pending":
        return "Pending", "The run waits for a worker to start it."
    retry = next((retry for retry in facts.retries if retry.failed_attempts and retry.seq in shown.running), None)
    if retry is not None:
        return "Retrying", _retrying(shown.running[retry.seq], retry)
    queued = next((retry for retry in facts.retries if not retry.is_taken and retry.seq in shown.running), None)
    if queued is not None:
        step = shown.running[queued.seq]
        nobody = "" if queued.is_served else ", which no live worker serves"
        return "Waiting", f"Activity {step.name} waits in queue {step.queue}{nobody}."
    if shown.running:
        first, *more = (step.name for step in shown.running.values())
        return (
            "Running",
            f"Activity {first} and {len(more)} more are running." if more else f"Activity {first} is running.",
        )
    if waited_for := _waited_for(shown):
        return "Waiting", f"The run waits for {waited_for}."
    return "Running", "The run is under way."


def _retrying(step: projection.Step, retry: Retry) -> str:
    """Say which attempt failed, of how many, why, and when the next one is made."""
    error = failure_or_none(retry.last_error)
    why = "" if error is None else f": {error.message.rstrip('.')}"
    then = "the next is due" if retry.next_retry_at is None else f"next try at {base.timestamp(retry.next_retry_at)}"
    return f"Activity {step.name}: attempt {retry.failed_attempts} of {step.max_attempts} failed{why}; {then}."


def _waited_for(shown: projection.Projection) -> str:
    """Say what a run waits for while no activity runs: signals, children, a timer; empty for none of them."""
    names = [f"{wait.kind} {wait.name}" for wait in shown.waits.values()]
    listed = names[:_WAITS_SHOWN]
    if len(names) > len(listed):
        listed.append(f"{len(names) - len(listed)} more")
    if shown.waits_until is not None:
        listed.append(f"a timer at {base.timestamp(shown.waits_until)}")
    return ", ".join(listed)


def _sentence(text: str, detail: str) -> str:
    return f"{text}: {detail.rstrip('.')}." if detail else f"{text}."
