"""Look at a Secret without reading it: whether it is there, which keys it has, in which version."""

from __future__ import annotations

from activities import names
from activities.kubernetes import fields
from activities.types import SecretInput, SecretOutput
from perdure import ActivityContext, Manifest, activity, errors

__all__ = ["presented", "read_secret"]


@activity(names.KUBERNETES_READ_SECRET)
async def read_secret(ctx: ActivityContext, input: SecretInput) -> SecretOutput:
    """Give the keys of a Secret, never its values.

    Raises `SecretMissingError`, which is retryable: with a retry policy the activity waits for the Secret.
    """
    found = await ctx.kubernetes.get("v1", "Secret", input.name, namespace=input.namespace)
    if found is None:
        place = f" in namespace {input.namespace or ctx.kubernetes.namespace}"
        raise errors.SecretMissingError(f"Secret {input.name}{place}", "there is none")
    return presented(found)


def presented(secret: Manifest) -> SecretOutput:
    """Give what may be known of a Secret."""
    return SecretOutput(
        keys=sorted(fields.mapping(secret, "data")),
        uid=fields.text(secret, "metadata", "uid"),
        resource_version=fields.text(secret, "metadata", "resourceVersion"),
    )
