"""What nobody needs any more goes by itself: finished instances past their time, messages that nobody can take in.

Every worker does this now and then, in small portions, and all of them may at once: each portion is one statement that
finds what is there. Whatever fails is tried again the next time; nothing waits for it.
"""

from __future__ import annotations

import asyncio
import random

import structlog

from perdure._core import limits
from perdure._store import removal
from perdure._store.store import Store, is_transient

__all__ = ["keep_house"]

_log = structlog.get_logger(__name__)


async def keep_house(store: Store, *, retention_seconds: float | None) -> None:
    """Remove for ever; without a retention only what is left over of instances that are gone."""
    while True:
        pause = limits.HOUSEKEEPING_SECONDS if retention_seconds is None else min(60.0, retention_seconds)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads workers, guards nothing
        try:
            if retention_seconds is None:
                await removal.sweep(store)
            elif removed := await removal.retire(store, older_than_seconds=retention_seconds):
                _log.info("removed what is past its time", trees=removed, retention_seconds=retention_seconds)
        except Exception as error:
            if not is_transient(error):
                raise
            store.availability.lost(error, "keep house")
