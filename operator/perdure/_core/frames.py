"""Where an error came from: the author's frames, in a few lines of text.

An error in history should lead to the line that raised it, also long after its log is gone. What is kept are places
(module, line, function) and the names and sentences of the errors behind it; never values of variables, which may be
secrets, nor lines of source, which would have to be read from files, nor paths, which differ between machines. Frames
of the engine, and of asyncio before the author's code begins, say nothing to the author and are left out. The text is
for people: nothing compares or parses it, so it may differ between Python versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

import pydantic

from perdure._core import limits

__all__ = ["of", "sentence_of", "words_of"]

_HOME: Final = "perdure"
_ENGINE_ROOM: Final = (_HOME, "asyncio", "concurrent")
_CHAIN: Final = 5
_MEMBERS: Final = 5


def of(error: BaseException) -> str:
    """Give the places an error went through, the innermost last, then those of the errors behind it.

    Empty for an error that never came through code of the author's, nor has one behind it. Of any length.
    """
    parts: list[str] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen and len(seen) < _CHAIN:
        seen.add(id(current))
        if current is not error:
            parts.append(f"caused by {sentence_of(current)}")
        parts += _places(current.__traceback__)
        if isinstance(current, BaseExceptionGroup):
            parts += _members(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(parts)


def sentence_of(error: BaseException) -> str:
    """Give the class and the sentence of an error, whatever its author did to it."""
    said = words_of(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def words_of(error: BaseException) -> str:
    """Give the sentence of an error; that of pydantic without the values it found, which may be anything."""
    try:
        if isinstance(error, pydantic.ValidationError):
            return f"{error.title}: {'; '.join(_problems(error))}"
        return str(error)
    except Exception:  # noqa: BLE001 - a __str__ of somebody's that raises must not hide that there was an error
        return f"(the message of this {type(error).__name__} cannot be read: its __str__ raises)"


def _problems(error: pydantic.ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        yield f"{'.'.join(str(part) for part in problem['loc']) or '(whole value)'}: {problem['msg']}"


def _members(group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    """Give the places of each error of a group, the first few of them."""
    for number, member in enumerate(group.exceptions[:_MEMBERS], 1):
        yield f"{number} of {len(group.exceptions)}: {sentence_of(member)}"
        yield from _places(member.__traceback__)


def _places(trace: TracebackType | None) -> list[str]:
    """Give the last places of one error."""
    places: list[str] = []
    is_inside = False
    while trace is not None:
        frame = trace.tb_frame
        room = _module_of(frame).partition(".")[0]
        is_inside = is_inside or room not in _ENGINE_ROOM
        if is_inside and room != _HOME:
            places.append(f"{_module_of(frame)}, line {trace.tb_lineno}, in {frame.f_code.co_qualname}")
        trace = trace.tb_next
    left_out = len(places) - limits.ERROR_TRACEBACK_FRAMES
    if left_out > 0:
        return [f"({left_out} more)", *places[left_out:]]
    return places


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "(no module)"))
