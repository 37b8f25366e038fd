"""Change a server that is there: its minor version, its settings, its resources, the size of its volume.

What is not named stays. The Pod begins anew when its template has changed, which the StatefulSet sees to; who needs the
server waits for it after that. Which activity has changed it stands at the StatefulSet, so that a second attempt gives
the answer of the first.
"""

from __future__ import annotations

from activities import names
from activities.kubernetes import fencing, fields, ownership
from activities.postgres import deploy, drift, manifests, objects, quantities, volumes
from activities.types import DeployPostgresInput, ObjectRef, ReconfigureInput, ReconfigureOutput
from perdure import ActivityContext, Manifest, activity, errors

__all__ = ["BY", "reconfigure_postgres"]

BY = "perdure.dev/reconfigured-by"
"""The annotation with the activity that has changed the server last, and whether it begins anew for it."""


@activity(names.RECONFIGURE_POSTGRES)
async def reconfigure_postgres(ctx: ActivityContext, input: ReconfigureInput) -> ReconfigureOutput:
    """Change what is named.

    Raises `ServerIncompleteError` when there is no StatefulSet, `ObjectNotOwnedError` when it is another owner's, and
    `NonRetryableError` for another major version or a smaller volume.
    """
    own = ownership.acting_for(ctx, input.owner)
    target = ObjectRef(api_version=objects.STATEFUL_SET[0], kind=objects.STATEFUL_SET[1], name=input.name)
    existing = await fencing.look(own, target)
    if existing is None:
        raise errors.ServerIncompleteError(input.name, ["StatefulSet"])
    by, _, said = fields.text(existing, "metadata", "annotations", BY).partition(" ")
    if by == ctx.idempotency_key:
        return ReconfigureOutput(changed=True, restart_needed=said == "restart")
    wanted = _wanted(input, existing)
    has_other_template = _has_other_template(wanted, existing)
    if not has_other_template and not await _is_to_grow(own, input, existing):
        return ReconfigureOutput(changed=False, restart_needed=False)
    note = f"{ctx.idempotency_key} {'restart' if has_other_template else 'grow'}"
    await deploy.apply_server(own, wanted, annotations={BY: note})
    return ReconfigureOutput(changed=True, restart_needed=has_other_template)


def _wanted(input: ReconfigureInput, existing: Manifest) -> DeployPostgresInput:
    """Give the server that it comes to: what is there, and what is named laid over it."""
    version, image = manifests.version_of(existing), manifests.image_of(existing)
    volume, storage = manifests.volume_of(existing)
    own_image = "" if image == f"postgres:{version}" else image
    parameters = {**manifests.parameters_of(existing), **input.parameters}
    return DeployPostgresInput(
        name=input.name,
        version=input.version or version,
        storage=input.storage or storage,
        volume=volume,
        host=input.host,
        image=own_image if input.version is None else "",
        parameters={key: value for key, value in parameters.items() if value},
        resources=input.resources or manifests.resources_of(existing),
    )


def _has_other_template(wanted: DeployPostgresInput, existing: Manifest) -> bool:
    """Say whether the Pod will be another one. Settings are compared both ways: one may have been taken away."""
    made = manifests.stateful_set(wanted.name, wanted.version, storage=wanted.storage, shape=deploy.shape_of(wanted))
    template: Manifest = {"template": fields.mapping(made, "spec", "template")}
    is_other = bool(drift.drifted_fields(template, fields.mapping(existing, "spec")))
    return is_other or wanted.parameters != manifests.parameters_of(existing)


async def _is_to_grow(ctx: ActivityContext, input: ReconfigureInput, existing: Manifest) -> bool:
    """Say whether the volume is to be larger than it is."""
    if input.storage is None:
        return False
    target = volumes.claim(input.name, manifests.volume_of(existing)[0])
    claim = await ctx.kubernetes.get(target.api_version, target.kind, target.name)
    size = fields.text(claim or {}, "spec", "resources", "requests", "storage") or manifests.volume_of(existing)[1]
    return quantities.parse_or_none(size) != quantities.parse_or_none(input.storage)
