"""Does this code fit this history? The question that a replay asks, as a value: what differs first, and likely why.

Replaying has no effect: nothing that the code asks for is carried out. It knows definitions and histories, and not
where they come from. The cause is a guess from the kind of difference; the difference itself is exact.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from perdure import errors
from perdure._core import export, replay
from perdure._core.definition import AnyOrchestration

__all__ = ["Difference", "check", "likely_cause"]

_NOTHING: Final = "nothing more in this turn"
_CALL = re.compile(
    r"(?P<kind>(?:cancelling of )?(?:activity|timer|wait|signal|sub-orchestration|detached orchestration)) (?P<seq>\d+)"
    r"(?: (?:for signal )?(?P<name>[^( ]+))?"
)
"""A call as `comparison.describe` says it; ends have no number."""


class Difference(msgspec.Struct, frozen=True):
    """Where code and history part: in which turn, what was recorded, what the code asks for, and the likely cause."""

    turn: int
    expected: str
    actual: str
    cause: str


def check(definition: AnyOrchestration, exported: export.HistoryExport) -> Difference | None:
    """Replay a history against a definition; None when it fits.

    Call it where asyncio has no current task. Raises what the code raises that no history could hold.
    """
    execution = replay.Execution(definition, replay.Identity(exported.instance_id, exported.execution))
    try:
        for number, turn in enumerate(exported.turns):
            try:
                execution.replay(turn)
            except errors.NondeterminismError as error:
                cause = likely_cause(error.expected, error.actual)
                return Difference(number, error.expected, error.actual, cause)
    finally:
        execution.close()
    return None


def likely_cause(expected: str, actual: str) -> str:
    """Guess from the words of a difference what was changed."""
    old, new = _CALL.match(expected), _CALL.match(actual)
    if expected == _NOTHING:
        return "The code asks for more than it did: a call was added, or a condition came out differently."
    if actual == _NOTHING:
        return "The code asks for less than it did: a call was removed, or a condition came out differently."
    if old and new:
        return _between_calls(old, new)
    if new:
        return "The code goes on where it had ended: a call was added before the end, or an error is caught now."
    if old:
        return "The code ends where it had gone on: it returns or raises earlier, or a call was removed."
    return "The code ends differently: its result is made otherwise, or it raises now and did not, or the reverse."


def _between_calls(old: re.Match[str], new: re.Match[str]) -> str:
    if old["kind"] != new["kind"]:
        return "Calls changed places, or one was added before this one."
    if old["name"] != new["name"]:
        return "Another one of the same kind is called here: it was replaced, renamed, or calls changed places."
    if old["seq"] != new["seq"]:
        return "The same call has another number: one before it was added or removed."
    return (
        "The same call with other arguments: they are made of what is not in history (clock, chance, environment, the "
        "order of a set), or the code that makes them was changed."
    )
