"""Queues of activities: what may be said about them, checked at each door where somebody says it.

A queue is a name that workers serve, and activities with a queue run on whoever serves it. This module knows names and
numbers; who serves what, and how much of it runs, is the engine's and the database's business.
"""

from __future__ import annotations

import re

from perdure import errors
from perdure._core import limits

__all__ = ["check_name", "check_priority"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]*[A-Za-z0-9])?")


def check_name(queue: object) -> str:
    """Give the queue's name back. Raises `DefinitionError` when it can be none."""
    if not isinstance(queue, str) or len(queue) > limits.NAME_CHARACTERS or not _NAME.fullmatch(queue):
        message = (
            f"{queue!r} is no name for a queue: expected 1 to {limits.NAME_CHARACTERS} letters, digits and . _ : / - "
            "that begin and end with a letter or digit, as in `gpu` or `team-a/slow`. Leave it out to run the activity "
            "on the worker that owns the instance."
        )
        raise errors.DefinitionError(message)
    return queue


def check_priority(priority: object) -> int:
    """Give the priority back. Raises `DefinitionError` for what is no whole number within the limit."""
    if not isinstance(priority, int) or type(priority) is bool or abs(priority) > limits.PRIORITY:
        message = (
            f"priority is {priority!r}; expected a whole number from {-limits.PRIORITY} to {limits.PRIORITY}. Higher "
            "goes first, 0 is usual."
        )
        raise errors.DefinitionError(message)
    return priority
