"""Heartbeats on their way to the database: the first at once, the others together and seldom, none for nothing."""

from __future__ import annotations

import asyncio

from perdure._core import limits
from perdure._engine.heartbeats import Heartbeats
from tests.unit.engine.virtual import in_virtual_time, now

EVERY = limits.HEARTBEAT_WRITE_SECONDS


class Desk:
    """Writes down what is written, and when; a write takes as long as it is told."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        """Begin with an empty page."""
        self.seconds = seconds
        self.written: list[tuple[float, list[str]]] = []

    async def write(self, jobs: list[str]) -> None:
        """Write a line."""
        began = now()
        await asyncio.sleep(self.seconds)
        self.written.append((began, sorted(jobs)))


@in_virtual_time
async def test_many_words_are_few_writes() -> None:
    """A thousand heartbeats in three seconds are written at the first, and then once a second."""
    desk = Desk()
    heartbeats: Heartbeats[str] = Heartbeats(desk.write)

    for _ in range(1_000):
        heartbeats.note("a")
        heartbeats.note("b")
        await asyncio.sleep(3 * EVERY / 1_000)
    await asyncio.sleep(5 * EVERY)

    assert [jobs for _, jobs in desk.written] == 4 * [["a", "b"]]
    assert [round(at / EVERY) for at, _ in desk.written] == [0, 1, 2, 3]


@in_virtual_time
async def test_nothing_new_is_not_written() -> None:
    """What was said once is written once."""
    desk = Desk()
    heartbeats: Heartbeats[str] = Heartbeats(desk.write)

    heartbeats.note("a")
    await asyncio.sleep(10 * EVERY)

    assert desk.written == [(0.0, ["a"])]


@in_virtual_time
async def test_who_settles_waits_for_what_is_on_its_way() -> None:
    """Afterwards nothing of this job can come and overwrite what is written next."""
    desk = Desk(seconds=5)
    heartbeats: Heartbeats[str] = Heartbeats(desk.write)
    heartbeats.note("a")
    await asyncio.sleep(1)
    heartbeats.note("a")

    await heartbeats.settled("a")

    assert now() == 5
    await asyncio.sleep(100)
    assert desk.written == [(0.0, ["a"])]


@in_virtual_time
async def test_a_flush_writes_at_once() -> None:
    """A worker that stops takes the last words along, without waiting for their second."""
    desk = Desk()
    heartbeats: Heartbeats[str] = Heartbeats(desk.write)
    heartbeats.note("a")
    await asyncio.sleep(EVERY / 4)
    heartbeats.note("b")

    await heartbeats.flush()

    assert desk.written == [(0.0, ["a"]), (EVERY / 4, ["b"])]


@in_virtual_time
async def test_a_write_that_fails_stops_no_other() -> None:
    """A word that is lost costs the next attempt a little; the heartbeats go on."""
    lines: list[list[str]] = []

    async def write(jobs: list[str]) -> None:
        lines.append(jobs)
        if len(lines) == 1:
            message = "refused"
            raise ValueError(message)

    heartbeats: Heartbeats[str] = Heartbeats(write)
    heartbeats.note("a")
    await asyncio.sleep(2 * EVERY)
    heartbeats.note("a")
    await asyncio.sleep(2 * EVERY)

    assert lines == [["a"], ["a"]]
