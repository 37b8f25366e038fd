"""What each answer to the write of a status means, whatever the kind; with an API server that is scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from perdure._kube import budget
from perdure._kube.api import base, orchestration, orchestration_signal
from perdure._kube.reach import Reach
from perdure._kube.status_writer import Away, Gone, Refused, StatusWriter, Taken
from tests.e2e.scripted import ScriptedServer

RUN = base.Reference(orchestration.KIND, "shop", "db", UUID(int=1))
OTHER = base.Reference(orchestration.KIND, "shop", "mail", UUID(int=2))
SIGNAL = base.Reference(orchestration_signal.KIND, "shop", "go", UUID(int=3))


def status(message: str, *, turned: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """Give a status with a condition that turned then."""
    return {"message": message, "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": turned}]}


WAITS = status("It waits.")


class Clock:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Give it."""
        return self.now


@pytest.fixture
def server() -> ScriptedServer:
    """Give the API server."""
    return ScriptedServer()


@pytest.fixture
def clock() -> Clock:
    """Give a time."""
    return Clock()


@pytest.fixture
async def writer(server: ScriptedServer, clock: Clock, tmp_path: Path) -> AsyncIterator[StatusWriter]:
    """Give a writer with more budget than it needs."""
    async with server.listening(tmp_path) as api:
        yield StatusWriter(api, bucket=budget.TokenBucket(1_000, 1_000), reach=Reach(), clock=clock)


async def test_a_status_that_is_taken_has_a_resource_version(server: ScriptedServer, writer: StatusWriter) -> None:
    """That of the resource with it, by which the store tells the writes of two processes apart."""
    assert await writer.write(RUN, WAITS) == Taken(101)
    assert await writer.write_behind(SIGNAL, WAITS) == Taken(102)
    assert [await server.next() for _ in range(2)] == [("db", WAITS), ("go", WAITS)]


@pytest.mark.parametrize("answer", [404, 422])
async def test_a_resource_that_is_gone_is_told_from_one_that_is_refused(
    server: ScriptedServer, writer: StatusWriter, answer: int
) -> None:
    """Whether its name is free, or another one has it, whose uid is not the one that the patch is for."""
    server.answer = answer

    assert await writer.write(RUN, WAITS) == Gone()
    assert writer.why_not == ""


async def test_a_missing_right_is_said_until_it_is_given(
    server: ScriptedServer, writer: StatusWriter, clock: Clock
) -> None:
    """Who may not write statuses says which right it lacks, until one is taken, or nobody has met it for a while."""
    server.answer = 403
    outcomes = [await writer.write(about, WAITS) for about in (RUN, SIGNAL)]
    assert [isinstance(one, Refused) and not one.is_of_content for one in outcomes] == [True, True]
    assert "verbs [patch], resources [orchestrationsignals/status]" in writer.why_not

    server.answer = 200
    await writer.write(SIGNAL, WAITS)
    assert "verbs [patch], resources [orchestrations/status]" in writer.why_not
    await writer.write(OTHER, WAITS)
    assert writer.why_not == ""

    server.answer = 403
    await writer.write(RUN, WAITS)
    clock.now += 100
    assert writer.why_not == ""


async def test_a_server_that_wants_to_be_left_alone_is_asked_for_nothing(
    server: ScriptedServer, writer: StatusWriter, clock: Clock
) -> None:
    """For as long as it says, by no writer of any kind; then it is asked again."""
    server.answer, server.headers = 429, {"Retry-After": "60"}
    first = await writer.write(RUN, WAITS)
    server.answer, server.headers = 200, {}
    clock.now += 20
    second = await writer.write_behind(SIGNAL, WAITS)
    clock.now += 41
    third = await writer.write(RUN, WAITS)

    assert [one.seconds for one in (first, second) if isinstance(one, Away)] == [60, 40]
    assert (isinstance(third, Taken), writer.away_seconds, server.asked) == (True, 0, 2)


async def test_what_was_refused_for_what_it_says_is_not_sent_again_until_it_says_something_else(
    server: ScriptedServer, writer: StatusWriter, clock: Clock
) -> None:
    """Of the same resource, and whenever its conditions turned; after a while it is, for definitions are upgraded."""
    server.largest = 300
    long, changed = status("x" * 300), status("y" * 300)
    for one in (long, long, status("x" * 300, turned="2026-01-02T00:00:00Z")):
        outcome = await writer.write_behind(SIGNAL, one)
        assert isinstance(outcome, Refused)
        assert outcome.is_of_content
    assert server.asked == 1
    assert "status: too long" in str(writer.refusal_or_none(SIGNAL.uid, long))

    await writer.write(SIGNAL, changed)
    await writer.write(RUN, long)
    assert server.asked == 3

    server.largest = 1_000
    clock.now += 601
    assert isinstance(await writer.write(SIGNAL, long), Taken)
