"""Say where a server is, for whoever is to use it: an address, and the name of the Secret, never what is in it."""

from __future__ import annotations

from activities import names
from activities.kubernetes import fields
from activities.postgres import manifests, objects
from activities.types import ConnectionInfo, NameInput
from perdure import ActivityContext, activity, errors

__all__ = ["connection_info"]


@activity(names.POSTGRES_CONNECTION_INFO)
async def connection_info(ctx: ActivityContext, input: NameInput) -> ConnectionInfo:
    """Give the address of a server. Raises `ServerIncompleteError` when its Service or its Secret is missing."""
    service = await objects.service_of(ctx, input.name)
    secret = await ctx.kubernetes.get("v1", "Secret", manifests.secret_name(input.name))
    if service is None or secret is None or not objects.is_of_server(secret, input.name):
        raise errors.ServerIncompleteError(input.name, ["Service" if service is None else "Secret"])
    return ConnectionInfo(
        host=manifests.host(fields.text(service, "metadata", "name"), ctx.kubernetes.namespace),
        port=manifests.PORT,
        database=manifests.DATABASE,
        secret_name=manifests.secret_name(input.name),
    )
