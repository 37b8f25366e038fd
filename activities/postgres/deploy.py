"""Make the objects of a Postgres server: Secret, Service, StatefulSet.

The password is drawn here and goes to the API server and nowhere else: not into history, not into a log. The Secret is
created, never applied: the first attempt that gets through decides the password, every later one finds it, and of two
runs that were given the same name only one gets the Secret and with it the right to go on.
"""

from __future__ import annotations

import secrets

from activities import names
from activities.kubernetes import apply, ownership
from activities.postgres import manifests
from activities.types import DeployPostgresInput, DeployPostgresOutput
from perdure import ActivityContext, activity

__all__ = ["deploy_postgres"]

PASSWORD_BYTES = 24
"""192 bits, 32 characters: beyond guessing, and short enough for every client's configuration."""


@activity(names.DEPLOY_POSTGRES)
async def deploy_postgres(ctx: ActivityContext, input: DeployPostgresInput) -> DeployPostgresOutput:
    """Make or complete the server's objects in the run's own namespace.

    Raises `ObjectNotOwnedError` when one of them exists and is not this run's.
    """
    service = manifests.service(input.name)
    stateful_set = manifests.stateful_set(input.name, input.version, storage=input.storage)
    for manifest in (service, stateful_set):
        await apply.find_existing(ctx, manifest)
    await _ensure_credentials(ctx, input.name)
    await apply.apply_own(ctx, [service, stateful_set])
    return DeployPostgresOutput(
        host=manifests.host(input.name, ctx.kubernetes.namespace),
        port=manifests.PORT,
        database=manifests.DATABASE,
        secret_name=manifests.secret_name(input.name),
    )


async def _ensure_credentials(ctx: ActivityContext, name: str) -> None:
    """Create the Secret unless this run has done so before."""
    wanted = manifests.credentials(name, secrets.token_urlsafe(PASSWORD_BYTES))
    created = await ctx.kubernetes.create(
        ownership.labelled(wanted, ctx.instance_id), field_manager=ownership.FIELD_MANAGER
    )
    if created is None:
        await apply.find_existing(ctx, wanted)
