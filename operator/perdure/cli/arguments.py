"""What people type, as values: JSON or a file of it, phases in any case, moments and ages.

It knows texts and types, and says for each text that is wrong what was expected. What the values are for it must not
know.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from perdure import errors
from perdure.cli.printing import short
from perdure.client import PHASES

__all__ = ["json_of", "moment_of", "phases_of"]

_AGE = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def json_of(option: str, text: str) -> object:
    """Read JSON: the text itself, `@file`, or `@-` for what comes from stdin."""
    try:
        return json.loads(_content(text[1:]) if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        message = f"{option} is {short(text)!r}: {error}. Expected JSON, or @ and the name of a file (@- for stdin)."
        raise errors.CommandError(message) from error


def phases_of(texts: Sequence[str]) -> list[str] | None:
    """Take phases in any case; refuse what is none, or the list would be empty without a word."""
    phases = [text.capitalize() for text in texts]
    wrong = [text for text, phase in zip(texts, phases, strict=True) if phase not in PHASES]
    if wrong:
        message = f"--phase is {', '.join(map(repr, wrong))}; there are {', '.join(PHASES)}."
        raise errors.CommandError(message)
    return phases or None


def moment_of(option: str, text: str | None) -> datetime.datetime | None:
    """Read an age (`30m`, `12h`, `7d`: so long ago) or a moment (ISO 8601; without a zone that of this machine)."""
    if text is None:
        return None
    if age := _AGE.fullmatch(text):
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        message = f"{option} is {short(text)!r}; expected an age (30m, 12h, 7d) or a moment (2026-11-30T12:00)."
        raise errors.CommandError(message) from error


def _content(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
