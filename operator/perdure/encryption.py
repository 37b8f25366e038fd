"""Encryption of payloads at rest: inputs, outputs, signals and errors cannot be read in Postgres nor in its backups.

    client = await Client.connect(dsn, codec=EncryptionCodec({"2027-01": key}))

The operator takes its keys from `PERDURE_ENCRYPTION_KEYS`. What is sealed, what is not, and how to change keys is in
`docs/secrets.md`. This module knows bytes and keys; it must not know what a payload is or where it is stored.

Theory of operation. AES-256-GCM with random nonces of 96 bits allows some 2**32 messages under one key before two
nonces are too likely to meet (NIST SP 800-38D, 8.3), and an installation writes that many in days. So no key is used as
it is: each codec derives one of its own from it and a random salt (HKDF-SHA256), and another when that one has served.
What is stored is

    mark, format, length of the key id | key id | salt (16) | nonce (12) | ciphertext and tag (16)

and everything before the nonce is authenticated along with it. What a row belongs to is not: whoever may write the
database can put one sealed payload in the place of another.
"""

from __future__ import annotations

import base64
import binascii
import functools
import os
import re
from collections.abc import Mapping
from typing import Final

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from perdure import errors
from perdure._core import codec

__all__ = ["EncryptionCodec", "parse_keys"]

_FORMAT: Final = 1
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_MESSAGES_PER_SALT: Final = 2**31
"""Half of what NIST allows for random nonces."""
_PURPOSE: Final = b"perdure payload"
_REMEMBERED: Final = 4_096
_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class EncryptionCodec:
    """Seals payloads under the active key, and opens those of all its keys and plain ones.

    A change of keys is one more entry in `keys`; the old ones stay until nothing is left that was written under them.
    """

    def __init__(self, keys: Mapping[str, bytes], *, active: str | None = None) -> None:
        """`keys` are 32 random bytes each, by id; `active` seals, by default the first.

        Raises `EncryptionKeyError` for keys that cannot be used.
        """
        _check(keys, active)
        self._keys = dict(keys)
        self._active = next(iter(keys)) if active is None else active
        self._opener = functools.lru_cache(maxsize=_REMEMBERED)(self._derived)
        self._renew()

    @classmethod
    def of(cls, text: str) -> EncryptionCodec:
        """Make one of keys as `PERDURE_ENCRYPTION_KEYS` has them: `id:base64,id:base64`, the active one first."""
        return cls(parse_keys(text))

    def __repr__(self) -> str:
        """Show the ids and no key."""
        return f"EncryptionCodec(keys={list(self._keys)}, active={self._active!r})"

    def encode(self, data: bytes, /) -> bytes:
        """Seal under the active key."""
        if self._left == 0:
            self._renew()
        self._left -= 1
        nonce = os.urandom(_NONCE_BYTES)
        return self._head + nonce + self._cipher.encrypt(nonce, data, self._head)

    def decode(self, data: bytes, /) -> bytes:
        """Open what was sealed under any of the keys; what is plain is given as it is.

        Raises `EncryptionKeyMissingError`, `PayloadDamagedError`, or `PayloadSealedError` for a format of another
        release.
        """
        if not codec.is_sealed(data):
            return data
        key_id = codec.key_id_of(data)
        if data[1:2] != bytes([_FORMAT]):
            raise errors.PayloadSealedError(
                f"A stored payload is sealed in the format {data[1:2].hex()}, and this release reads {_FORMAT:02x}. "
                "It was written by a newer release, or by another codec: read it with that. The instance waits."
            )
        if key_id not in self._keys:
            raise errors.EncryptionKeyMissingError(key_id, known=list(self._keys))
        head = len(_head_of(key_id)) + _SALT_BYTES
        body = head + _NONCE_BYTES
        if len(data) < body + _TAG_BYTES:
            raise errors.PayloadDamagedError(key_id)
        cipher = self._opener(key_id, data[head - _SALT_BYTES : head])
        try:
            return cipher.decrypt(data[head:body], data[body:], data[:head])
        except exceptions.InvalidTag as error:
            raise errors.PayloadDamagedError(key_id) from error

    def _renew(self) -> None:
        """Derive a fresh key to seal with."""
        salt = os.urandom(_SALT_BYTES)
        self._head = _head_of(self._active) + salt
        self._cipher = self._opener(self._active, salt)
        self._left = _MESSAGES_PER_SALT

    def _derived(self, key_id: str, salt: bytes) -> AESGCM:
        derive = HKDF(hashes.SHA256(), length=_KEY_BYTES, salt=salt, info=_PURPOSE)
        return AESGCM(derive.derive(self._keys[key_id]))


def parse_keys(text: str) -> dict[str, bytes]:
    """Read `id:base64` entries between commas or line ends, in their order.

    Raises `EncryptionKeyError` that names the entry and never shows a key.
    """
    keys: dict[str, bytes] = {}
    entries = [entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip()]
    for number, entry in enumerate(entries, 1):
        key_id, separator, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded.strip().translate(str.maketrans("-_", "+/")), validate=True)
        except (binascii.Error, ValueError):
            separator, key = "", b""
        if not separator or not _KEY_ID.fullmatch(key_id):
            raise errors.EncryptionKeyError(
                f"Entry {number} is no key: expected id:base64, with an id of 1 to 32 letters, digits, '.', '_', '-'. "
                "`openssl rand -base64 32` makes a key."
            )
        if key_id in keys:
            raise errors.EncryptionKeyError(f"The key id {key_id!r} is given twice; each key has an id of its own.")
        keys[key_id] = key
    _check(keys, None)
    return keys


def _check(keys: Mapping[str, bytes], active: str | None) -> None:
    if not keys:
        raise errors.EncryptionKeyError("No key is given; expected at least one, the active one first.")
    for key_id, key in keys.items():
        if not _KEY_ID.fullmatch(key_id):
            raise errors.EncryptionKeyError(
                f"{key_id!r} is no key id: expected 1 to 32 letters, digits, '.', '_', '-', a letter or digit first."
            )
        if len(key) != _KEY_BYTES:
            raise errors.EncryptionKeyError(
                f"The key {key_id!r} has {len(key)} bytes, expected {_KEY_BYTES} random ones, as from `openssl rand "
                "-base64 32`."
            )
    if active is not None and active not in keys:
        raise errors.EncryptionKeyError(f"The active key {active!r} is not among the keys {list(keys)}.")


def _head_of(key_id: str) -> bytes:
    encoded = key_id.encode("ascii")
    return bytes([codec.MARK, _FORMAT, len(encoded)]) + encoded
