"""A wire to Postgres that can be cut at the worst moment: before a statement arrives, or before its answer does.

It reads just enough of the protocol to know a statement by the name in its first line (`-- commit_turns.sql`): Parse
gives the text, Bind names what is run; of what has no parameters Query may be both. All else is passed on untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit

Lost = Literal["request", "answer"]
Server = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """Passes everything on until told to lose something."""

    def __init__(self, upstream: str) -> None:
        """Lead to the server of a DSN."""
        parts = urlsplit(upstream)
        query = parse_qs(parts.query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}" if "host" in query else ""
        self._address = (parts.hostname or "", parts.port or 5432)
        self._armed: tuple[bytes, Lost] | None = None
        self._cut = asyncio.Event()

    def lose(self, what: Lost, statement: str) -> None:
        """Cut the wire at the next run of a statement, by how its name begins: before it or its answer arrives."""
        self._cut.clear()
        self._armed = (statement.encode(), what)

    async def broken(self) -> None:
        """Wait until it has been cut."""
        async with asyncio.timeout(120):
            await self._cut.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        server = await self._connect()
        answers = asyncio.create_task(_pump(server[0], writer))
        try:
            await self._pump_requests(reader, server, answers)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for end in (writer, server[1]):
                end.close()

    async def _connect(self) -> Server:
        if self._socket:
            return await asyncio.open_unix_connection(self._socket)
        return await asyncio.open_connection(*self._address)

    async def _pump_requests(self, reader: asyncio.StreamReader, server: Server, answers: asyncio.Task[None]) -> None:
        prepared: dict[bytes, bytes] = {}
        while data := await reader.read(1 << 20):
            prepared |= _parsed(data)
            if self._armed is None or not _runs(self._armed[0], prepared, data):
                server[1].write(data)
                continue
            _, what = self._armed
            self._armed = None
            if what == "answer":
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
                server[1].write(data)
                await server[0].read(1)  # it has answered, so what it was asked for is done
            self._cut.set()
            return


def _parsed(data: bytes) -> dict[bytes, bytes]:
    """Give what is prepared here, by its name, and of which file: Parse is 'P', length, name, 0, text."""
    return dict(re.findall(rb"(__asyncpg_stmt_\w+)\0-- (\w+)\.sql\n", data))


def _runs(statement: bytes, prepared: Mapping[bytes, bytes], data: bytes) -> bool:
    """Say whether a statement is run here, by how its name begins: a commit is of one turn, or of many.

    Bind is 'B', length, an empty portal's 0, name, 0; Query is 'Q', length, text.
    """
    asked = [rb"Q....-- " + statement + rb"\w*\.sql\n"]
    asked += [rb"B....\0" + name + rb"\0" for name, file in prepared.items() if file.startswith(statement)]
    return any(re.search(one, data, re.DOTALL) for one in asked)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 20):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def wire_to(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    """Lay a wire to a server; give it, and the DSN of its near end."""
    wire = Wire(dsn)
    with tempfile.TemporaryDirectory(prefix="perdure-wire-") as folder:
        listener = await asyncio.start_unix_server(wire.serve, Path(folder) / ".s.PGSQL.5432")
        parts = urlsplit(dsn)
        user = parts.netloc.rpartition("@")[0]
        try:
            yield wire, f"postgresql://{user}@{parts.path}?host={quote(folder, safe='')}&port=5432"
        finally:
            listener.close()
