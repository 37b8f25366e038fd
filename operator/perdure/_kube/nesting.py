"""How deep a value may be nested, and how JSON that is deeper is read at all.

The API server takes objects nested ten thousand levels deep, Python's readers give up at its recursion limit, which
nobody should raise for the sake of one object: a stack that overflows ends the process. So what is too deep is cut off
before it is read, far below what a spec may have: `ingest` finds it too deep still, and refuses it. Pure; nothing here
recurses.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

__all__ = ["LEVELS", "READABLE_LEVELS", "cut", "is_deeper", "may_be_unreadable"]

LEVELS = 200
"""What a field of a spec may have; pydantic's own reader of JSON ends there too."""

READABLE_LEVELS = 800
"""What every reader of JSON can read under Python's own limit of 1,000 calls."""

_KEPT_LEVELS = 300
"""What `cut` leaves: more than a field may have, with all that is around it, so that a cut field is always refused."""

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def is_deeper(value: JsonValue, levels: int) -> bool:
    """Tell whether lists and mappings are nested in this value more than so many levels deep."""
    inner = [value]
    for _ in range(levels + 1):
        inner = [
            one
            for outer in inner
            if isinstance(outer, dict | list)
            for one in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not inner:
            return False
    return True


def may_be_unreadable(text: bytes) -> bool:
    """Tell, fast, whether this JSON could be nested too deeply to be read; False is certain."""
    return text.count(b"{") + text.count(b"[") > READABLE_LEVELS


def cut(text: bytes) -> bytes:
    """Put null in the place of everything that is nested too deeply in this JSON."""
    parts: list[bytes] = []
    depth = kept_from = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
                if depth == _KEPT_LEVELS + 1:
                    parts += [text[kept_from : token.start()], b"null"]
            case b"}" | b"]":
                if depth == _KEPT_LEVELS + 1:
                    kept_from = token.end()
                depth -= 1
            case _:
                pass  # a text, whatever brackets are in it
    return b"".join([*parts, text[kept_from:]])
