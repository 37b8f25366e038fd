"""The one place where payloads are sealed on their way into the database, and opened on their way out.

Every `bytea` parameter of a statement is a payload, unless its head comment says that it is plain; every column of
bytes in a result is one, by its name (`COLUMNS`; a test holds that there are no others). So a statement that is added
is sealed without anybody thinking of it. What SQL moves from table to table stays sealed as it is; JSON that SQL writes
itself is plain, and both kinds are read.

Rows are opened when a value is asked for, not when they come: a payload whose key is missing is then the trouble of
whoever deals with that one instance, and of nobody who was read in the same statement.

This module knows statements and bytes; what codec there is, is decided by whoever opens the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import asyncpg

from perdure._core import codec
from perdure._store import statements

__all__ = ["COLUMNS", "Record", "Sealing"]

Record = asyncpg.Record

COLUMNS = frozenset(
    {
        *("body", "carried", "command", "custom_status", "detail", "error", "input", "last_error", "output", "payload"),
        *("last_errors", "refusal", "spec", "status"),
    }
)
"""The columns of bytes, by the names that they have in results."""


class Sealing:
    """Seals arguments and opens rows with one codec."""

    def __init__(self, using: codec.Codec | None = None) -> None:
        """Without a codec payloads are plain, and sealed ones are refused by name."""
        self._codec = using or codec.PlainCodec()
        self._is_plain = isinstance(self._codec, codec.PlainCodec)
        self._places = statements.load().payloads

    def sealed(self, name: str, arguments: Sequence[object]) -> Sequence[object]:
        """Give the arguments of a statement as they are to be stored."""
        places = self._places[name]
        if self._is_plain or not places:
            return arguments
        encode = self._codec.encode
        return [_each(encode, value) if at in places else value for at, value in enumerate(arguments)]

    def opened(self, rows: list[Record]) -> list[Record]:
        """Give rows whose payloads can be read; those that are all plain are given as they are."""
        if not rows:
            return rows
        places = [at for at, name in enumerate(rows[0].keys()) if name in COLUMNS]
        if not any(_is_sealed(row[at]) for at in places for row in rows):
            return rows
        return [cast("Record", _Opening(row, self._codec.decode)) for row in rows]


def _is_sealed(value: object) -> bool:
    if isinstance(value, bytes):
        return codec.is_sealed(value)
    return isinstance(value, list) and any(map(_is_sealed, value))


def _each(function: Callable[[bytes], bytes], value: object) -> object:
    """Apply a codec to a payload, or to each payload of a list; whatever else there is stays as it is."""
    if isinstance(value, bytes):
        return function(value)
    if isinstance(value, list):
        return [function(one) if isinstance(one, bytes) else one for one in value]
    return value


class _Opening:
    """A row that opens a payload when it is asked for it. Raises `PayloadSealedError` then."""

    __slots__ = ("_decode", "_row")

    def __init__(self, row: Record, decode: Callable[[bytes], bytes]) -> None:
        self._row = row
        self._decode = decode

    def __getitem__(self, key: str | int) -> object:
        return _each(self._decode, self._row[key])

    def __iter__(self) -> Iterator[object]:
        return (_each(self._decode, value) for value in self._row)

    def __len__(self) -> int:
        return len(self._row)

    def keys(self) -> Iterator[str]:
        """Give the names of the columns."""
        return self._row.keys()
