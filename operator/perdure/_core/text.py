"""Text of people on its way into history: bounded, and writable as JSON whatever was in it."""

from __future__ import annotations

__all__ = ["bounded", "bounded_end", "is_writable"]

_MARK = " ... (cut)"
_MARK_BEFORE = "(cut) ... "


def bounded(text: str, characters: int) -> str:
    """Give `text` in at most `characters`, with a mark where it was cut.

    NUL bytes are no text anywhere, and lone surrogates (file names that are not UTF-8) no JSON: both are replaced.
    """
    text = _writable(text)
    return text if len(text) <= characters else text[: characters - len(_MARK)] + _MARK


def bounded_end(text: str, characters: int) -> str:
    """Give the end of `text` in at most `characters`, with a mark where it was cut."""
    text = _writable(text)
    return text if len(text) <= characters else _MARK_BEFORE + text[len(_MARK_BEFORE) - characters :]


def is_writable(value: object) -> bool:
    """Whether this is text that a database can take: without NUL bytes and lone surrogates."""
    return isinstance(value, str) and value == _writable(value)


def _writable(text: str) -> str:
    return text.replace("\x00", "\\0").encode("utf-8", "replace").decode()
