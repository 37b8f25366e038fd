"""Make a Secret from values that never pass through history: copied from other Secrets, or drawn here.

A copied value is as its source is now, each time; a drawn one is drawn once, by the attempt that gets through first,
and kept by all that come later. Keys that the input does not name are left alone.
"""

from __future__ import annotations

import base64
import secrets

from activities import names
from activities.kubernetes import fencing, fields, read_secret
from activities.types import ObjectRef, SecretOutput, WriteSecretInput
from perdure import ActivityContext, Manifest, activity

__all__ = ["write_secret"]


@activity(names.KUBERNETES_WRITE_SECRET)
async def write_secret(ctx: ActivityContext, input: WriteSecretInput) -> SecretOutput:
    """Create or complete the Secret, and give the names of its keys.

    Raises `SecretMissingError` while a source is missing, `ObjectNotOwnedError` when the Secret is not this run's, and
    `StaleAttemptError`. A type that differs is refused by the API server: it cannot be changed.
    """
    copied: Manifest = {key: _encoded(await ctx.resolve_secret(source)) for key, source in input.from_.items()}
    target = ObjectRef(api_version="v1", kind="Secret", name=input.name, namespace=input.namespace)
    for _ in range(fencing.TRIES):
        if await fencing.look(ctx, target) is not None:
            return await _complete(ctx, target, copied, input)
        made = await fencing.created(ctx, _manifest(input, {**copied, **_drawn(input, {})}))
        if made is not None:
            ctx.trace_info("secret created", object=str(target))
            return read_secret.presented(made)
    raise fencing.too_busy(target)


def _manifest(input: WriteSecretInput, data: Manifest) -> Manifest:
    place: Manifest = {"namespace": input.namespace} if input.namespace else {}
    metadata: Manifest = {"name": input.name, **place}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": input.type, "data": data}


async def _complete(ctx: ActivityContext, target: ObjectRef, copied: Manifest, input: WriteSecretInput) -> SecretOutput:
    def wanted(existing: Manifest) -> Manifest:
        return {"type": input.type, "data": {**copied, **_drawn(input, fields.mapping(existing, "data"))}}

    return read_secret.presented(await fencing.changed(ctx, target, patch=wanted))


def _drawn(input: WriteSecretInput, there: Manifest) -> Manifest:
    """Draw the values that are not there yet, of 6 random bits a character."""
    return {
        key: _encoded(secrets.token_urlsafe(length)[:length])
        for key, length in input.generate.items()
        if not there.get(key)
    }


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
