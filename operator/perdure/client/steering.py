"""The part of the client that tells instances to pause, to go on, and to end.

It leaves a message or a mark in the database and wakes whoever owns the instance; an instance that nobody owns needs
nobody for it. It must not know how code reacts: compensation, grace and force are the engine's.
"""

from __future__ import annotations

import msgspec

from perdure import errors
from perdure._core import failure, history, lifecycle, limits, text
from perdure._store.store import Record
from perdure.client.instances import InstanceFilter
from perdure.client.looking import Looking, not_found

__all__ = ["Steering"]

_PORTION = 500
_encode = msgspec.json.Encoder().encode


class Steering(Looking):
    """How one stops and ends instances."""

    async def cancel_instance(self, instance_id: str, reason: str = "") -> None:
        """Ask for the end of an instance: its code may compensate, then it ends Cancelled. A finished one stays.

        One that is paused goes on, to end. Raises `InstanceNotFoundError` when there is none.
        """
        rows = await self._fetch("instance_cancel", instance_id, _message(reason))
        if not rows:
            await self.get_instance_info(instance_id)
        else:
            self._nudge()

    async def cancel_instances(self, filter: InstanceFilter, reason: str = "") -> int:
        """Ask for the end of all instances that fit `filter` and have not ended; give how many that were."""
        count, after = 0, ""
        while True:
            rows = await self._fetch("instance_cancel_many", *filter.arguments(), after, _PORTION, _message(reason))
            count += len(rows)
            self._nudge()
            if len(rows) < _PORTION:
                return count
            after = rows[-1]["instance_id"]

    async def suspend_instance(self, instance_id: str, reason: str = "") -> None:
        """Pause an instance: it takes no turn until it is resumed; what is sent to it waits.

        Raises `InstanceNotFoundError`, and `InstanceFinishedError` for one that has ended.
        """
        await self._mark("instance_suspend", instance_id, _bounded(reason))

    async def resume_instance(self, instance_id: str) -> None:
        """Let a paused instance go on, and one that is held (for its code or as poison) be tried again at once.

        Its activities that wait for their next attempts make them now, also when it was not paused; another one that
        runs is left alone. Raises `InstanceNotFoundError`, and `InstanceFinishedError` for one that has ended.
        """
        await self._mark("instance_resume", instance_id, limits.RECOVERIES)

    async def terminate_instance(self, instance_id: str, reason: str = "") -> None:
        """End an instance at once, without its code: nothing is compensated.

        It is Cancelled, its children are asked to end, its parent sees a failed child. A finished one stays. One that
        nobody owns has ended when this returns, one that a worker owns a moment later. Raises `InstanceNotFoundError`.
        """
        while True:
            row = await self._reads.submit(instance_id)
            if row is None:
                raise not_found(instance_id)
            rows = await self._fetch("instance_terminate", *_termination(row, _bounded(reason)))
            if rows and rows[0]["is_done"]:
                self._nudge()
                return

    async def _mark(self, statement: str, instance_id: str, value: object) -> None:
        rows = await self._fetch(statement, instance_id, value)
        if not rows:
            raise not_found(instance_id)
        if rows[0]["is_finished"]:
            raise errors.InstanceFinishedError(instance_id, rows[0]["phase"])
        self._nudge()


def _bounded(reason: str) -> str:
    return text.bounded(reason, limits.ERROR_MESSAGE_CHARACTERS)


def _message(reason: str) -> bytes:
    """Give the payload of a message that says why."""
    return _encode({"reason": _bounded(reason)})


def _termination(row: Record, reason: str) -> tuple[object, ...]:
    """Give what the statement writes: the last turn of the instance, and what others hear of it."""
    failed = failure.of(errors.InstanceTerminatedError(reason))
    outcome = history.CancelOrchestration(reason, failed)
    events: list[history.Event] = [history.CancelRequested(reason), history.GraceEnded(is_termination=True)]
    parent_id, parent_seq = row["parent_id"], row["parent_seq"]
    to_children = f"The parent {row['instance_id']} was terminated" + (f": {reason}" if reason else ".")
    return (
        row["instance_id"],
        _message(reason),
        row["turn"],
        history.encode_turn(events, [outcome]),
        lifecycle.error_of(outcome),
        parent_id,
        None if parent_id is None else history.encode_event(history.ChildFailed(parent_seq, failed)),
        _message(to_children),
    )
