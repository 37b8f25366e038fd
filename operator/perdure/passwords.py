"""Passwords of the database that change while the process runs: read anew whenever a connection is made.

    PERDURE_DATABASE_PASSWORD_FILE=/run/secrets/password
    PERDURE_DATABASE_PASSWORD_COMMAND="aws rds generate-db-auth-token --hostname db --port 5432 --username perdure"

A mounted Secret is replaced in place, and a token of a cloud is good for minutes: neither may be kept. It knows files
and commands; it must not know Postgres, nor what becomes of a password that is refused. What a command prints on its
output is the password and is never shown; what it complains of is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from perdure import errors

__all__ = ["Password", "from_command", "from_file"]

Password: TypeAlias = Callable[[], Awaitable[str]]
"""Gives the password as it is now. Raises `DatabaseUnavailableError` while there is none to be had."""

_COMMAND_SECONDS = 8.0
"""Below the 10 s that a connection may take: the error then says that it was the command."""
_SHOWN_CHARACTERS = 300


def from_file(file: Path) -> Password:
    """Give the content of a file as it is at each call, without the line end that editors add."""

    async def read() -> str:
        try:
            content = await asyncio.to_thread(file.read_text, "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _no_password(f"{file} cannot be read: {type(error).__name__}") from None
        return _checked(content, f"{file} is empty")

    return read


def from_command(words: Sequence[str]) -> Password:
    """Give what a command prints, without line ends; it is run at each call, without a shell."""

    async def run() -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise _no_password(f"{words[0]} cannot be run: {error.strerror or error}") from None
        printed, complained = await _ended(process, words[0])
        if process.returncode != 0:
            said = complained.decode("utf-8", "replace").strip()[-_SHOWN_CHARACTERS:]
            raise _no_password(f"{words[0]} ended with {process.returncode}: {said or 'without a word'}")
        return _checked(printed.decode("utf-8", "replace"), f"{words[0]} printed nothing")

    return run


async def _ended(process: asyncio.subprocess.Process, name: str) -> tuple[bytes, bytes]:
    """Wait for the end of a command; whoever waits no longer leaves none behind."""
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            return await process.communicate()
    except TimeoutError:
        raise _no_password(f"{name} has not ended after {_COMMAND_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _checked(content: str, otherwise: str) -> str:
    password = content.strip("\r\n")
    if not password:
        raise _no_password(otherwise)
    return password


def _no_password(why: str) -> errors.DatabaseUnavailableError:
    return errors.DatabaseUnavailableError(
        f"There is no password for the database: {why}. It is asked for again; see PERDURE_DATABASE_PASSWORD_FILE and "
        "PERDURE_DATABASE_PASSWORD_COMMAND."
    )
