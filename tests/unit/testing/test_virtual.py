"""The loop of virtual time on its own: order, jumps, threads, sockets, and whose loop runs where."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import socket
import threading
from collections.abc import Iterator

import pytest

from perdure.testing.virtual import VirtualTimeLoop

DAY = 86_400


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    """Give a loop that is closed afterwards."""
    with contextlib.closing(VirtualTimeLoop()) as loop:
        yield loop


def test_sleepers_are_woken_in_their_order_and_at_their_time(loop: VirtualTimeLoop) -> None:
    """However long they sleep: nobody waits for it."""
    woken: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((seconds, loop.time()))

    tasks = [loop.create_task(sleep(seconds)) for seconds in (3 * DAY, 0.25, 1, 0, 1_000 * DAY)]
    loop.drive()

    assert [seconds for seconds, _ in woken] == [0, 0.25, 1, 3 * DAY, 1_000 * DAY]
    assert all(math.isclose(seconds, at) for seconds, at in woken)
    assert all(task.done() for task in tasks)


def test_it_stops_at_a_moment_and_goes_on_from_there(loop: VirtualTimeLoop) -> None:
    """What is due by then has happened, what is due later has not."""
    rung: list[int] = []
    for seconds in (1, 2, 3):
        loop.call_at(seconds, rung.append, seconds)

    loop.drive(until=2)
    assert (rung, loop.time()) == ([1, 2], 2)
    loop.drive(until=2.5)
    assert (rung, loop.time()) == ([1, 2], 2.5)
    loop.drive()
    assert rung == [1, 2, 3]


def test_it_stops_before_time_moves_when_it_is_enough(loop: VirtualTimeLoop) -> None:
    """What can happen in this moment still happens."""
    rung: list[int] = []
    for seconds in (1, 2, 2, 3):
        loop.call_at(seconds, rung.append, seconds)

    loop.drive(is_enough=lambda: 2 in rung)

    assert (rung, loop.time()) == ([1, 2, 2], 2)


@pytest.mark.parametrize("years", [1, 100, 5_000])
def test_timers_ring_however_far_time_has_come(loop: VirtualTimeLoop, years: int) -> None:
    """Floats are coarse out there; a timer of no time at all rings all the same."""
    rung: list[float] = []
    loop.call_at(years * 365 * DAY, lambda: loop.call_later(0, lambda: loop.call_later(1, rung.append, loop.time())))

    loop.drive()

    assert [math.isclose(at, years * 365 * DAY) for at in rung] == [True]


def test_time_stands_while_a_thread_works(loop: VirtualTimeLoop) -> None:
    """A timeout does not overtake work that is really done."""
    goes_on = threading.Event()

    async def work() -> str:
        async with asyncio.timeout(60):
            return await loop.run_in_executor(None, wait_for, goes_on)

    task = loop.create_task(work())
    loop.call_soon(threading.Timer(0.01, goes_on.set).start)
    loop.drive()

    assert (task.result(), loop.time()) == ("went on", 0)


def wait_for(event: threading.Event) -> str:
    """Work in a thread until somebody says that it is done."""
    assert event.wait(30)
    return "went on"


def test_real_sockets_are_waited_for(loop: VirtualTimeLoop) -> None:
    """Code that speaks over a wire works as it is."""
    here, there = socket.socketpair()

    async def listen() -> bytes:
        reader, writer = await asyncio.open_connection(sock=here)
        async with asyncio.timeout(60):
            data = await reader.readexactly(5)
        writer.close()
        return data

    with there:
        task = loop.create_task(listen())
        loop.call_soon(threading.Timer(0.01, there.sendall, [b"hello"]).start)
        loop.drive()

    assert (task.result(), loop.time()) == (b"hello", 0)


async def test_it_runs_beside_the_loop_of_an_async_test(loop: VirtualTimeLoop) -> None:
    """In a thread of its own, with the context variables of the test; the other loop is not touched."""
    variable.set("of the test")
    seen: list[tuple[str, bool]] = []
    mine = threading.get_ident()
    loop.call_later(DAY, lambda: seen.append((variable.get(), threading.get_ident() == mine)))

    loop.drive()

    assert seen == [("of the test", False)]
    assert asyncio.get_running_loop() is not loop


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


def test_it_runs_in_the_thread_of_a_plain_test(loop: VirtualTimeLoop) -> None:
    """A debugger stops where one sets it."""
    seen: list[int] = []
    loop.call_soon(lambda: seen.append(threading.get_ident()))

    loop.drive()

    assert seen == [threading.get_ident()]


def test_a_loop_that_is_forgotten_says_nothing() -> None:
    """Neither of itself nor of the tasks that it leaves."""
    loop = VirtualTimeLoop()
    task = loop.create_task(asyncio.sleep(DAY))
    loop.drive(until=1)

    del task, loop
