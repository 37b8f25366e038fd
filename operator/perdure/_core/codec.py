"""Between payloads and the database: what is stored of them.

A codec turns the bytes of a payload into what stands in Postgres, and back. Plain ones stand there as they are. Those
that another codec has sealed begin with a byte that no JSON text begins with, so that both kinds live side by side:
what was written before encryption was switched on stays readable, and what is sealed is never taken for JSON. Whoever
reads finds out from the bytes alone; `open_plain` is what a process without a key does with them.

This module knows neither ciphers nor the database: `perdure.encryption` offers a codec, the store uses one.
"""

from __future__ import annotations

from typing import Final, Protocol

from perdure import errors

__all__ = ["MARK", "Codec", "PlainCodec", "is_sealed", "key_id_of"]

MARK: Final = 0x00
"""The first byte of what is sealed. JSON begins with a letter, a digit, a quote, a bracket, a minus or white space."""

_HEAD_BYTES: Final = 3


class Codec(Protocol):
    """Turns payloads into stored bytes and back. Called in the event loop for every payload: it must be quick.

    What `encode` gives begins with `MARK`, a byte for the format, and the id of its key: its length in a byte, then the
    id. Or it is the payload as it was. `decode` reads both kinds, of all keys that it has; what it cannot read raises
    `PayloadSealedError`, which holds an instance and fails none.
    """

    def encode(self, data: bytes, /) -> bytes:
        """Give what is to be stored."""

    def decode(self, data: bytes, /) -> bytes:
        """Give the payload again."""


class PlainCodec:
    """The codec of a process without keys: payloads stand in the database as they are."""

    def encode(self, data: bytes, /) -> bytes:
        """Give it as it is."""
        return data

    def decode(self, data: bytes, /) -> bytes:
        """Give it as it is. Raises `EncryptionKeyMissingError` for what somebody has sealed."""
        if is_sealed(data):
            raise errors.EncryptionKeyMissingError(key_id_of(data), known=())
        return data


def is_sealed(data: bytes) -> bool:
    """Say whether stored bytes are more than a plain payload."""
    return bool(data) and data[0] == MARK


def key_id_of(data: bytes) -> str:
    """Give the id of the key that sealed bytes name; empty when they are too damaged to name one."""
    length = data[_HEAD_BYTES - 1] if len(data) >= _HEAD_BYTES else 0
    return data[_HEAD_BYTES : _HEAD_BYTES + length].decode("ascii", "replace")
