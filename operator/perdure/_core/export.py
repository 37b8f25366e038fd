"""A history as a file: what one execution of an instance is replayed from, away from its database.

The JSON form is a promise, like that of history: exports of every release can be read (`format`). It holds payloads as
they are in history, so it is as confidential as they are. It knows nothing of where a file comes from.
"""

from __future__ import annotations

import msgspec

from perdure import errors
from perdure._core import history

__all__ = ["HistoryExport", "decode", "encode"]

FORMAT = 1
"""The version of this form; one that is higher was written by a later release."""


class HistoryExport(msgspec.Struct, frozen=True, kw_only=True):
    """One execution: whose it is, and its turns in order."""

    format: int = FORMAT
    instance_id: str
    name: str
    version: str
    execution: int
    turns: list[history.Turn]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(HistoryExport)


def encode(exported: HistoryExport) -> bytes:
    """Write an export as JSON, indented for people."""
    return msgspec.json.format(_encoder.encode(exported))


def decode(data: bytes) -> HistoryExport:
    """Read an export, however it is indented. Raises `HistoryUnreadableError` with what is wrong with it, and where."""
    try:
        # Payloads are compared byte by byte, and they were written without any space.
        exported = _decoder.decode(msgspec.json.format(data, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.HistoryUnreadableError(f"This is no exported history: {error}.") from error
    if exported.format > FORMAT:
        message = f"This history has format {exported.format}; known here is {FORMAT}. Use the release that wrote it."
        raise errors.HistoryUnreadableError(message)
    return exported
