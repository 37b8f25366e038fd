"""Whose the things are that an orchestration makes: the resource's that asked for them, not one run's of it.

An Orchestration whose spec has changed has another run. What the first one made is found by the second as its own, as
both mean the same owner.
"""

from __future__ import annotations

import re

__all__ = ["owner_of"]

_RUN_OF_A_RESOURCE = re.compile(r"([^/:]+/[^/:]+):\d+")


def owner_of(instance_id: str) -> str:
    """Give the resource whose run this is (`platform/onboard-shop`), or else the instance itself."""
    match = _RUN_OF_A_RESOURCE.fullmatch(instance_id)
    return match.group(1) if match else instance_id
