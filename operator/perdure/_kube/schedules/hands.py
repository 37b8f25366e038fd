"""What is done to the API server for schedules: creating, replacing and deleting Orchestrations, and showing statuses.

It knows one call or two for each of these, and what the answers mean; it must not know when any of it is due
(`keeper`), nor cron. It decides by the store and by what the API server answers, never by a cache.

Theory of operation. Everything may be done twice, by two controllers or by one before and one after a crash. An
Orchestration is created under the name of its tick: the second creation is refused, and whose it is tells its owner
reference. One whose run is known to the store was created, also when it is gone again and its name is free: it is not
created a second time. Patches and deletions name the uid that they are meant for.
"""

from __future__ import annotations

import datetime
import json
from uuid import UUID

import msgspec
import structlog
from pydantic import JsonValue

from perdure import errors
from perdure._core.activity import Manifest, Preconditions
from perdure._kube.api import base, orchestration, orchestration_schedule
from perdure._kube.api.refusals import Refusal
from perdure._kube.client import Api
from perdure._kube.schedules import deciding, runs, view
from perdure._kube.status_writer import Outcome, StatusWriter, Taken
from perdure._store.schedules import Facts, Lost, Problem, Schedules, TickKey, Uncreated

__all__ = ["Hands"]

_log = structlog.get_logger(__name__)

_REFUSED_FOR_GOOD = frozenset({400, 413, 422})
"""What an Orchestration of this spec gets however often it is created. Anything else somebody may put right."""


