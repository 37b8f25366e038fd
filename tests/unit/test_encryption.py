"""Sealed payloads: they come back, nothing else can be read out of them, and keys can be changed under way."""

from __future__ import annotations

import base64

import pytest

from perdure import encryption, errors
from perdure._core import codec
from perdure.encryption import EncryptionCodec

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PAYLOAD = b'{"password":"correct horse battery staple"}'


@pytest.mark.parametrize("data", [b"null", b'""', PAYLOAD, b"x" * 2_000_000], ids=len)
def test_what_is_sealed_comes_back(data: bytes) -> None:
    """Payloads of any size are the same again, to the byte."""
    sealing = EncryptionCodec({"k1": OLD})

    assert EncryptionCodec({"k1": OLD}).decode(sealing.encode(data)) == data


def test_nothing_of_a_payload_can_be_read_without_the_key() -> None:
    """No part of it stands in the sealed bytes, and the same payload never looks the same twice."""
    sealing = EncryptionCodec({"k1": OLD})

    first, second = sealing.encode(PAYLOAD), sealing.encode(PAYLOAD)

    assert b"horse" not in first
    assert first != second
    assert codec.is_sealed(first)
    assert codec.key_id_of(first) == "k1"


@pytest.mark.parametrize("plain", [b"", b"null", b"[]", b'"text"', b" 1", b"-1", PAYLOAD])
def test_what_was_plain_before_stays_readable(plain: bytes) -> None:
    """Encryption can be switched on in a database that is full already."""
    assert EncryptionCodec({"k1": OLD}).decode(plain) == plain
    assert codec.PlainCodec().decode(codec.PlainCodec().encode(plain)) == plain


def test_old_keys_open_and_the_active_one_seals() -> None:
    """A change of keys needs no day on which everything is written again."""
    before = EncryptionCodec({"k1": OLD}).encode(PAYLOAD)
    rotated = EncryptionCodec({"k2": NEW, "k1": OLD})

    assert rotated.decode(before) == PAYLOAD
    assert codec.key_id_of(rotated.encode(PAYLOAD)) == "k2"
    assert codec.key_id_of(EncryptionCodec({"k2": NEW, "k1": OLD}, active="k1").encode(PAYLOAD)) == "k1"


def test_a_missing_key_is_named() -> None:
    """The error says which key is needed and which are there; it is one that passes."""
    sealed = EncryptionCodec({"k1": OLD}).encode(PAYLOAD)

    with pytest.raises(errors.EncryptionKeyMissingError, match=r"'k1'.*it has 'k2'") as other:
        EncryptionCodec({"k2": NEW}).decode(sealed)
    with pytest.raises(errors.EncryptionKeyMissingError, match=r"'k1'.*it has no key"):
        codec.PlainCodec().decode(sealed)
    assert other.value.retryable


def test_another_key_under_the_same_id_is_found() -> None:
    """Nothing wrong is ever given back: what does not open says so."""
    sealed = EncryptionCodec({"k1": OLD}).encode(PAYLOAD)

    with pytest.raises(errors.PayloadDamagedError, match="another key of the same id"):
        EncryptionCodec({"k1": NEW}).decode(sealed)


def test_every_changed_byte_is_found() -> None:
    """Mark, format, key id, salt, nonce, text and tag: whatever was changed, the payload does not open as another."""
    opening = EncryptionCodec({"k1": OLD})
    sealed = opening.encode(PAYLOAD)

    for position in range(1, len(sealed)):
        changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(errors.PayloadSealedError):
            opening.decode(changed)


def test_bytes_cut_anywhere_are_found() -> None:
    """A row that was cut is no shorter payload."""
    opening = EncryptionCodec({"k1": OLD})
    sealed = opening.encode(PAYLOAD)

    for length in range(1, len(sealed)):
        with pytest.raises(errors.PayloadSealedError):
            opening.decode(sealed[:length])
        with pytest.raises(errors.PayloadSealedError):
            codec.PlainCodec().decode(sealed[:length])


def test_a_derived_key_that_has_served_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key seals more payloads than random nonces allow; those before and after open alike."""
    monkeypatch.setattr(encryption, "_MESSAGES_PER_SALT", 3)
    sealing = EncryptionCodec({"k1": OLD})

    sealed = [sealing.encode(PAYLOAD) for _ in range(7)]

    salts = [one[5:21] for one in sealed]
    assert salts[0] == salts[2] != salts[3] == salts[5] != salts[6]
    assert {EncryptionCodec({"k1": OLD}).decode(one) for one in sealed} == {PAYLOAD}


# --- keys as people give them ----------------------------------------------------------------------------------------


def test_keys_are_read_as_people_write_them() -> None:
    """Commas or lines, both alphabets of base64; the order is kept, since the first is the active one."""
    first, second = base64.b64encode(OLD).decode(), base64.urlsafe_b64encode(b"\xff" * 32).decode()

    assert list(encryption.parse_keys(f"2027-01:{first}, 2026-07:{second}")) == ["2027-01", "2026-07"]
    assert encryption.parse_keys(f"a:{first}\nb:{second}\n") == {"a": OLD, "b": b"\xff" * 32}
    assert codec.key_id_of(EncryptionCodec.of(f"a:{first},b:{second}").encode(b"1")) == "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No key is given"),
        ("c2VjcmV0", "Entry 1 is no key"),
        ("k1:hush-hush!", "Entry 1 is no key"),
        (f":{base64.b64encode(OLD).decode()}", "Entry 1 is no key"),
        (f"k1:{base64.b64encode(OLD).decode()},k 2:{base64.b64encode(NEW).decode()}", "Entry 2 is no key"),
        (f"k1:{base64.b64encode(OLD).decode()},k1:{base64.b64encode(NEW).decode()}", "'k1' is given twice"),
        ("k1:c2VjcmV0c2VjcmV0", "'k1' has 12 bytes, expected 32"),
    ],
)
def test_a_wrong_key_is_refused_and_never_shown(text: str, said: str) -> None:
    """The error names the entry or the id; what might be key material is not in it."""
    with pytest.raises(errors.EncryptionKeyError, match=said) as refused:
        encryption.parse_keys(text)

    assert not [word for word in ("c2Vjcm", "hush", base64.b64encode(OLD).decode()[:6]) if word in str(refused.value)]


@pytest.mark.parametrize(
    ("keys", "active", "said"),
    [
        ({}, None, "No key is given"),
        ({"k1": b"short"}, None, "'k1' has 5 bytes"),
        ({"": OLD}, None, "'' is no key id"),
        ({"ä": OLD}, None, "is no key id"),
        ({"k1": OLD}, "k2", "'k2' is not among the keys"),
    ],
)
def test_a_codec_of_wrong_keys_is_refused(keys: dict[str, bytes], active: str | None, said: str) -> None:
    """What cannot be used is found when the codec is made, not at the first payload."""
    with pytest.raises(errors.EncryptionKeyError, match=said):
        EncryptionCodec(keys, active=active)


def test_a_codec_shows_its_ids_and_no_key() -> None:
    """Logs and tracebacks may hold a codec."""
    assert repr(EncryptionCodec({"k2": NEW, "k1": OLD})) == "EncryptionCodec(keys=['k2', 'k1'], active='k2')"
