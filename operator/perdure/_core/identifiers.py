"""What an instance, a signal and a dedupe key may be called, checked where a name enters."""

from __future__ import annotations

from perdure import errors
from perdure._core import limits

__all__ = ["check_dedupe_key", "check_instance_id", "check_signal_name"]

_SHOWN_CHARACTERS = 80


def check_dedupe_key(key: object) -> str:
    """Give the key back. Raises `DefinitionError` when it can be none."""
    return _check(key, "dedupe key", limits.DEDUPE_KEY_CHARACTERS)


def check_instance_id(instance_id: object) -> str:
    """Give the id back. Raises `DefinitionError` when it can be none."""
    return _check(instance_id, "instance id", limits.INSTANCE_ID_CHARACTERS)


def check_signal_name(signal: object) -> str:
    """Give the name back. Raises `DefinitionError` when it can be none."""
    return _check(signal, "name for a signal", limits.NAME_CHARACTERS)


def _check(value: object, what: str, most: int) -> str:
    if not isinstance(value, str):
        message = f"{value!r} is no {what}: expected text, found {type(value).__name__}."
        raise errors.DefinitionError(message)
    if not 1 <= len(value) <= most or not value.isprintable():
        message = (
            f"{value[:_SHOWN_CHARACTERS]!r} is no {what}: expected 1 to {most} printable characters, "
            f"found {len(value)}."
        )
        raise errors.DefinitionError(message)
    return value
