"""For whom an activity acts: the owner of a server, who outlives the run that works for it now.

A server is made by one run, looked after by another and removed by a third. All of them mean the same owner; what they
make carries its label, and what carries another's is left alone. In which attempt something was written is told by the
epoch, which rises over all runs.
"""

from __future__ import annotations

import dataclasses

from perdure import ActivityContext

__all__ = ["acting_for"]


def acting_for(ctx: ActivityContext, owner: str) -> ActivityContext:
    """Give the context in which objects are the owner's own; without an owner the run's.

    Only for objects: an idempotency key is that of the run, and stays with the context that was given.
    """
    if not owner or owner == ctx.instance_id:
        return ctx
    return dataclasses.replace(ctx, info=dataclasses.replace(ctx.info, instance_id=owner))
