"""Values to JSON bytes and back: the only place that knows how user types travel.

Encoding is by shape (pydantic models, dataclasses, JSON values), decoding by annotation. Payloads are kept as the bytes
that were written first and are never re-encoded, so that replay can compare them byte by byte. pydantic stands at this
door only; inside, payloads are opaque bytes. This module knows nothing of history or the database.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Final, NewType, cast

import msgspec
import pydantic
import pydantic_core

from perdure import errors
from perdure._core import limits, secret

__all__ = ["JsonValue", "Payload", "decoder", "encode", "is_same"]

JsonValue = pydantic.JsonValue
Payload = NewType("Payload", bytes)
"""JSON text in UTF-8."""

_SHOWN_CHARACTERS: Final = 40
_JSON_TYPES: frozenset[object] = frozenset({None, type(None), object, dict, list, JsonValue})
_BYTES = (bytes, bytearray, memoryview)
_LEAVES: frozenset[type] = frozenset({str, int, float, bool, type(None)})


def _to_builtin(value: object) -> object:
    """Turn what msgspec does not know into what it does: pydantic models and references, which are what we promise."""
    if isinstance(value, pydantic.BaseModel):
        return msgspec.Raw(value.model_dump_json().encode())
    if isinstance(value, secret.SecretRef):
        return value.to_json()
    message = f"it holds a value of the type {type(value).__name__}"
    raise TypeError(message)


def _has_bytes(value: object) -> bool:
    """Say whether bytes stand anywhere in a value, models aside: they write and read theirs themselves.

    Leaves are passed over where they stand: most values hold nothing else. Raises `RecursionError` for what is too
    deep.
    """
    for part in value.values() if type(value) is dict else _parts_of(value):
        if type(part) not in _LEAVES and _has_bytes(part):
            return True
    return isinstance(value, _BYTES)


def _parts_of(value: object) -> Collection[object]:
    """Give what a value is made of; nothing for one that has no parts, or writes them itself."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    kind = type(value)
    names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__struct_fields__", None) or ()
    return [getattr(value, name, None) for name in names]


_encoder = msgspec.json.Encoder(enc_hook=_to_builtin, order="deterministic")
_write = cast("Callable[[object], Payload]", _encoder.encode)
_plain_decoder = msgspec.json.Decoder()


def encode(value: object, what: str, *, limit_bytes: int = limits.PAYLOAD_BYTES) -> Payload:
    """Write `value` as JSON; `what` names it in errors ("input of activity x").

    Raises `PayloadError` when the value has no JSON form, as bytes have none, and `PayloadTooLargeError` above
    `limit_bytes`.
    """
    try:
        data = _write(value)
        has_bytes = type(value) not in _LEAVES and _has_bytes(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError, pydantic.ValidationError) as error:
        message = (
            f"The {what} cannot be written as JSON: {error}. Use pydantic models, dataclasses or JSON values "
            "(None, bool, int, float, str, list, dict with text keys)."
        )
        raise errors.PayloadError(message) from error
    if has_bytes:
        message = (
            f"The {what} cannot be written as JSON: it holds bytes, which JSON has not, and which would come back as "
            "something else. Use text, or turn them into base64 yourself, and back."
        )
        raise errors.PayloadError(message)
    if len(data) > limit_bytes:
        message = (
            f"The {what} has {len(data)} bytes, the limit is {limit_bytes}. Store large data elsewhere (an object "
            "store, a ConfigMap, a table) and pass a reference."
        )
        raise errors.PayloadTooLargeError(message)
    return data


@functools.lru_cache(maxsize=1024)
def decoder(annotation: object, what: str = "value") -> Callable[[bytes], object]:
    """Give the function that reads JSON bytes as `annotation`; `what` names them in errors ("input of activity x").

    It raises `InputInvalidError` with the path of each wrong field, what was expected there and what was found. An
    annotation that nothing can be read as raises `DefinitionError` here. JSON types are read without pydantic: they are
    the hot path.
    """
    if annotation in _JSON_TYPES:
        return _decode_plain
    adapter = _adapter(annotation)

    def decode(data: bytes) -> object:
        try:
            # Its validator is asked for here and not before: a model may name classes that are defined later.
            return adapter.validator.validate_json(data)
        except pydantic.ValidationError as error:
            raise errors.InputInvalidError(_explain(error, annotation, what)) from None  # all of it is said
        except Exception as error:  # a validator of the author's may raise anything
            message = f"The {what} cannot be read as {_name(annotation)}: {type(error).__name__}: {error}."
            raise errors.InputInvalidError(message) from error

    return decode


@functools.lru_cache(maxsize=1024)
def _adapter(annotation: object) -> pydantic.TypeAdapter[object]:
    """Give what reads an annotation: made once, however many things are of that type."""
    try:
        return pydantic.TypeAdapter(cast("type[object]", annotation))
    except pydantic.errors.PydanticUserError as error:
        reason = error.message.partition("\n")[0].rstrip(".")
        message = (
            f"No value can be read as {_name(annotation)}: {reason}. Use pydantic models, dataclasses or JSON values "
            "(None, bool, int, float, str, list, dict with text keys)."
        )
        raise errors.DefinitionError(message) from error


def is_same(first: bytes, second: bytes) -> bool:
    """Whether two payloads are the same JSON value, in whatever order their fields stand."""
    return first == second or _encoder.encode(_decode_plain(first)) == _encoder.encode(_decode_plain(second))


def _decode_plain(data: bytes) -> object:
    try:
        return _plain_decoder.decode(data)
    except (RecursionError, msgspec.DecodeError) as error:
        message = f"Stored JSON cannot be read: {error}."
        raise errors.PayloadError(message) from error


def _explain(error: pydantic.ValidationError, annotation: object, what: str) -> str:
    """Say each wrong field on its own: path, what was expected, what was found."""
    problems = [
        f"{_path(problem)}{problem['msg']}{_found(problem)}"
        for problem in error.errors(include_url=False, include_context=False)
    ]
    return f"The {what} does not fit {_name(annotation)}: {'; '.join(problems)}."


def _path(problem: pydantic_core.ErrorDetails) -> str:
    """Say which field is wrong; nothing when it is the value itself."""
    path = ".".join(str(part) for part in problem["loc"])
    return f"{path}: " if path else ""


def _found(problem: pydantic_core.ErrorDetails) -> str:
    return "" if problem["type"] == secret.NOT_SHOWN else f" (found {_short(problem['input'])})"


def _name(annotation: object) -> str:
    return str(getattr(annotation, "__name__", annotation))


def _short(value: object) -> str:
    """Show a found value in a few characters: never a whole payload in an error."""
    text = type(value).__name__ if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
