"""How often Python looks for garbage in a process whose business is to run workers.

What a turn leaves behind goes by itself, without cycles. But thousands of instances are in memory with what they wait
for, and by default all that is young among it is looked at again after every 700 new objects: a third of a worker's
time. This is a decision about a process, so whoever owns one takes it; a worker that is a guest somewhere does not.
"""

from __future__ import annotations

import gc

__all__ = ["collect_seldom"]

_YOUNG_OBJECTS = 200_000
"""With 50,000 a busy worker stood still for 60 ms after every 3,000 instances of five steps, and found nothing."""


def collect_seldom() -> None:
    """Never look again at what is there by now (modules, registries), and seldom at what is to come."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
