"""Create a Postgres server and hand it over when it answers.

Each step may be repeated after a crash: the objects are this run's own, and their password is drawn once and stays in
the Secret. What this code may not know: how any step is done.
"""

from __future__ import annotations

from activities.postgres.connection import verify_connection
from activities.postgres.deploy import deploy_postgres
from activities.postgres.wait import wait_for_postgres
from activities.types import DeployPostgresInput, VerifyConnectionInput, WaitForPostgresInput
from perdure import Exponential, OrchestrationContext, RetryPolicy, orchestration
from workflows import names
from workflows.types import CreatePostgresInput, CreatePostgresOutput

__all__ = ["create_postgres"]

MINUTE = 60.0


@orchestration(names.CREATE_POSTGRES, version="1.0.0")
async def create_postgres(ctx: OrchestrationContext, input: CreatePostgresInput) -> CreatePostgresOutput:
    """Deploy the server, wait until it is ready, connect to it once, and say where it is."""
    steps = 3 if input.verify_connection else 2

    ctx.set_progress(0, steps, f"making the objects of {input.name}")
    server = await ctx.schedule_activity(
        deploy_postgres,
        DeployPostgresInput(name=input.name, version=input.version, storage=input.storage),
        retry=RetryPolicy(5, backoff=Exponential(base=2, multiplier=2.0, max=30), timeout=MINUTE),
    )

    ctx.set_progress(1, steps, f"waiting until Postgres {input.version} is ready")
    await ctx.schedule_activity(
        wait_for_postgres,
        WaitForPostgresInput(name=input.name, timeout_seconds=10 * MINUTE),
        retry=RetryPolicy(5, backoff=Exponential(base=2, multiplier=2.0, max=30)),
        total_timeout=15 * MINUTE,
    )

    if input.verify_connection:
        ctx.set_progress(2, steps, f"connecting to {server.host}")
        answer = await ctx.schedule_activity(
            verify_connection,
            VerifyConnectionInput(
                host=server.host, port=server.port, database=server.database, secret_name=server.secret_name
            ),
            retry=RetryPolicy(12, backoff=Exponential(base=1, multiplier=1.5, max=10), timeout=MINUTE),
        )
        ctx.trace_info(f"Postgres {answer.server_version} answers at {server.host}")

    ctx.set_progress(steps, steps, f"{input.name} is ready")
    return CreatePostgresOutput(
        host=server.host,
        port=server.port,
        database=server.database,
        secret_name=server.secret_name,
        version=input.version,
    )
