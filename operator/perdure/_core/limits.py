"""Every limit, once, each with its reason.

Crossing one gives a clear error to the party that crossed it and loses nothing (invariant I12). Sizes are bytes,
durations are seconds. No other module carries a bare number that bounds something a user can see.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTIVITY_CONVICTIONS",
    "ACTIVITY_GRACE_SECONDS",
    "API_PAUSE_SECONDS",
    "CANCEL_GRACE_SECONDS",
    "CUSTOM_STATUS_BYTES",
    "DEDUPE_KEY_CHARACTERS",
    "ERROR_DETAILS_BYTES",
    "ERROR_MESSAGE_CHARACTERS",
    "ERROR_TRACEBACK_CHARACTERS",
    "ERROR_TRACEBACK_FRAMES",
    "FINISHED_NOTIFY_SECONDS",
    "HEARTBEAT_DETAIL_BYTES",
    "HEARTBEAT_WRITE_SECONDS",
    "HOLD_RETRY_SECONDS",
    "HOUSEKEEPING_SECONDS",
    "INSTANCE_ID_CHARACTERS",
    "KEPT_EXECUTIONS",
    "LATE_LANDING_SECONDS",
    "NAME_CHARACTERS",
    "PAYLOAD_BYTES",
    "PRIORITY",
    "PROBATION_SECONDS",
    "PROBATION_SECONDS_AT_MOST",
    "PROGRESS_MESSAGE_CHARACTERS",
    "RECOVERIES",
    "REMOVAL_TRIES",
    "SECRET_GUARDED_CHARACTERS",
    "SIMULATED_TURNS",
    "STATUS_ACTIVE_RUNS",
    "STATUS_BYTES",
    "STATUS_OUTPUT_BYTES",
    "STATUS_STEPS",
    "STATUS_WAITS",
    "TURNS_PER_COMMIT",
    "TURN_BYTES",
    "TURN_SECONDS",
    "UNCONSUMED_SIGNALS",
]

LATE_LANDING_SECONDS: Final = 45.0
"""How long a statement whose answer was lost may still land: as long as the server lets one run, and some more."""

PAYLOAD_BYTES: Final = 2 * 1024 * 1024
"""One input, output or result. Above the 1.5 MB an API server takes, small enough that 1,000 in flight fit a pod."""

CUSTOM_STATUS_BYTES: Final = 4 * 1024
"""A custom status is shown in the resource; a resource is no place for data."""

ERROR_DETAILS_BYTES: Final = 4 * 1024
"""What an author's error carries beside its sentence, for code that decides by it: an id, a few numbers, no data."""

DEDUPE_KEY_CHARACTERS: Final = 200
"""A key is kept as long as its instance, and stands in an index."""

ERROR_MESSAGE_CHARACTERS: Final = 4_000
"""An error message in history. Longer ones are cut with a mark."""

ERROR_TRACEBACK_CHARACTERS: Final = 4_000
"""Where an error came from. Every failed attempt may carry one; the last places win, they are where it happened."""

ERROR_TRACEBACK_FRAMES: Final = 20
"""Places kept of one error; a recursion that went too deep has a thousand equal ones."""

FINISHED_NOTIFY_SECONDS: Final = 0.05
"""How often clients and controllers in other processes hear at most of ends: NOTIFY serialises commits."""

HOUSEKEEPING_SECONDS: Final = 600.0
"""How often leftovers are looked for when nothing is removed by age: hardly ever is there one."""

INSTANCE_ID_CHARACTERS: Final = 512
"""`{namespace}/{name}:{run}` needs at most 63 + 253 + 12; children append to their parent's id."""

KEPT_EXECUTIONS: Final = 10
"""How many executions of an instance that continues as new keep their history, the current one among them."""

NAME_CHARACTERS: Final = 200
"""Names of orchestrations and activities; they stand in every index entry and log line."""

PRIORITY: Final = 1_000
"""The highest priority of an activity, and below zero the lowest: room for every scheme that people can remember."""

PROGRESS_MESSAGE_CHARACTERS: Final = 200
"""One line in a terminal."""

RECOVERIES: Final = 5
"""How many workers may die of the code of an instance before it is held as poison: one of whatever, one while up to 50
instances were tried with it, one while a few were, and the rest while it was tried alone."""

REMOVAL_TRIES: Final = 10
"""How often a running tree is looked at anew, because it took a turn meanwhile, before its removal is given up."""

SECRET_GUARDED_CHARACTERS: Final = 8
"""A resolved secret of at least this length is looked for in what an attempt leaves; shorter ones stand anywhere."""

SIMULATED_TURNS: Final = 10_000
"""How many turns a simulation of `perdure.testing` takes: some seconds. Beyond it an orchestration runs for ever."""

STATUS_ACTIVE_RUNS: Final = 10
"""The unfinished runs shown in a schedule; how many there are is a number beside them."""

STATUS_BYTES: Final = 8 * 1024
"""The whole `.status`: 10,000 resources must stay cheap to list and watch."""

STATUS_OUTPUT_BYTES: Final = 2 * 1024
"""An output up to here is shown in the resource; a larger one is named, and read with the client."""

STATUS_STEPS: Final = 10
"""The last steps shown in the resource."""

STATUS_WAITS: Final = 5
"""What a run waits for, shown in the resource: whoever waits for a hundred children has `perdure tree`."""

TURN_BYTES: Final = 32 * 1024 * 1024
"""One turn, and one statement's batch of them: results that come in beyond it wait for the next turn, code that asks
for more at once fails. Postgres takes no message above 1 GB, and a worker holds several copies on the way there."""

TURNS_PER_COMMIT: Final = 250
"""One statement's batch. More in one cost no less each, and of a few batches the next takes its turns meanwhile."""

ACTIVITY_CONVICTIONS: Final = 4
"""How many workers may die in a row of an activity that alone was on trial, before it is poison. One death by
coincidence is likely where machines fail all the time, four in a row are not; each costs the time that a lease has."""

PROBATION_SECONDS: Final = 0.5
"""The first trial of an activity; each later one is twice as long as the one before. Most killers kill at once."""

PROBATION_SECONDS_AT_MOST: Final = 60.0
"""The longest trial. Whoever kills later than this is not found out."""

TURN_SECONDS: Final = 10.0
"""How long the code of an instance may take from await to await, when the lease of its worker is long enough.
Microseconds are usual, and meanwhile nothing else of its worker goes on."""

CANCEL_GRACE_SECONDS: Final = 60.0
"""How long compensation may run after a cancel before the instance is ended by force."""

ACTIVITY_GRACE_SECONDS: Final = 30.0
"""How long an activity may clean up after it was cancelled, before it is cancelled once more, and so on."""

API_PAUSE_SECONDS: Final = 10.0
"""How long all activities leave an API server alone that was too busy for one of their requests, at most. It asks for
a second or a few; whoever is asked for more decides alone."""

HEARTBEAT_DETAIL_BYTES: Final = 16 * 1024
"""What a heartbeat may say: a place to go on from. Each is written to the database, up to one a second an activity."""

HEARTBEAT_WRITE_SECONDS: Final = 1.0
"""How often heartbeats are written at most, and how often running tasks of queues are looked after."""

HOLD_RETRY_SECONDS: Final = 60.0
"""How often a held (nondeterministic) instance is tried again, besides at the start of every worker."""

UNCONSUMED_SIGNALS: Final = 10_000
"""Signals of one instance that its code has not waited for. They are in memory at its owner, and carried along when it
continues as new; beyond this the sender is faster than the code, and only the sender can do something about it."""
