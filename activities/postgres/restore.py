"""Bring a backup back into a server, by a Job beside it: in one transaction, all of it or nothing.

What is in the dump takes the place of what is in the database, so doing it again comes to the same. What is only in the
database stays.
"""

from __future__ import annotations

from activities import names
from activities.postgres import jobs, manifests, tasks
from activities.types import RestoreInput, RestoreOutput
from perdure import ActivityContext, activity

__all__ = ["restore_database"]


@activity(names.RESTORE_POSTGRES_DATABASE)
async def restore_database(ctx: ActivityContext, input: RestoreInput) -> RestoreOutput:
    """Bring a backup of a server, or of another one, back.

    Raises as `backup_database` does; an `ObjectFailedError` has exit code 3 when there is no such backup, and 4 when it
    is damaged.
    """
    stateful_set, address = await tasks.server_of(ctx, input.name, owned_by=input.owner)
    source = input.source or input.name
    task = jobs.Task(
        job=tasks.job_name(ctx, input.name, what="restore"),
        server=input.name,
        image=manifests.image_of(stateful_set),
        host=address,
        claim=input.target or jobs.claim_name(source),
        source=source,
        backup=input.backup,
    )
    return await tasks.run(ctx, jobs.restore(task), result=RestoreOutput, timeout_seconds=input.timeout_seconds)
