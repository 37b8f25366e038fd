"""The client: starting, signalling, steering, watching and removing instances from anywhere that reaches Postgres.

It speaks to the database only and needs no worker to be up. Given a worker of the same process it hears of ends without
asking. It knows no Kubernetes: resources come in by the operator, which uses the same tables.
"""

from __future__ import annotations

from perdure._core import lifecycle
from perdure._core.failure import Failure
from perdure.client.connection import LocalWorker
from perdure.client.instances import (
    ExecutionInfo,
    InstanceCount,
    InstanceFilter,
    InstanceHandle,
    InstanceInfo,
    InstancePage,
    InstanceWait,
    Page,
    Unoffered,
)
from perdure.client.queueing import QueueInfo, Queueing
from perdure.client.removing import Removing
from perdure.client.signalling import Fate, Signalling
from perdure.client.starting import OnNondeterminism, Starting
from perdure.client.steering import Steering
from perdure.client.waiting import Waiting

PHASES = lifecycle.PHASES
"""Every phase an instance can be in."""

__all__ = [
    "PHASES",
    "Client",
    "ExecutionInfo",
    "Failure",
    "Fate",
    "InstanceCount",
    "InstanceFilter",
    "InstanceHandle",
    "InstanceInfo",
    "InstancePage",
    "InstanceWait",
    "LocalWorker",
    "OnNondeterminism",
    "Page",
    "QueueInfo",
    "Unoffered",
]


class Client(Starting, Signalling, Steering, Removing, Queueing, Waiting):
    """Use `async with await Client.connect(dsn) as client`, or close it yourself. Bound to one event loop."""
