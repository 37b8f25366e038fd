"""Back a server up into a claim: a dump of its database, by a Job beside it.

What is written is complete under its name or not there at all, and has a checksum. Older backups go in the same Job,
after the new one is there.
"""

from __future__ import annotations

import datetime

from activities import names
from activities.kubernetes import ownership
from activities.postgres import jobs, manifests, objects, tasks
from activities.types import BackupInput, BackupOutput
from perdure import ActivityContext, activity

__all__ = ["backup_database"]


@activity(names.BACKUP_POSTGRES_DATABASE)
async def backup_database(ctx: ActivityContext, input: BackupInput) -> BackupOutput:
    """Dump the database of a server, and forget what is older than the newest `keep` backups.

    Raises `ServerIncompleteError` when the server is not whole, `ObjectNotOwnedError` when it is another owner's, and
    what `run_job` raises: for a dump that failed, `ObjectFailedError` with the end of its log.
    """
    stateful_set, address = await tasks.server_of(ctx, input.name, owned_by=input.owner)
    if not input.target:
        size = input.storage or manifests.volume_of(stateful_set)[1]
        # That of an earlier server of the name has its backups, and is used.
        await objects.ensure(ownership.acting_for(ctx, input.owner), jobs.claim(input.name, size), take_over=True)
    task = jobs.Task(
        job=tasks.job_name(ctx, input.name, what="backup"),
        server=input.name,
        image=manifests.image_of(stateful_set),
        host=address,
        claim=input.target or jobs.claim_name(input.name),
        source=input.name,
        backup=input.backup or _default_name(ctx),
    )
    job = jobs.backup(task, keep=input.keep)
    return await tasks.run(ctx, job, result=BackupOutput, timeout_seconds=input.timeout_seconds)


def _default_name(ctx: ActivityContext) -> str:
    """Name a backup by the database's time of this attempt; a later attempt finds the Job, and with it the name."""
    at = datetime.datetime.fromtimestamp(ctx.info.epoch / 1_000_000, datetime.UTC)
    return at.strftime("%Y%m%dT%H%M%SZ")
