"""Why a resource is not run: what the store keeps of it, and a status shows.

A value and nothing else; whoever refuses says why.
"""

from __future__ import annotations

import dataclasses

__all__ = ["Refusal"]


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a resource is not run: `reason` for programs, `message` for people.

    One that `waits` goes on by itself when what is missing appears in its namespace: that is no failure. Any other
    needs somebody who changes the resource, or what the operator may do.
    """

    reason: str
    message: str
    waits: bool = False
