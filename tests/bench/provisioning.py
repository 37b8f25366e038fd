"""Postgres servers by the API server: many create-postgres at once, by several workers that share one budget.

Who asked for what stands in the audit log of the API server, since the operators here are a ServiceAccount of their
own: what they asked for as themselves, and what for runs. No container runs; a stand-in says that Pods are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from perdure._core.activity import Manifest
from perdure._kube.api.base import GROUP
from perdure._store.embedded import EmbeddedPostgres
from tests.bench.place import LOOK_SECONDS, NAMESPACE, PATIENCE_SECONDS, Place, cpu_seconds, load, open_place
from tests.e2e.limited import Limited
from tests.e2e.operator_process import Operator

_EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "create-postgres.yaml"
_ORCHESTRATION = "workflows::orchestration::create-postgres"
_ACCOUNT = "provisioner"
_REST_SECONDS = 3_600
"""What actors rest between two looks: while this plays, each looks once."""
_KINDS = (("apps/v1", "StatefulSet", ""), ("v1", "Service", ""), ("v1", "Secret", "-credentials"))
_RUNNING = "select count(*) from inventory.servers where state = 'running' and released_at is null and actor <> ''"
_LOOKED_AFTER = f"{_RUNNING} and last_ok_at is not null"
_ACTORS = (
    "select count(*) from instances where name like '%postgres-actor' and finished_at is null and parent_id is null"
)


class _Asked(NamedTuple):
    """One request of an operator, as the API server wrote it down."""

    at: float
    verb: str
    resource: str
    group: str
    is_of_run: bool


async def provisioned(server: EmbeddedPostgres, *, count: int, workers: int) -> dict[str, object]:
    """Create so many servers at once beside so many workers; wait until all are ready, shown, and looked after once."""
    async with open_place(server) as place, contextlib.AsyncExitStack() as open_:
        limited = await Limited.made(place.cluster, place.cluster.kubeconfig.parent, runs=[NAMESPACE])
        await _allow_runs(place)
        operators = [
            await open_.enter_async_context(
                place.operator(limited.kubeconfig, MODULES="workflows,activities", ROLES=roles)
            )
            for roles in ["controller,worker", *["worker"] * (workers - 1)]
        ]
        cpu, began = sum(map(cpu_seconds, operators)), time.perf_counter()
        await place.create(count, _spec)
        created = time.perf_counter() - began
        await place.all_shown(count)
        took = time.perf_counter() - began
        await _until_looked_after(place, count)
        cpu = sum(map(cpu_seconds, operators)) - cpu
        await place.check_shown(count)
        await _check_objects(place, count)
        return {
            "all_ready_s": round(took, 1),
            "created_s": round(created, 1),
            **_spent(_asked_by(limited, place), count),
            **await _throttled(operators),
            "operators_cpu_ms_per_run": round(1000 * cpu / count, 1),
            "rss_mb": max(place.peak_mb(operator) for operator in operators),
            "load": load(),
        }


async def _allow_runs(place: Place) -> None:
    """Give the runs their ServiceAccount, with the rights of the page."""
    manifests = [one for one in yaml.safe_load_all(_EXAMPLE.read_text()) if one["kind"] != "Orchestration"]
    given = yaml.safe_dump_all(manifests)
    await asyncio.to_thread(place.cluster.kubectl, f"--namespace={NAMESPACE}", "apply", "--filename=-", input=given)


def _spec(number: int) -> Manifest:
    return {
        "orchestration": _ORCHESTRATION,
        "serviceAccountName": _ACCOUNT,
        "input": {"name": _name(number), "verifyConnection": False, "periodSeconds": _REST_SECONDS},
    }


def _name(number: int) -> str:
    return f"server-{number:06}"


async def _until_looked_after(place: Place, count: int) -> None:
    """Return when every server was found well by its actor."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await place.database.fetchval(_LOOKED_AFTER) < count:  # noqa: ASYNC110 - another process: no event
            await asyncio.sleep(LOOK_SECONDS)


async def _check_objects(place: Place, count: int) -> None:
    """Raise unless each server has its objects, its row and its actor, and there is nothing else."""
    names = {_name(number) for number in range(count)}
    for api_version, kind, ending in _KINDS:
        listed = await place.api.list(api_version, kind, namespace=NAMESPACE, label_selector="perdure.dev/instance")
        found = Counter(str(one["metadata"]["name"]) for one in listed if isinstance(one["metadata"], dict))
        wanted = Counter(f"{name}{ending}" for name in names)
        _require(found == wanted, f"of each {kind} there should be one a server: {(found - wanted) + (wanted - found)}")
    for query in (_RUNNING, _ACTORS):
        found_rows = await place.database.fetchval(query)
        _require(found_rows == count, f"{count} rows expected, {found_rows} found: {query}")


def _require(is_right: bool, message: str) -> None:  # noqa: FBT001 - reads like assert, and stays under -O
    if not is_right:
        raise RuntimeError(message)


def _asked_by(limited: Limited, place: Place) -> list[_Asked]:
    """Read what the operators have asked for, in the order of time; each request once, whatever stages it had."""
    assert place.cluster.control_plane is not None
    events: dict[str, dict[str, Any]] = {}
    for line in place.cluster.control_plane.audit_log.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] == limited.user:
            events.setdefault(event["auditID"], event)
    asked = []
    for event in events.values():
        about = event.get("objectRef", {})
        at = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        resource = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
        asked.append(_Asked(at, event["verb"], resource, about.get("apiGroup", ""), "impersonatedUser" in event))
    return sorted(asked)


def _spent(asked: Sequence[_Asked], count: int) -> dict[str, object]:
    """Say what the runs asked for, what was written for them, and how fast."""
    of_runs = [one for one in asked if one.is_of_run]
    statuses = [one for one in asked if one.group == GROUP and one.verb == "patch"]
    kinds = Counter(f"{one.verb} {one.resource}" for one in of_runs)
    times = [one.at for one in of_runs]
    return {
        "requests_per_run": round(len(of_runs) / count, 2),
        "status_writes_per_run": round(len(statuses) / count, 2),
        "other_requests_of_operators": len(asked) - len(of_runs) - len(statuses),
        "by_kind": {kind: round(number / count, 2) for kind, number in kinds.most_common()},
        "peak_in_1_s": _peak(times, 1.0),
        "peak_in_10_s": _peak(times, 10.0),
    }


def _peak(times: Sequence[float], seconds: float) -> int:
    """Give the most that fell into any window of so many seconds."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _throttled(operators: Sequence[Operator]) -> dict[str, object]:
    readings = [await operator.reading("kubernetes_throttled_total") for operator in operators]
    return {"throttled": round(sum(readings))}
