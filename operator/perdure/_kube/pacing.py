"""How fast runs may ask the API server: one budget for the activities of all processes, kept in the database.

It knows lines, tokens and who waits; what a token is good for is the connection's, how they gather is the database's
(`api_budget_take.sql`). The statuses that each process writes have a budget of their own (`budget`).

Theory of operation. Whoever is about to send a request stands in line. While somebody does, one loop asks the database
for as many tokens as the line is long, and serves it from its front: what arrives while a question is under way is the
next question. Where there are plenty it takes some in advance, as many as were used since the question before: they are
good for a second, so that a busy process asks a few times a second and not for each request, and an idle one never.
Who waits hears of it all the while, as a heartbeat that no longer comes would end the attempt that waits.

The API server that asks one process to come back later (429) has asked all of them: the pause is in the same row.

While the database does not answer, a process goes on with its share, the budget divided by the workers that there were
when it answered last: nobody waits for ever, and all of them together stay within the budget.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import Callable

import structlog

from perdure._kube.budget import TokenBucket
from perdure._store.api_budget import ApiBudget, Taken
from perdure._store.connect import Availability

__all__ = ["OnWait", "Pace"]

_log = structlog.get_logger(__name__)

OnWait = Callable[[float], None]
"""Told every now and then how many seconds have passed in line since it was told last."""

_PATIENCE_SECONDS = 2.0
"""So long the database may take for an answer; a statement of a microsecond that takes longer has no database."""
_LOOK_SECONDS = 0.2
"""While the line is longer than what there was: so that the next question is for many tokens, not for one."""
_TELL_SECONDS = 1.0
_GOOD_SECONDS = 1.0
"""What was taken in advance and not used is worth nothing later: by then the budget is full again anyway."""
_STRANGERS = 10
"""Who has never been told how many share the budget takes himself for one of so many."""


@dataclasses.dataclass(slots=True, eq=False)
class _Place:
    """One in the line; `told_at` is when it last heard that it still waits."""

    token: asyncio.Future[None]
    on_wait: OnWait | None
    told_at: float

    def tell(self, now: float) -> None:
        """Let it know that it has waited until now."""
        if self.on_wait is not None:
            self.on_wait(now - self.told_at)
        self.told_at = now


class Pace:
    """The line of one process. Belongs to one event loop.

    `taken` counts requests with a token of the database, `taken_alone` those with one of the process's own share while
    it was away, `spent` how often there was less than was wanted; `waited_seconds` is what all who stood in line have
    waited together.
    """

    def __init__(
        self, budget: ApiBudget, *, availability: Availability, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask nothing yet. `availability` is what the rest of the process knows of the database."""
        self._budget = budget
        self._clock = clock
        self._spare, self._spare_until = 0, 0.0
        self._used = 0
        self._availability = availability
        self._line: collections.deque[_Place] = collections.deque()
        self._pause_seconds = 0.0
        self._workers = _STRANGERS
        self._share: TokenBucket | None = None
        self._serving: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Taken] | None = None
        self.taken = self.taken_alone = self.spent = 0
        self.waited_seconds = 0.0

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(not place.token.done() for place in self._line)

    async def take(self, on_wait: OnWait | None = None) -> None:
        """Return with a token, after all who came before."""
        if not self._line and self._spare > 0 and self._clock() < self._spare_until:
            self._spare -= 1
            self._used += 1
            self.taken += 1
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        place = _Place(loop.create_future(), on_wait, began)
        self._line.append(place)
        self._serve()
        try:
            await place.token
        finally:
            now = loop.time()
            self.waited_seconds += now - began
            place.tell(now)

    def pause(self, seconds: float) -> None:
        """Let nobody, of any process, have a token for so long: the API server asked for it."""
        self._pause_seconds, self._spare = max(self._pause_seconds, seconds), 0
        self._serve()

    def _serve(self) -> None:
        """Have the line served; the loop ends with the line."""
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve_line())

    async def _serve_line(self) -> None:
        while self._line or self._pause_seconds:
            seconds = await self._serve_once()
            if self._line and seconds > 0:
                await asyncio.sleep(min(seconds, _TELL_SECONDS))
            self._tell()

    async def _serve_once(self) -> float:
        """Ask for what the line wants and give it out; give the seconds until it is worth asking again."""
        wanted, pause, self._pause_seconds = len(self._line), self._pause_seconds, 0.0
        taken = await self._from_database(wanted, pause) or self._from_share(wanted, pause)
        self._used = min(wanted, taken.granted)
        self._give(self._used)
        if taken.granted >= wanted:
            return 0.0
        self.spent += 1
        return max(taken.again_seconds, min(_LOOK_SECONDS, (wanted - taken.granted) / self._budget.per_second))

    def _give(self, tokens: int) -> None:
        """Give tokens to the front of the line; those who have gone meanwhile need none."""
        while self._line and (tokens > 0 or self._line[0].token.done()):
            place = self._line.popleft()
            if not place.token.done():
                place.token.set_result(None)
                tokens -= 1

    def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        for place in self._line:
            if not place.token.done():
                place.tell(now)

    async def _from_database(self, wanted: int, pause: float) -> Taken | None:
        """Ask the database; None while it does not answer.

        A question that hangs is left alone until it ends by itself: breaking it off waits for the connection, too.
        """
        if not self._availability.is_available or not (self._asking is None or self._asking.done()):
            return None
        self._asking = asyncio.create_task(self._budget.take(wanted, ahead=self._used, pause_seconds=pause))
        self._asking.add_done_callback(_hear_out)
        try:
            taken = await asyncio.wait_for(asyncio.shield(self._asking), _PATIENCE_SECONDS)
        except Exception as error:  # noqa: BLE001 - a border: whatever the database says, runs go on, within the share
            _log.info("no answer about the budget of the API server", error=f"{type(error).__name__}: {error}")
            return None
        if self._share is not None:
            _log.info("budget of the API server is shared again")
        self._workers, self._share = max(1, taken.workers), None
        self.taken += min(wanted, taken.granted)
        if not self._pause_seconds:
            self._spare, self._spare_until = max(0, taken.granted - wanted), self._clock() + _GOOD_SECONDS
        return taken

    def _from_share(self, wanted: int, pause: float) -> Taken:
        """Take of what is this process's own, which begins empty: nobody knows what the others have just taken."""
        if self._share is None:
            share = self._budget.per_second / self._workers
            _log.warning("budget of the API server out of reach, keeping to a share of it", per_second=share)
            burst = max(1, round(share * _LOOK_SECONDS))
            self._share = TokenBucket(share, burst)
            self._share.take_now(burst)
        if pause > 0:
            self._share.pause(pause)
        taken = Taken(self._share.take_now(wanted), self._share.next_in(), self._workers)
        self.taken_alone += taken.granted
        return taken


def _hear_out(question: asyncio.Task[Taken]) -> None:
    """Let nobody wonder about the error of a question whose answer nobody waited for."""
    if not question.cancelled():
        question.exception()