class Hands:
    """The calls. Each raises what the database raises, and `KubernetesUnavailableError` when there is no answer.

    But for `show`: it gives what came of the write.
    """

    def __init__(self, schedules: Schedules, api: Api, *, writer: StatusWriter) -> None:
        self._schedules = schedules
        self._api = api
        self._writer = writer
        self.created = 0
        self.missed = 0

    async def create(self, tick: Uncreated) -> bool:
        """Have the Orchestration of a tick created, or give the tick up; False when it is to be tried again later."""
        spec = json.loads(tick.spec)
        plan = deciding.plan(tick.schedule_uid, spec)
        try:
            if not isinstance(plan, Refusal) and (plan.is_suspended or _is_too_late(plan, tick)):
                return await self._find(tick, plan)
            return await self._create(tick, spec, replaces=not isinstance(plan, Refusal) and plan.policy == "Replace")
        except errors.KubernetesUnavailableError:
            raise
        except errors.KubernetesApiError as error:
            await self._refused(tick, error, is_for_good=False)
            return False

    async def _find(self, tick: Uncreated, plan: deciding.Plan) -> bool:
        """Create nothing any more, but note what was created before somebody could."""
        uid = tick.seen_uid
        if uid is None:
            found = await self._get(tick.namespace, tick.orchestration)
            uid = None if found is None or not runs.is_ours(found, tick.schedule_uid) else _uid(found)
        if uid is not None:
            await self._note(tick, uid, event="schedule_run_found")
        elif not _is_too_late(plan, tick):
            return False
        else:
            await self._give_up(
                tick.key, "TooLate", f"It could not be created within {plan.deadline_seconds} seconds of its time."
            )
        return True

    async def _create(self, tick: Uncreated, spec: dict[str, JsonValue], *, replaces: bool) -> bool:
        made: Manifest | None = None
        if tick.seen_uid is None:
            if replaces:
                await self._cancel_replaced(tick)
            manifest = runs.manifest(
                tick.schedule_uid, spec, namespace=tick.namespace, name=tick.name, tick=tick.tick_at
            )
            try:
                made = await self._api.create(manifest, field_manager=runs.FIELD_MANAGER)
            except errors.KubernetesApiError as error:
                if error.status not in _REFUSED_FOR_GOOD:
                    raise
                await self._refused(tick, error, is_for_good=True)
                return True
            self.created += made is not None
        found = made or await self._get(tick.namespace, tick.orchestration)
        if found is not None and not runs.is_ours(found, tick.schedule_uid):
            await self._give_up(
                tick.key,
                "NameTaken",
                f"There is an Orchestration {tick.orchestration} that this schedule did not create.",
            )
            return True
        uid = tick.seen_uid if found is None else _uid(found)
        await self._note(tick, uid, event="schedule_ran" if made else "schedule_run_found")
        return True

    async def _note(self, tick: Uncreated, uid: UUID | None, *, event: str) -> None:
        if uid is None:
            return  # it went between two calls: whether it had begun to run, the next look knows
        await self._schedules.created([(tick.key, uid)])
        _log.info(event, schedule=f"{tick.namespace}/{tick.name}", orchestration=tick.orchestration)

    async def _cancel_replaced(self, tick: Uncreated) -> None:
        """Ask the runs of earlier ticks to end; their code may take its time for that."""
        reason = f"Replaced by {tick.orchestration}, at the next tick of schedule {tick.name}."
        for name, uid in await self._schedules.replaced(tick.key):
            patch: list[JsonValue] = [
                {"op": "test", "path": "/metadata/uid", "value": str(uid)},
                {"op": "add", "path": "/spec/cancel", "value": {"reason": reason}},
            ]
            try:
                await self._api.json_patch(
                    orchestration.API_VERSION, orchestration.KIND, name=name, namespace=tick.namespace, patch=patch
                )
            except errors.KubernetesPatchTestError:
                continue  # somebody else has that name now: there is nothing left to replace

    async def _refused(self, tick: Uncreated, error: errors.KubernetesApiError, *, is_for_good: bool) -> None:
        is_forbidden = isinstance(error, errors.KubernetesForbiddenError)
        problem = Problem("CreationForbidden" if is_forbidden else "CreationRefused", str(error))
        _log.error("schedule cannot create", schedule=f"{tick.namespace}/{tick.name}", error=str(error))
        self.missed += is_for_good
        await self._schedules.troubled(tick.key, problem, is_given_up=is_for_good, is_lasting=True)

    async def _give_up(self, tick: TickKey, reason: str, message: str) -> None:
        self.missed += 1
        await self._schedules.troubled(tick, Problem(reason, message), is_given_up=True, is_lasting=False)

    async def look_for(self, lost: Lost) -> None:
        """Find out whether an Orchestration that nobody has seen is there."""
        found = await self._get(lost.namespace, lost.orchestration)
        if found is None or _uid(found) != lost.orchestration_uid:
            await self._schedules.gone(lost.key)

    async def tidy(self, facts: Facts) -> None:
        """Delete the Orchestrations that are too many, and forget those that are gone."""
        over = [TickKey(facts.uid, tick.at) for tick in facts.ticks if tick.outcome is not None and tick.is_gone]
        for tick in view.surplus(facts):
            await self._api.delete(
                orchestration.API_VERSION,
                orchestration.KIND,
                tick.name,
                namespace=facts.namespace,
                preconditions=Preconditions(str(tick.orchestration_uid)),
            )
            over.append(TickKey(facts.uid, tick.at))
        if over:
            await self._schedules.tidied(over)

    async def show(self, facts: Facts) -> Outcome | None:
        """Write the status when it says something new, and give what came of that."""
        previous = None if facts.status is None else msgspec.json.decode(facts.status)
        built = view.build(facts, previous)
        outcome: Outcome | None = None
        version = facts.status_resource_version or 0
        if built != previous:
            about = base.Reference(orchestration_schedule.KIND, facts.namespace, facts.name, facts.uid)
            outcome = await self._writer.write_behind(about, built)
            if not isinstance(outcome, Taken):
                return outcome
            version = outcome.resource_version
        await self._schedules.shown(facts, msgspec.json.encode(built), resource_version=version)
        return outcome

    async def _get(self, namespace: str, name: str) -> Manifest | None:
        return await self._api.get(orchestration.API_VERSION, orchestration.KIND, name, namespace=namespace)


def _is_too_late(plan: deciding.Plan, tick: Uncreated) -> bool:
    if plan.deadline_seconds is None:
        return False
    return tick.now > tick.tick_at + plan.jitter + datetime.timedelta(seconds=plan.deadline_seconds)


def _uid(manifest: Manifest) -> UUID | None:
    metadata = manifest["metadata"]
    return UUID(str(metadata["uid"])) if isinstance(metadata, dict) else None
