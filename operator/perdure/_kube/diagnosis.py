"""What `perdure doctor` makes of what it has read: values in, findings out, each with what to do.

It knows how an installation should be; it must not know how anything is asked for (`doctor`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec
from pydantic import JsonValue

from perdure._core.activity import Manifest
from perdure._kube import conditions
from perdure._kube.election import Claim
from perdure._kube.verdict import Verdict
from perdure._kube.waiting import Waiting

__all__ = [
    "Finding",
    "Worker",
    "clock",
    "definition",
    "failed",
    "fields",
    "impersonation",
    "kubernetes",
    "leader",
    "ok",
    "owner",
    "postgres",
    "run",
    "shown",
    "warning",
    "workers",
]

_OLDEST_POSTGRES = 15
_OLDEST_KUBERNETES = (1, 30)
_SKEW_SECONDS = 5.0
_SHOWN = 5


class Finding(msgspec.Struct, frozen=True):
    """What one check came to. `todo` is empty when there is nothing to do."""

    check: str
    result: Literal["ok", "warning", "failed"]
    found: str
    todo: str = ""


class Worker(msgspec.Struct, frozen=True):
    """A worker that lives: who it is, and how many orchestrations it offers."""

    description: str
    started_at: datetime.datetime
    has_cluster: bool
    offered: int
    queues: Sequence[str]


def ok(check: str, found: str) -> Finding:
    """All is as it should be."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, *, todo: str) -> Finding:
    """Work goes on, but somebody should know."""
    return Finding(check, "warning", found, todo)


def failed(check: str, found: str, *, todo: str = "") -> Finding:
    """Something does not work; an error of ours says itself what to do."""
    return Finding(check, "failed", found, todo)


def postgres(address: str, version: int, *, is_read_only: bool) -> Finding:
    """Judge a server by `server_version_num`."""
    found = f"{address}, Postgres {version // 10_000}.{version % 10_000}"
    if version // 10_000 < _OLDEST_POSTGRES:
        return failed("database", found, todo=f"Use Postgres {_OLDEST_POSTGRES} or newer.")
    if is_read_only:
        return failed(
            "database", f"{found}, which only reads", todo="Name the primary, or target_session_attrs=read-write."
        )
    return ok("database", found)


def clock(ahead_seconds: float) -> Finding:
    """Judge how far the clock of this machine is ahead of the database's."""
    found = f"{abs(ahead_seconds):.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} the database"
    if abs(ahead_seconds) <= _SKEW_SECONDS:
        return ok("clock", found)
    return warning(
        "clock",
        found,
        todo="Set the clock (NTP). The database's decides, but times in logs disagree, and tokens may be refused.",
    )


def owner(tied_to: UUID | None, this: UUID | None, *, adopted: UUID | None) -> Finding:
    """Judge which cluster the database belongs to; `this` is None when that cannot be known."""
    if tied_to is None:
        return ok("owner", "the database belongs to no cluster yet")
    if this is None or tied_to == this:
        return ok("owner", f"cluster {tied_to}" + (", this one" if this else ""))
    if tied_to == adopted:
        return warning(
            "owner",
            f"cluster {tied_to}, and this is {this}",
            todo="The operator takes it over at its start, as it is told.",
        )
    return failed(
        "owner",
        f"cluster {tied_to}, and this is {this}",
        todo=f"Use another database, or, if that cluster is gone, set PERDURE_ADOPT_CLUSTER={tied_to}.",
    )


def kubernetes(version: Mapping[str, JsonValue]) -> Finding:
    """Judge an API server by what it says at /version."""
    found = str(version.get("gitVersion", "of an unknown version"))
    parts = [str(version.get(part, "")).rstrip("+") for part in ("major", "minor")]
    known = tuple(int(part) for part in parts if part.isdecimal())
    if len(known) == len(parts) and known < _OLDEST_KUBERNETES:
        return failed("kubernetes", found, todo=f"Use Kubernetes {'.'.join(map(str, _OLDEST_KUBERNETES))} or newer.")
    return ok("kubernetes", found)


def fields(schema: Mapping[str, JsonValue], path: str = "") -> Iterator[str]:
    """Name every field of a schema; what every object has (`metadata` and so on) is left out."""
    properties = schema.get("properties")
    for name, below in properties.items() if isinstance(properties, dict) else ():
        if (path or name in {"spec", "status"}) and isinstance(below, dict):
            yield f"{path}{name}"
            yield from fields(below, f"{path}{name}.")
    for each in ("items", "additionalProperties"):
        below = schema.get(each)
        if isinstance(below, dict):
            yield from fields(below, path)


