"""A password that changes while the process runs: whoever connects takes the one of that moment."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from perdure import errors, passwords
from perdure._store import connect, migrate
from perdure._store.embedded import EmbeddedPostgres
from perdure._store.store import Store

pytestmark = pytest.mark.slow

Change = Callable[[str], Awaitable[None]]


@pytest_asyncio.fixture
async def change(crashable_postgres: EmbeddedPostgres) -> AsyncIterator[Change]:
    """Give what changes the password of the role `keeper` in the database."""
    connection = await asyncpg.connect(crashable_postgres.dsn)
    await connection.execute("create role keeper login superuser")

    async def changed(password: str) -> None:
        await connection.execute(f"alter role keeper password '{password}'")

    yield changed
    await connection.close()


@pytest.fixture
def address(crashable_postgres: EmbeddedPostgres) -> str:
    """Give the address of the database for that role, without a password."""
    parts = urlsplit(crashable_postgres.dsn)
    return urlunsplit(parts._replace(netloc=f"keeper@{parts.hostname}:{parts.port}"))


async def test_each_connection_reads_the_file_again(address: str, change: Change, tmp_path: Path) -> None:
    """What stands goes on under the old password; what is made after the change uses the new one."""
    file = tmp_path / "password"
    await change("first")
    file.write_text("first\n")
    store = await Store.open(address, max_connections=2, password=passwords.from_file(file))

    await change("second")
    file.write_text("second\n")
    async with store.pool.acquire() as old, store.pool.acquire() as new:
        users = [await connection.fetchval("select current_user::text") for connection in (old, new)]
    async with store.control("test"):
        pass  # the connections that stand apart from the pool take it too

    await store.close()
    assert users == ["keeper", "keeper"]


async def test_a_command_gives_the_password_of_the_moment(address: str, change: Change, tmp_path: Path) -> None:
    """As the token of a cloud, which is good for minutes: the command is run for each connection."""
    source = tmp_path / "token"
    command = passwords.from_command([sys.executable, "-c", f"print(open({str(source)!r}).read())"])

    for token in ("one", "two"):
        await change(token)
        source.write_text(token)
        connection = await connect.dedicated(address, password=command)
        assert await connection.fetchval("select current_user::text") == "keeper"
        await connection.close()


async def test_a_refused_password_is_waited_for(address: str, change: Change, tmp_path: Path) -> None:
    """Between the change in the database and the change of the file everybody waits, and nobody ends."""
    file = tmp_path / "password"
    file.write_text("old")
    await change("new")
    availability = connect.Availability()
    said: asyncio.Queue[str] = asyncio.Queue()

    async def work() -> list[str]:
        try:
            return await migrate.migrate(address, password=passwords.from_file(file))
        except errors.DatabaseUnavailableError as error:
            said.put_nowait(error.message)
            raise

    waiting = asyncio.create_task(connect.retrying(work, doing="migrate", availability=availability))
    assert "refuses the password that was just read" in await said.get()
    file.write_text("new")

    assert await waiting == []


async def test_a_password_of_the_address_that_is_refused_stays_an_error(address: str, change: Change) -> None:
    """It would be the same at the next attempt: somebody has to change the setting."""
    await change("right")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect.dedicated(address.replace("keeper@", "keeper:wrong@"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-program"], "no-such-program cannot be run: No such file or directory"),
        ([sys.executable, "-c", "import sys; sys.exit('no role is attached')"], "ended with 1: no role is attached"),
        ([sys.executable, "-c", "pass"], "printed nothing"),
    ],
    ids=["missing", "failing", "silent"],
)
async def test_a_command_without_a_password_says_why(words: list[str], said: str) -> None:
    """The error is one that passes, and names the command and what it complained of."""
    with pytest.raises(errors.DatabaseUnavailableError) as caught:
        await passwords.from_command(words)()

    assert said in caught.value.message


async def test_what_a_failing_command_printed_is_never_shown() -> None:
    """It may be a password all the same."""
    command = passwords.from_command([sys.executable, "-c", "print('hunter2'); raise SystemExit(3)"])

    with pytest.raises(errors.DatabaseUnavailableError) as caught:
        await command()

    assert "ended with 3: without a word" in caught.value.message
    assert "hunter2" not in str(caught.value)


async def test_a_command_that_nobody_waits_for_any_more_is_killed(tmp_path: Path) -> None:
    """A connection that is given up leaves no process behind."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"import os, signal; open({str(pipe)!r}, 'w').write(str(os.getpid())); signal.pause()"
    asking = asyncio.ensure_future(passwords.from_command([sys.executable, "-c", code])())
    number = int(await asyncio.to_thread(pipe.read_text))

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"], ids=["missing", "empty", "a line end", "no text"])
async def test_a_file_without_a_password_says_so(tmp_path: Path, content: bytes | None) -> None:
    """Between two mounts a file may be gone for a moment: it is asked for again."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(errors.DatabaseUnavailableError, match=str(file)):
        await passwords.from_file(file)()
