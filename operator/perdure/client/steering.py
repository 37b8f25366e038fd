"""The part of the client that tells instances to pause, to go on, and to end.

It leaves a message or a mark in the database and wakes whoever owns the instance; an instance that nobody owns needs
nobody for it. It must not know how code reacts: compensation, grace and force are the engine's.
"""

from __future__ import annotations

import msgspec

from perdure._core import limits, text
from perdure.client.looking import Looking

__all__ = ["Steering"]

_encode = msgspec.json.Encoder().encode


class Steering(Looking):
    """How one stops and ends instances."""

    async def cancel_instance(self, instance_id: str, reason: str = "") -> None:
        """Ask for the end of an instance: its code may compensate, then it ends Cancelled. A finished one stays.

        Raises `InstanceNotFoundError` when there is none.
        """
        rows = await self._fetch("instance_cancel", instance_id, _reason(reason))
        if not rows:
            await self.get_instance_info(instance_id)
        else:
            self._nudge()


def _reason(reason: str) -> bytes:
    """Give the payload of a message that says why."""
    return _encode({"reason": text.bounded(reason, limits.ERROR_MESSAGE_CHARACTERS)})