def definition(kind: str, *, ours: Mapping[str, JsonValue], served: Mapping[str, JsonValue] | None) -> Finding:
    """Compare a schema of this release with the one that is served, field by field."""
    if served is None:
        return failed(f"kind {kind}", "not served", todo="Install the definitions: perdure crds | kubectl apply -f-")
    wanted, there = set(fields(ours)), set(fields(served))
    lacking, unknown = sorted(wanted - there), sorted(there - wanted)
    if lacking:
        return failed(
            f"kind {kind}",
            f"older than this release: it lacks {_some(lacking)}",
            todo="Update the definitions: perdure crds | kubectl apply -f-",
        )
    if unknown:
        return warning(
            f"kind {kind}",
            f"newer than this release: it also has {_some(unknown)}",
            todo="Update the operator, which ignores these.",
        )
    return ok(f"kind {kind}", "served, as of this release")


def impersonation(namespace: str, *, is_allowed: bool) -> Finding:
    """Judge whether runs may act as any ServiceAccount of a namespace; an empty one is the whole cluster."""
    if namespace and is_allowed:
        return ok("identity", f"runs may act in {namespace}")
    if namespace:
        return warning(
            "identity",
            f"runs may not act in {namespace} as every ServiceAccount",
            todo="Grant it, if they are to (docs/identity.md). NAMESPACE/NAME asks for the account of one.",
        )
    if is_allowed:
        return warning(
            "identity",
            "runs may act as every ServiceAccount of the cluster",
            todo="Grant it by namespace (docs/identity.md): so whoever holds these credentials owns the cluster.",
        )
    return ok("identity", "runs may act where it is granted by namespace, not in the whole cluster")


def workers(live: Sequence[Worker], *, needs_cluster: bool) -> Iterator[Finding]:
    """Judge who is there to work."""
    for worker in live:
        queues = f", queues {', '.join(worker.queues)}" if worker.queues else ""
        where = "" if worker.has_cluster else ", without a cluster"
        yield ok("worker", f"{worker.description}: {worker.offered} orchestrations{queues}{where}")
    if not live:
        yield failed("worker", "none lives: nothing runs", todo="Start one (perdure run), or see why its pods do not.")
    elif needs_cluster and not any(worker.has_cluster for worker in live):
        yield failed(
            "worker", "none has a cluster: no run of a resource runs", todo="Start one without PERDURE_KUBERNETES=off."
        )


def leader(lease: str, claim: Claim | None, *, now: datetime.datetime) -> Finding:
    """Judge a Lease. Its times are by the clock of its holder, so only a Lease long over is told of."""
    if claim is None or not claim.holder:
        return failed("leader", f"nobody holds {lease}: no resource is taken in", todo="Start a controller.")
    try:
        age = (now - datetime.datetime.fromisoformat(claim.renewed)).total_seconds()
    except ValueError:
        return warning("leader", f"{claim.holder}, which does not say since when", todo=f"See who writes to {lease}.")
    if age > claim.lease_seconds + _SKEW_SECONDS:
        found = f"{claim.holder} has not renewed {lease} for {age:.0f} s: no resource is taken in"
        return failed("leader", found, todo="Start a controller, or see why it cannot renew.")
    return ok("leader", claim.holder)


def run(name: str, instance_id: str, *, judged: Verdict, waits: Sequence[Waiting]) -> Finding:
    """Say of one run what it does, or why it does nothing."""
    said = f"{judged.phase}, {judged.reason}: {judged.message}".rstrip(": ")
    found = "; ".join([said, *(f"waits for {_named(wait)}" for wait in waits)])
    more = (
        f"perdure get {instance_id} shows it, perdure history {instance_id} how it came there." if instance_id else ""
    )
    if judged.conditions["Stalled"] == "True" and judged.phase != "Cancelled":
        return failed(name, found, todo=more or "See its conditions: kubectl describe.")
    if any(wait.kind in {"Worker", "Queue"} for wait in waits):
        return warning(name, found, todo=f"Start a worker that has it. {more}".strip())
    return ok(name, found)


def shown(name: str, resource: Manifest) -> Finding:
    """Say of a signal or a schedule what its status says, and whether that is about what is asked for now."""
    metadata, status = resource.get("metadata"), resource.get("status")
    generation = metadata.get("generation") if isinstance(metadata, dict) else None
    known = conditions.by_type(status if isinstance(status, dict) else {})
    ready = known.get("Ready", {})
    found = f"{ready.get('reason')}: {ready.get('message')}" if ready else "not taken in"
    if ready.get("observedGeneration") != generation:
        return warning(
            name,
            f"generation {generation} is not taken in; {found}" if ready else found,
            todo="See the checks of leader and rights, and whether a controller watches this namespace.",
        )
    if known.get("Stalled", {}).get("status") == "True":
        return failed(name, found, todo="See its conditions: kubectl describe.")
    return ok(name, found)


def _named(wait: Waiting) -> str:
    until = f"until {wait.until.isoformat()}" if wait.until else ""
    return " ".join(word for word in (wait.kind.lower(), wait.name, until) if word)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
