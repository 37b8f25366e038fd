"""Make the objects of a Postgres server: Secret, Service, StatefulSet.

The password is drawn here and goes to the API server and nowhere else: not into history, not into a log. The Secret is
created, never applied: the first attempt that gets through decides the password, every later one finds it, and of two
owners that were given the same name only one gets the Secret and with it the right to go on.

A server that is there is completed and brought to what is asked for. What a StatefulSet cannot change stays as it is
(its claim template), and what would not start is refused: data of one major version is not read by another.
"""

from __future__ import annotations

import secrets

from activities import names
from activities.kubernetes import apply, fields, ownership
from activities.postgres import manifests, objects, volumes
from activities.types import DeployPostgresInput, DeployPostgresOutput
from perdure import ActivityContext, Manifest, NonRetryableError, activity

__all__ = ["apply_server", "deploy_postgres", "shape_of"]

PASSWORD_BYTES = 24
"""192 bits, 32 characters: beyond guessing, and short enough for every client's configuration."""


@activity(names.DEPLOY_POSTGRES)
async def deploy_postgres(ctx: ActivityContext, input: DeployPostgresInput) -> DeployPostgresOutput:
    """Make or complete the server's objects in the run's own namespace.

    Raises `ObjectNotOwnedError` when one of them exists and is not this owner's, and `NonRetryableError` for another
    major version or volume than those of a server that is there.
    """
    await apply_server(ownership.acting_for(ctx, input.owner), input)
    return DeployPostgresOutput(
        host=manifests.host(input.host or input.name, ctx.kubernetes.namespace),
        port=manifests.PORT,
        database=manifests.DATABASE,
        secret_name=manifests.secret_name(input.name),
    )


def shape_of(input: DeployPostgresInput) -> manifests.Shape:
    """Give what differs from server to server."""
    return manifests.Shape(input.volume, input.image, input.parameters, input.resources)


async def apply_server(
    ctx: ActivityContext, input: DeployPostgresInput, *, annotations: Manifest | None = None
) -> None:
    """Make or complete the server's objects as those of the context's instance.

    `annotations` are for the StatefulSet. All objects are looked at before any is made.
    """
    service = manifests.service(input.name, input.host)
    wanted = manifests.stateful_set(input.name, input.version, storage=input.storage, shape=shape_of(input))
    its_service = await apply.find_existing(ctx, service)
    existing = await apply.find_existing(ctx, wanted)
    if existing is not None:
        _require_same_data(existing, input)
        wanted = _with_templates_of(existing, wanted)
    await _ensure_credentials(ctx, input.name)
    if annotations:
        wanted = fields.merged(wanted, {"metadata": {"annotations": annotations}})
    await apply.apply_own(ctx, [service, wanted], seen=[its_service, existing])
    if existing is not None:
        await volumes.grow(ctx, existing, name=input.name, storage=input.storage)


def _require_same_data(existing: Manifest, input: DeployPostgresInput) -> None:
    """Refuse what the server that is there cannot become while it keeps its volume."""
    version, (volume, _) = manifests.version_of(existing), manifests.volume_of(existing)
    if _major(version) != _major(input.version):
        message = (
            f"{ownership.describe(existing)} is Postgres {version}, and {input.version} would not start from its data. "
            "Use the orchestration upgrade-postgres, which dumps the data and restores it into a new volume."
        )
        raise NonRetryableError(message)
    if volume != input.volume:
        message = (
            f"{ownership.describe(existing)} has its data in the volume {volume}, not {input.volume}. A StatefulSet "
            "cannot change that: delete it first (the claims stay), then deploy again."
        )
        raise NonRetryableError(message)


def _with_templates_of(existing: Manifest, wanted: Manifest) -> Manifest:
    """Give the manifest with the size of the claim template that is there, which nobody can change."""
    [template] = fields.items(wanted, "spec", "volumeClaimTemplates")
    _, storage = manifests.volume_of(existing)
    same = fields.merged(template, {"spec": {"resources": {"requests": {"storage": storage}}}})
    return fields.merged(wanted, {"spec": {"volumeClaimTemplates": [same]}})


def _major(version: str) -> str:
    return version.partition(".")[0].partition("-")[0]


async def _ensure_credentials(ctx: ActivityContext, name: str) -> None:
    """Create the Secret unless this owner has done so before."""
    wanted = manifests.credentials(name, secrets.token_urlsafe(PASSWORD_BYTES))
    await objects.ensure(ctx, wanted)
