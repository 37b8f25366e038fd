"""What a Postgres server consists of in the cluster, and what of it is there now.

Whether a server exists is never judged by one object of several: half of it may be missing, or left over. StatefulSet
and Secret are looked for by their names; Services, Pods and volumes, of which there may be some of an earlier life or
of an upgrade, by their labels. An object of that name without these labels is somebody else's, none of the server's.
"""

from __future__ import annotations

from activities.kubernetes import apply, fencing, fields
from activities.postgres import manifests
from activities.types import ObjectRef
from perdure import ActivityContext, Manifest

__all__ = ["KINDS_OF_DATA", "STATEFUL_SET", "ensure", "is_of_server", "living", "of_server", "reference", "service_of"]

STATEFUL_SET = ("apps/v1", "StatefulSet")
_SERVICE = ("v1", "Service")
_SECRET = ("v1", "Secret")
KINDS_OF_DATA = frozenset({"PersistentVolumeClaim", "Secret"})
"""What is left of a server whose data is to stay: the volume, and the password that it was set up with."""
_BY_LABEL = (_SERVICE, ("v1", "Pod"), ("v1", "PersistentVolumeClaim"))


async def living(ctx: ActivityContext, name: str) -> list[ObjectRef]:
    """Give what there is of a server in the run's namespace, also what is being deleted: in the order of deletion."""
    return [reference(found) for found in await of_server(ctx, name)]


async def of_server(ctx: ActivityContext, name: str) -> list[Manifest]:
    """Give the objects of a server: StatefulSet, Services, Pods, claims, Secret."""
    stateful_set = await ctx.kubernetes.get(*STATEFUL_SET, name)
    listed = [
        each
        for api_version, kind in _BY_LABEL
        for each in await ctx.kubernetes.list(api_version, kind, label_selector=manifests.selector(name))
    ]
    secret = await ctx.kubernetes.get(*_SECRET, manifests.secret_name(name))
    return [each for each in (stateful_set, *listed, secret) if each is not None and is_of_server(each, name)]


async def service_of(ctx: ActivityContext, name: str) -> Manifest | None:
    """Give the Service of a server, whatever it is called; None when there is none."""
    found = await ctx.kubernetes.list(*_SERVICE, label_selector=manifests.selector(name))
    return next((each for each in found if not fields.text(each, "metadata", "deletionTimestamp")), None)


async def ensure(ctx: ActivityContext, wanted: Manifest, *, take_over: bool = False) -> None:
    """Create an object unless it is there, and leave one that is there as it is.

    Raises `ObjectNotOwnedError` for one that is not this owner's, unless `take_over` lets anybody's do,
    `ObjectTerminatingError` for one on its way out, and `ObjectBusyError` when it comes and goes all the time.
    """
    for _ in range(fencing.TRIES):
        if await fencing.created(ctx, wanted) or await apply.find_existing(ctx, wanted, take_over=take_over):
            return
    raise fencing.too_busy(reference(wanted))


def is_of_server(manifest: Manifest, name: str) -> bool:
    """Say whether the labels of an object are those of a server."""
    return manifests.labels(name).items() <= fields.mapping(manifest, "metadata", "labels").items()


def reference(manifest: Manifest) -> ObjectRef:
    """Name an object of the run's namespace."""
    return ObjectRef(
        api_version=fields.text(manifest, "apiVersion"),
        kind=fields.text(manifest, "kind"),
        name=fields.text(manifest, "metadata", "name"),
    )
