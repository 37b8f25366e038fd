"""From a command to the database and back: one client for one command, and how waiting for an end ends.

It knows settings and the client; it must not know commands. Without a database it fails at once instead of waiting:
somebody sits in front of it, or a script that decides for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from perdure import errors
from perdure.cli import printing
from perdure.cli.application import Exit, Output
from perdure.client import Client, InstanceInfo
from perdure.settings import Settings

__all__ = ["dsn_of", "finish", "then", "with_client"]

T = TypeVar("T")

_ENDS = {"Completed": Exit.DONE, "Failed": Exit.FAILED, "Cancelled": Exit.CANCELLED}


def with_client(database_url: str | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Connect, work, close. Raises what the work raises, and `DatabaseRefusedError`."""
    settings = Settings.load(database_url=database_url)

    async def connected() -> T:
        async with await _connect(settings) as client:
            return await work(client)

    return asyncio.run(connected())


def dsn_of(settings: Settings) -> str:
    """Give the address of the database. Raises `CommandError` when none is set."""
    if settings.database_url is None:
        raise errors.CommandError(
            "Which database? Set PERDURE_DATABASE_URL or give --database-url. An operator with an embedded Postgres "
            "logs its address at start (embedded_postgres)."
        )
    return settings.database_url.get_secret_value()


async def then(client: Client, instance_id: str, *, wait: bool, timeout: float | None) -> InstanceInfo:
    """Give an instance as it is now, or, when that is to be waited for, as it ended."""
    if not wait:
        return await client.get_instance_info(instance_id)
    try:
        return await client.wait_for_orchestration(instance_id, timeout)
    except TimeoutError as error:
        printing.complain(str(error))
        raise typer.Exit(Exit.TIMEOUT) from None


def finish(info: InstanceInfo, said: str, *, wait: bool, output: Output) -> None:
    """Print what was done, and end with the exit code that says how the instance ended, when that was waited for."""
    if output == "json":
        printing.print_json(info)
    else:
        typer.echo(said)
        if wait:
            printing.print_instance(info)
    if wait:
        raise typer.Exit(_ENDS[info.phase])


async def _connect(settings: Settings) -> Client:
    return await Client.connect(dsn_of(settings), codec=settings.codec(), password=settings.password())
