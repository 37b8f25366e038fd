"""Where the activities of a worker are run: those of its own instances and those of the queues that it serves.

Both share the slots and threads of `Attempts`, and the trials of what workers may have died of; they begin, are
interrupted and go back together. It must not know why an activity is wanted, nor what its result is for.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from perdure._core import history
from perdure._engine.activities import ActivityRunner
from perdure._engine.attempts import Attempts, Capacity
from perdure._engine.clock import Clock
from perdure._engine.ledger import Ledger
from perdure._engine.queued import QueueRunner
from perdure._engine.resident import Resident
from perdure._engine.trials import ActivityTrials

if TYPE_CHECKING:
    from perdure._engine.worker import Worker

__all__ = ["Workshop"]


class Workshop:
    """`own` runs the activities of residents, `queued` those of queues, `trials` has the suspects of both wait."""

    def __init__(
        self,
        worker: Worker,
        clock: Clock,
        *,
        ledger: Ledger,
        deliver: Callable[[Resident, history.Event], None],
        quiet: Callable[[], Awaitable[object]],
        is_certain: Callable[[], bool],
    ) -> None:
        """`deliver` gets results; `quiet` waits until no instance is about to be tried.

        `is_certain` says whether nobody can have taken this worker for dead.
        """
        settings = worker.settings
        self._attempts = Attempts(
            worker.activities,
            clock,
            capacity=Capacity(settings.max_activities, settings.activity_threads),
            kubernetes=worker.kubernetes,
            secrets=settings.secrets,
            database=settings.database,
        )
        self._attempts.is_certain = is_certain
        self._attempts.measures, self._attempts.worker_id = worker.measures, str(ledger.worker_id)
        self.trials = ActivityTrials(ledger.try_activities, quiet)
        self.own = ActivityRunner(
            self._attempts,
            clock,
            trials=self.trials,
            book=ledger,
            deliver=deliver,
        )
        self.queued = QueueRunner(
            worker.store, ledger.worker_id, attempts=self._attempts, trials=self.trials, queues=settings.queues
        )

    @property
    def running_count(self) -> int:
        """How many activities are on their way here."""
        return self.own.running_count + self.queued.running_count

    def took_over(self, database_now: datetime.datetime) -> None:
        """Note when the database gave instances to this worker: what is attempted for them from then on is later."""
        self._attempts.epochs.note(database_now)

    def interrupt(self) -> None:
        """Cancel every activity that runs here."""
        self.own.interrupt()
        self.queued.interrupt()

    async def settle(self, grace_seconds: float) -> None:
        """Wait until they have cleaned up, but not longer than that."""
        await asyncio.gather(self.own.settle(grace_seconds), self.queued.settle(grace_seconds))

    async def give_back(self, *, all_of_them: bool) -> None:
        """Have written what has failed here, and give back to the queues what has ended, or all that is theirs."""
        await self.own.flush()
        await self.queued.give_back(all_of_them=all_of_them)

    def close(self) -> None:
        """Run nothing more."""
        self.own.close()
        self.queued.close()
        self._attempts.close()
