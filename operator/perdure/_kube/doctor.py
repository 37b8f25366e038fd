"""`perdure doctor`: asks database and API server what an operator would need of them, and changes nothing.

It knows what is asked, and of whom; what the answers mean is `diagnosis`'s. It must not know who prints them.

Theory of operation. The checks are a table, in the order in which one thing needs another: a check whose need was not
met is left out, since the one that failed says why. An error in a check is what it found. Nothing waits: what is away
now is told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import yaml
from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Manifest
from perdure._engine import modules
from perdure._kube import access, conditions, crds, diagnosis, election, identity, looks, tie, verdict, waiting
from perdure._kube.api import base, orchestration, orchestration_schedule, orchestration_signal
from perdure._kube.client import Api
from perdure._kube.diagnosis import Finding, failed, ok, warning
from perdure._kube.rights import RIGHTS, Right
from perdure._store import connect, migrate
from perdure._store.resources import Resources
from perdure._store.store import Store, translated
from perdure.settings import Settings, masked

__all__ = ["KINDS", "About", "examine"]

KINDS = {
    "": orchestration.KIND,
    "signal": orchestration_signal.KIND,
    "schedule": orchestration_schedule.KIND,
}
"""The kinds that are examined, by the word that stands before NAMESPACE/NAME."""

_OPTIONAL = {"events", "namespaces"}
"""What the operator goes on without: Events, and knowing which cluster it is in."""


class About(NamedTuple):
    """One resource; `word` is its kind, as in `KINDS`."""

    word: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """As people type it."""
        return "/".join(filter(None, self))


@dataclasses.dataclass(slots=True)
class _Patient:
    """What is examined, and perhaps one resource that it is `about`.

    `well` is what later checks may use; `store` and `api` are there when `database` and `kubernetes` are well.
    """

    settings: Settings
    dsn: str
    about: About | None
    ending: contextlib.AsyncExitStack
    well: set[str] = dataclasses.field(default_factory=set)
    store: Store = dataclasses.field(init=False)
    api: Api = dataclasses.field(init=False)

    @property
    def lease_namespace(self) -> str | None:
        """Where controllers elect one; None where these settings want no election."""
        named = self.settings.lease_namespace
        wanted = election.is_wanted(
            self.settings.leader_election, is_in_pod=access.is_in_pod(), is_named=named is not None
        )
        return (named or self.api.namespace) if wanted else None


async def examine(settings: Settings, dsn: str, *, about: About | None = None) -> list[Finding]:
    """Give what every check has found."""
    findings: list[Finding] = []
    async with contextlib.AsyncExitStack() as ending:
        patient = _Patient(settings, dsn, about, ending)
        for name, needs, look in _CHECKS:
            if patient.well.issuperset(needs.split()):
                findings += [finding async for finding in _guarded(name, look(patient))]
    return findings


async def _guarded(name: str, found: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    try:
        with translated():
            async for finding in found:
                yield finding
    except errors.PerdureError as error:
        yield failed(name, str(error))
    except Exception as error:  # noqa: BLE001 - a border: whatever one check meets must hide no other finding
        yield failed(name, f"{type(error).__name__}: {error}")


# --- this process ----------------------------------------------------------------------------------------------------


async def _settings(patient: _Patient) -> AsyncIterator[Finding]:
    settings = patient.settings
    settings.codec()
    settings.password()
    yield ok("settings", f"valid; roles {', '.join(settings.roles)}")
    if "worker" in settings.roles:
        offered, _ = modules.load(settings.modules)
        names = ", ".join(settings.modules)
        yield ok("modules", f"{names}: {len(list(offered))} orchestrations")


# --- the database ----------------------------------------------------------------------------------------------------


async def _database(patient: _Patient) -> AsyncIterator[Finding]:
    settings = patient.settings
    patient.store = await Store.open(
        patient.dsn, application_name="perdure-doctor", codec=settings.codec(), password=settings.password()
    )
    patient.ending.push_async_callback(patient.store.close)
    await patient.store.fetch("server_look")  # the first call has a connection to make
    before = datetime.now(UTC)
    (row,) = await patient.store.fetch("server_look")
    now = before + (datetime.now(UTC) - before) / 2
    finding = diagnosis.postgres(masked(patient.dsn), row["version"], is_read_only=row["is_read_only"])
    if finding.result == "ok":
        patient.well.add("database")
    yield finding
    yield diagnosis.clock((now - row["now"]).total_seconds())


async def _schema(patient: _Patient) -> AsyncIterator[Finding]:
    connection = await connect.dedicated(patient.dsn, password=patient.settings.password())
    try:
        await migrate.check(connection)
    finally:
        await connection.close()
    patient.well.add("schema")
    yield ok("schema", f"up to date: {migrate.files()[-1].name}")


async def _workers(patient: _Patient) -> AsyncIterator[Finding]:
    rows = await patient.store.fetch("workers_live")
    live = [msgspec.convert(dict(row), diagnosis.Worker) for row in rows]
    for finding in diagnosis.workers(live, needs_cluster=patient.settings.kubernetes != "off"):
        yield finding
    for row in await patient.store.fetch("instance_unoffered"):
        wanted = f"{row['name']}@{row['version']}".rstrip("@")
        yield warning(
            "versions",
            f"{wanted}: {row['instances']} run(s) wait, and no live worker offers it",
            todo="Start a worker that has this version (PERDURE_MODULES).",
        )


# --- the cluster -----------------------------------------------------------------------------------------------------


async def _kubernetes(patient: _Patient) -> AsyncIterator[Finding]:
    if patient.settings.kubernetes == "off":
        yield ok("kubernetes", "not used (PERDURE_KUBERNETES=off)")
        if patient.about is not None:
            todo = "perdure get ID shows a run, with what it waits for."
            yield failed(str(patient.about), "without a cluster there are no resources", todo=todo)
        return
    patient.api = await Api.connect()
    patient.ending.push_async_callback(patient.api.close)
    version = await patient.api.read("/version")
    patient.well.add("kubernetes")
    yield diagnosis.kubernetes(version)


async def _definitions(patient: _Patient) -> AsyncIterator[Finding]:
    served: dict[str, Manifest] = {}
    try:
        described = await patient.api.read(f"/openapi/v3/apis/{base.API_VERSION}")
    except errors.KubernetesApiError as error:
        if error.status != 404:  # noqa: PLR2004 - no such group or version
            raise
    else:
        served = _served(described)
    for text in crds.render_all().values():
        spec = yaml.safe_load(text)["spec"]
        kind = spec["names"]["kind"]
        ours = spec["versions"][0]["schema"]["openAPIV3Schema"]
        yield diagnosis.definition(kind, ours=ours, served=served.get(kind))


def _served(described: Manifest) -> dict[str, Manifest]:
    """Find the schemas of kinds in an OpenAPI document."""
    components = described.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return {
        name.rpartition(".")[2]: schema
        for name, schema in (schemas.items() if isinstance(schemas, dict) else ())
        if isinstance(schema, dict)
    }


async def _owner(patient: _Patient) -> AsyncIterator[Finding]:
    this = await tie.uid_or_none(patient.api)
    rows = await patient.store.fetch("installation_read")
    tied_to = rows[0]["cluster_uid"] if rows else None
    yield diagnosis.owner(tied_to, this, adopted=patient.settings.adopt_cluster)


async def _rights(patient: _Patient) -> AsyncIterator[Finding]:
    asked = [one for right in RIGHTS if right.where not in {"runs", "everybody"} for one in _questions(patient, right)]
    answers = await asyncio.gather(*(identity.may(patient.api, verb, **where) for verb, where in asked))
    missing = [one for one, is_allowed in zip(asked, answers, strict=True) if not is_allowed]
    for verb, where in missing:
        call = errors.KubernetesCall(
            verb,
            "/".join(part for part in (where["resource"], where.get("subresource")) if part),
            where["group"],
            where.get("namespace", ""),
            where.get("name", ""),
        )
        tell = warning if where["resource"] in _OPTIONAL else failed
        scope = "" if where.get("namespace") else " in the whole cluster"
        yield tell(
            "rights", f"not allowed: {call}{scope}", todo="Grant it to the operator: docs/identity.md has the list."
        )
    if not missing:
        yield ok("rights", f"all {len(asked)} that the operator needs")


def _questions(patient: _Patient, right: Right) -> Iterator[tuple[str, dict[str, str]]]:
    """Give what to ask for a right: a verb, and the attributes of an access review."""
    resource, _, subresource = right.resource.partition("/")
    lease = patient.lease_namespace
    places: dict[str, tuple[str, ...]] = {
        "cluster": ("",),
        "watched": tuple(patient.settings.namespaces) or ("",),
        "own": () if lease is None else (lease,),
    }
    for namespace in places[right.where]:
        for verb in right.verbs:
            # A rule about named objects cannot hold what is made: it has no name yet.
            named = (patient.settings.lease_name,) if resource == "leases" and verb != "create" else right.names
            for name in named or ("",):
                where = {"group": right.group, "resource": resource, "subresource": subresource}
                yield verb, where | {"namespace": namespace, "name": name}


async def _identity(patient: _Patient) -> AsyncIterator[Finding]:
    for namespace in patient.settings.namespaces or ("",):
        is_allowed = await identity.may_impersonate(patient.api, namespace)
        yield diagnosis.impersonation(namespace, is_allowed=is_allowed)


async def _leader(patient: _Patient) -> AsyncIterator[Finding]:
    namespace, name = patient.lease_namespace, patient.settings.lease_name
    if namespace is None:
        return
    found = await patient.api.get("coordination.k8s.io/v1", "Lease", name, namespace=namespace)
    claim = None if found is None else election.claim_of(found)
    yield diagnosis.leader(f"Lease {namespace}/{name}", claim, now=datetime.now(UTC))


# --- one resource ----------------------------------------------------------------------------------------------------


async def _resource(patient: _Patient) -> AsyncIterator[Finding]:
    if patient.about is None:
        return
    kind, shown = KINDS[patient.about.word], str(patient.about)
    found = await patient.api.get(base.API_VERSION, kind, patient.about.name, namespace=patient.about.namespace)
    if found is None:
        yield failed(shown, f"there is no such {kind}", todo=f"kubectl get {kind.lower()}s -A shows what there is.")
    elif patient.about.word:
        yield diagnosis.shown(shown, found)
    else:
        yield await _account(patient.api, patient.about.namespace, _part(found, "spec"))
        async for finding in _run(patient, shown, found):
            yield finding


async def _run(patient: _Patient, shown: str, found: Manifest) -> AsyncIterator[Finding]:
    metadata = _part(found, "metadata")
    resources = Resources(patient.store.pool, patient.store.sealing)
    facts = await resources.facts([UUID(str(metadata["uid"]))])
    if not facts:
        why = _ready_message(_part(found, "status"))
        yield failed(
            shown, f"not taken in{why}", todo="See what it says, else whether a controller watches this namespace."
        )
        return
    (fact,) = facts
    if fact.generation != metadata["generation"]:
        yield warning(
            shown,
            f"generation {metadata['generation']} is not taken in, only {fact.generation}",
            todo="See its conditions, and the checks of leader and rights.",
        )
    last = None if fact.instance_id is None else looks.Shown(fact.instance_id)
    turns = await resources.turns({fact.instance_id: (0, -1)}) if fact.instance_id is not None else []
    offers = sorted({offer for offered in await resources.offers() for offer in offered})
    known = looks.to_facts(fact, looks.Look(fact, last, turns).folded(), offers=offers)
    waits = waiting.waiting_for(known)
    yield diagnosis.run(shown, fact.instance_id or "", judged=verdict.judge(known), waits=waits)


async def _account(api: Api, namespace: str, spec: Manifest) -> Finding:
    """Ask whether a run of this spec may act."""
    run_as = identity.run_as(namespace, str(spec.get("serviceAccountName") or ""))
    try:
        await identity.Identities(api).preflight(run_as)
    except (errors.ServiceAccountMissingError, errors.ImpersonationForbiddenError) as error:
        tell = failed if spec.get("serviceAccountName") else warning
        return tell("identity", str(error), todo="A run that only computes needs no ServiceAccount.")
    return ok("identity", f"runs may act as {run_as}")


def _part(manifest: Manifest, name: str) -> dict[str, JsonValue]:
    part = manifest.get(name)
    return part if isinstance(part, dict) else {}


def _ready_message(status: Manifest) -> str:
    ready = conditions.by_type(status).get("Ready")
    return "" if ready is None else f": {ready.get('reason')}: {ready.get('message')}"


_Look = Callable[[_Patient], AsyncIterator[Finding]]
_CHECKS: tuple[tuple[str, str, _Look], ...] = (
    ("settings", "", _settings),
    ("database", "", _database),
    ("schema", "database", _schema),
    ("kubernetes", "", _kubernetes),
    ("kinds", "kubernetes", _definitions),
    ("owner", "schema kubernetes", _owner),
    ("rights", "kubernetes", _rights),
    ("identity", "kubernetes", _identity),
    ("leader", "kubernetes", _leader),
    ("workers", "schema", _workers),
    ("resource", "schema kubernetes", _resource),
)
"""Each check, what must be well before it, and how it looks."""
