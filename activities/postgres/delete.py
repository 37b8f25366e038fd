"""Delete a server: the StatefulSet with its Pods, the Service, the volumes, and last the Secret.

In this order, each gone before the next: no Service leads to a Pod that ends, no volume goes from under a server, and
the Secret, whose owner decides about all of it, is there until nothing else is. Before anything is deleted all objects
are looked at; one that is another owner's stops it. They are looked for again when all are gone, a few times: until it
hears that the StatefulSet is, its controller goes on making Pods and claims.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import delete, fields, ownership
from activities.postgres import jobs, objects
from activities.types import DeleteInput, DeletePostgresObjectsInput, DeletePostgresObjectsOutput, ObjectRef
from perdure import ActivityContext, Manifest, activity

__all__ = ["delete_postgres_objects"]

_LABELLED = frozenset({"Pod", "PersistentVolumeClaim"})
"""Made by controllers: they carry the labels of the server, and no owner."""

_LOOKS = 3
"""So often what is there is deleted; somebody who goes on making more must not keep us for ever."""


@activity(names.DELETE_POSTGRES_OBJECTS)
async def delete_postgres_objects(
    ctx: ActivityContext, input: DeletePostgresObjectsInput
) -> DeletePostgresObjectsOutput:
    """Delete what there is of a server, and wait until it is gone; what is gone already is fine.

    Raises `ObjectNotOwnedError`, before anything is deleted or for what another owner makes meanwhile, and
    `ObjectNotReadyError` for what is not gone in time.
    """
    own = ownership.acting_for(ctx, input.owner)
    detail = ctx.heartbeat_detail
    deleted = [str(each) for each in detail] if isinstance(detail, list) else []
    found = await _to_go(own, input)
    for _ in range(_LOOKS):
        targets = [each for each in found if each.kind != "Secret"]
        await _delete(own, input, targets, deleted)
        if not (targets and input.wait_seconds):
            break
        found = await _to_go(own, input)
    backups = ObjectRef(api_version="v1", kind="PersistentVolumeClaim", name=jobs.claim_name(input.name))
    secrets = [each for each in found if each.kind == "Secret"]
    await _delete(own, input, [*([backups] * input.delete_backups), *secrets], deleted)
    return DeletePostgresObjectsOutput(deleted=deleted)


async def _to_go(own: ActivityContext, input: DeletePostgresObjectsInput) -> list[ObjectRef]:
    """Look for what is to go, in the order in which it goes; backups are not looked for."""
    found = [each for each in await objects.of_server(own, input.name) if not _is_to_stay(each, input)]
    for each in found:
        if fields.text(each, "kind") not in _LABELLED:
            ownership.require_own(each, own.instance_id)
    targets = [objects.reference(each) for each in found]
    return [each for each in targets if input.delete_volumes or each.kind not in objects.KINDS_OF_DATA]


async def _delete(
    own: ActivityContext, input: DeletePostgresObjectsInput, targets: list[ObjectRef], deleted: list[str]
) -> None:
    """Delete one after the other, and tell which in `deleted`."""
    for target in targets:
        one = DeleteInput(
            api_version=target.api_version,
            kind=target.kind,
            name=target.name,
            propagation="Foreground",
            wait_seconds=input.wait_seconds,
            require_own=target.kind not in _LABELLED,
        )
        if await delete.delete_one(own, one) and str(target) not in deleted:
            deleted.append(str(target))
            own.heartbeat(deleted)


def _is_to_stay(found: Manifest, input: DeletePostgresObjectsInput) -> bool:
    """Say whether this is a Service of another name than the one that is to go."""
    is_service = fields.text(found, "kind") == "Service"
    return is_service and input.host not in {"", fields.text(found, "metadata", "name")}
