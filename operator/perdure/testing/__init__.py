"""Testing orchestrations: the code of a run on the replay core alone, in milliseconds and in virtual time.

No Postgres, no cluster, no event loop to think of. Every turn is replayed from history as after a crash, so a test that
passes has also shown that the code is deterministic. What is simulated is the author's code; what belongs to the engine
(queues, slots, lost workers, the database) is not here. This package builds on the core and knows no other room.
"""

from __future__ import annotations

from perdure.testing.attempts import activity_context
from perdure.testing.replaying import assert_replays
from perdure.testing.run import ActivityCall, Run, Sent, Started
from perdure.testing.simulation import BEGINS_AT, Simulation, simulate

__all__ = [
    "BEGINS_AT",
    "ActivityCall",
    "Run",
    "Sent",
    "Simulation",
    "Started",
    "activity_context",
    "assert_replays",
    "simulate",
]
