"""What is logged while an attempt runs says whose it is, whoever logs it, and shows no secret that was resolved."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from perdure import ActivityContext, NonRetryableError, SecretRef, activity, logs
from perdure._core import activity as attempts
from perdure._core.definition import AnyActivity
from tests.unit.engine.test_attempts import Bench
from tests.unit.engine.virtual import in_virtual_time

SECRET = 'hunter2"hunter2'


class OneSecret:
    """Has one value for every reference."""

    async def resolve(self, _: SecretRef) -> str:
        """Give it."""
        return SECRET


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give what is logged, as programs read it; afterwards logging is as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    written = io.StringIO()
    logs.configure("json", "info", stream=written, whose=attempts.whose_line, mask=attempts.masked_here)
    structlog.configure(cache_logger_on_first_use=False)  # or the engine's loggers stay as they are here for all tests
    yield written
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()


async def logged(work: AnyActivity, stream: io.StringIO) -> list[dict[str, object]]:
    """Make an attempt; give what was said in it, and one line after it."""
    bench = Bench(work)
    bench.attempts.secrets = OneSecret()
    bench.attempts.worker_id = "w-1"
    await bench.made(bench.job())
    logging.getLogger("after").warning("after")
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def whose(line: dict[str, object]) -> list[object]:
    """Give whose a line is."""
    return [line.get(name) for name in ("instance", "activity", "attempt", "worker")]


def test_what_libraries_log_in_an_async_activity_is_the_attempts(stream: io.StringIO) -> None:
    """Also in a task that it has started; nothing of it stays on the lane."""

    @activity("test::activity::async")
    async def work(ctx: ActivityContext) -> None:
        async def beside() -> None:
            logging.getLogger("library").warning("beside %s", "me")

        logging.getLogger("library").warning("inside", extra={"size": 3})
        await asyncio.create_task(beside())

    @in_virtual_time
    async def run() -> list[dict[str, object]]:
        return await logged(work, stream)

    inside, beside, after = run()

    assert whose(inside) == whose(beside) == ["i", "test::activity::async", 1, "w-1"]
    assert (inside["event"], inside["size"], beside["event"]) == ("inside", 3, "beside me")
    assert whose(after) == [None] * 4


def test_what_libraries_log_in_a_thread_is_the_attempts(stream: io.StringIO) -> None:
    """A sync activity runs elsewhere, and is known there."""

    @activity("test::activity::sync")
    def work(ctx: ActivityContext) -> None:
        logging.getLogger("library").warning("inside")

    inside, after = asyncio.run(logged(work, stream))

    assert whose(inside) == ["i", "test::activity::sync", 1, "w-1"]
    assert whose(after) == [None] * 4


def test_no_line_shows_a_secret_that_was_resolved(stream: io.StringIO) -> None:
    """Not as text, not in a field, not in a traceback, in whatever form JSON gives it."""

    @activity("test::activity::careless")
    async def work(ctx: ActivityContext) -> None:
        value = await ctx.resolve_secret(SecretRef("db", "password"))
        logging.getLogger("library").warning("got %s", value, extra={"header": value})
        try:
            int(value)
        except ValueError as error:
            logging.getLogger("library").exception("failed")
            raise NonRetryableError("failed") from error

    @in_virtual_time
    async def run() -> list[dict[str, object]]:
        return await logged(work, stream)

    lines = run()

    assert [line["event"] for line in lines][1] == "failed"
    assert "ValueError" in str(lines[1]["exception"])
    assert "hunter2" not in stream.getvalue()


def test_no_line_shows_the_password_of_an_address(stream: io.StringIO) -> None:
    """Whoever logs an address shows where it leads, and for whom."""
    logging.getLogger("library").warning("cannot reach postgresql://ann:top-secret@db:5432/app?sslmode=require")

    assert "postgresql://ann:***@db:5432/app?sslmode=require" in stream.getvalue()


@pytest.mark.parametrize(
    ("address", "shown"),
    [("pg://u:p@ss@h/db", "pg://u:***@h/db"), ("pg://u@h/db?password=geheim&a=b", "pg://u@h/db?password=***&a=b")],
)
def test_every_form_of_a_password_is_masked(stream: io.StringIO, address: str, shown: str) -> None:
    """One with an `@` in it, and one that is an option."""
    logging.getLogger("library").warning("cannot reach %s", address)

    assert shown in stream.getvalue()
