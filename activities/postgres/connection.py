"""Connect to a Postgres server for real, as its clients will: by its name, with the password of the Secret.

The password is read here and goes no further. A server that does not answer yet is a retryable failure; the retry
policy of the caller says for how long. This is the one place outside the store that speaks Postgres: to the servers
that runs make, never to Perdure's own database.
"""

from __future__ import annotations

import base64
import binascii

import asyncpg

from activities import names
from activities.kubernetes import fields
from activities.types import VerifyConnectionInput, VerifyConnectionOutput
from perdure import ActivityContext, Manifest, activity, errors

__all__ = ["ask_version", "credentials_of", "verify_connection"]


@activity(names.VERIFY_POSTGRES_CONNECTION)
async def verify_connection(ctx: ActivityContext, input: VerifyConnectionInput) -> VerifyConnectionOutput:
    """Connect, ask the server for its version, and go.

    Raises `PostgresUnreachableError` while there is no answer and `CredentialsError` when the Secret is missing, has
    no password, or is not the one that the server was set up with.
    """
    secret = await ctx.kubernetes.get("v1", "Secret", input.secret_name)
    return VerifyConnectionOutput(server_version=await ask_version(input, secret))


async def ask_version(input: VerifyConnectionInput, secret: Manifest | None) -> str:
    """Connect with user and password of the Secret, and give the version; raises as `verify_connection` does."""
    user, password = credentials_of(secret, input.secret_name)
    address = f"{input.host}:{input.port}/{input.database}"
    try:
        connection = await asyncpg.connect(
            host=input.host,
            port=input.port,
            database=input.database,
            user=user,
            password=password,
            timeout=input.timeout_seconds,
            command_timeout=input.timeout_seconds,
        )
        try:
            version = await connection.fetchval("show server_version")
        finally:
            await connection.close(timeout=input.timeout_seconds)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        message = (
            f"Postgres at {address} refuses user {user} with the password of Secret {input.secret_name}. The volume "
            "was set up with another password: restore that Secret, or delete the volume's claim if its data may go."
        )
        raise errors.CredentialsError(message) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise errors.PostgresUnreachableError(address, str(error) or type(error).__name__) from error
    return str(version)


def credentials_of(secret: Manifest | None, name: str) -> tuple[str, str]:
    """Give user and password of a Secret. Raises `CredentialsError` when they are not there."""
    if secret is None:
        raise errors.CredentialsError(f"There is no Secret {name}; it is made together with the server.")
    found = {}
    for key in ("username", "password"):
        try:
            found[key] = base64.b64decode(fields.text(secret, "data", key), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise errors.CredentialsError(f"The value of {key} in Secret {name} is no text in base64.") from error
        if not found[key]:
            raise errors.CredentialsError(f"Secret {name} has no {key}; expected the keys username and password.")
    return found["username"], found["password"]
