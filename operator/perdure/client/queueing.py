"""The part of the client that looks after queues: their limits over all workers, and what waits in them.

It knows numbers and names; who takes what, and when, is the database's decision at each claim.
"""

from __future__ import annotations

import dataclasses
import math

from perdure import errors
from perdure._core import queues
from perdure.client.connection import Connected

__all__ = ["QueueInfo", "Queueing"]

_LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as people see it.

    `waiting` are tasks that nobody has, those that wait for their next attempt among them; the oldest was asked for
    `oldest_seconds` ago. `running` are in the hands of a worker; `workers` counts the living that serve the queue.
    """

    queue: str
    waiting: int
    running: int
    oldest_seconds: float | None
    max_running: int | None
    per_second: float | None
    workers: int


class Queueing(Connected):
    """How one limits queues and looks at them."""

    async def set_queue_limits(
        self, queue: str, *, max_running: int | None = None, per_second: float | None = None
    ) -> None:
        """Limit a queue over all workers, exactly; None lifts a limit. It holds for every start from now on.

        At most `max_running` of its activities run at once, and at most `per_second` start in a second, retries among
        them (after a pause as many as in one second may start at once, and always one). Raises `DefinitionError`.
        """
        queues.check_name(queue)
        if max_running is not None and not (type(max_running) is int and 1 <= max_running <= _LARGEST):
            message = f"max_running of queue {queue} is {max_running!r}; expected a whole number of 1 or more, or None."
            raise errors.DefinitionError(message)
        if per_second is not None and not (
            type(per_second) in {int, float} and math.isfinite(per_second) and per_second > 0
        ):
            message = f"per_second of queue {queue} is {per_second!r}; expected a number above 0, or None."
            raise errors.DefinitionError(message)
        await self._fetch("queue_set", queue, max_running, None if per_second is None else float(per_second))
        self._nudge()

    async def list_queues(self) -> list[QueueInfo]:
        """Give the queues that have limits, tasks or a worker that serves them, by name, in one query."""
        return [QueueInfo(**row) for row in await self._fetch("queue_list")]
