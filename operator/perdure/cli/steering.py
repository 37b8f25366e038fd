"""The commands that change instances: starting, signalling, pausing, ending, removing.

Each is one call of the client, and says in a line what was done. With `--output json` it prints the instance as it is
then; with `--wait` the exit code says how it ended.
"""

from __future__ import annotations

from typing import Annotated

import typer

from perdure import errors
from perdure.cli.application import (
    DatabaseUrl,
    InstanceId,
    Output,
    OutputOption,
    Reason,
    Timeout,
    Wait,
    application,
)
from perdure.cli.arguments import json_of, moment_of, phases_of
from perdure.cli.connecting import finish, then, with_client
from perdure.cli.printing import print_json
from perdure.client import Client, InstanceFilter, InstanceInfo, OnNondeterminism

__all__: list[str] = []

FinishedBefore = Annotated[
    str | None,
    typer.Option("--finished-before", help="Only what ended before: an age as in 7d, or a moment.", show_default=False),
]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


@application.command()
def start(  # noqa: PLR0913, PLR0917 - the options of a command
    orchestration: Annotated[str, typer.Argument(help="Name of the orchestration.", show_default=False)],
    instance_id: Annotated[str, typer.Option("--id", help="Id of the new instance; starting one twice is harmless.")],
    input: Annotated[str, typer.Option(help="Input as JSON; @file reads it from a file, @- from stdin.")] = "null",
    version: Annotated[str, typer.Option(help="Exactly this version; else the highest.", show_default=False)] = "",
    on_nondeterminism: Annotated[
        OnNondeterminism, typer.Option(help="What becomes of it when its code does not fit its history.")
    ] = "Hold",
    wait: Wait = False,  # noqa: FBT002 - an option of a command
    timeout: Timeout = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Start an instance; with --wait the exit code says how it ended."""
    value = json_of("--input", input)

    async def work(client: Client) -> tuple[str, InstanceInfo]:
        handle = await client.start_orchestration_versioned(
            instance_id, orchestration, version, value, on_nondeterminism=on_nondeterminism
        )
        said = f"{instance_id} {'started' if handle.created else 'was there already'}"
        return said, await then(client, instance_id, wait=wait, timeout=timeout)

    said, info = with_client(database_url, work)
    finish(info, said, wait=wait, output=output)


@application.command()
def signal(  # noqa: PLR0913, PLR0917 - the options of a command
    instance_id: InstanceId,
    name: Annotated[str, typer.Argument(help="Name of the signal.", show_default=False)],
    payload: Annotated[str, typer.Argument(help="As JSON; @file reads it from a file, @- from stdin.")] = "null",
    dedupe_key: Annotated[
        str | None, typer.Option(help="Sent again under the same key, it comes in once.", show_default=False)
    ] = None,
    wait: Wait = False,  # noqa: FBT002 - an option of a command
    timeout: Timeout = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Send a signal to an instance; its code gets it when it waits for that name."""
    value = json_of("the payload", payload)

    async def work(client: Client) -> tuple[str, InstanceInfo]:
        fate = await client.send_signal(instance_id, name, value, dedupe_key=dedupe_key)
        said = {
            "Sent": f"{name} is sent to {instance_id}",
            "Known": f"{name} was sent to {instance_id} before, under this key",
            "Finished": f"{instance_id} has ended and takes no signals",
        }
        return said[fate], await then(client, instance_id, wait=wait, timeout=timeout)

    said, info = with_client(database_url, work)
    finish(info, said, wait=wait, output=output)


@application.command()
def cancel(
    instance_id: InstanceId,
    reason: Reason = "",
    wait: Wait = False,  # noqa: FBT002 - an option of a command
    timeout: Timeout = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Ask for the end of an instance: its code may compensate, then it is Cancelled."""

    async def work(client: Client) -> InstanceInfo:
        await client.cancel_instance(instance_id, reason)
        return await then(client, instance_id, wait=wait, timeout=timeout)

    finish(with_client(database_url, work), f"{instance_id} is asked to end", wait=wait, output=output)


@application.command()
def terminate(
    instance_id: InstanceId,
    reason: Reason = "",
    wait: Wait = False,  # noqa: FBT002 - an option of a command
    timeout: Timeout = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """End an instance at once, without its code: nothing is compensated."""

    async def work(client: Client) -> InstanceInfo:
        await client.terminate_instance(instance_id, reason)
        return await then(client, instance_id, wait=wait, timeout=timeout)

    finish(with_client(database_url, work), f"{instance_id} is terminated", wait=wait, output=output)


@application.command()
def suspend(
    instance_id: InstanceId, reason: Reason = "", output: OutputOption = "table", database_url: DatabaseUrl = None
) -> None:
    """Pause an instance: it takes no turn until it is resumed; what is sent to it waits."""

    async def work(client: Client) -> InstanceInfo:
        await client.suspend_instance(instance_id, reason)
        return await client.get_instance_info(instance_id)

    finish(with_client(database_url, work), f"{instance_id} is suspended", wait=False, output=output)


@application.command()
def resume(
    instance_id: InstanceId,
    wait: Wait = False,  # noqa: FBT002 - an option of a command
    timeout: Timeout = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Let a paused instance go on, one that is held be tried again, activities make their next attempt: all at once."""

    async def work(client: Client) -> InstanceInfo:
        await client.resume_instance(instance_id)
        return await then(client, instance_id, wait=wait, timeout=timeout)

    finish(with_client(database_url, work), f"{instance_id} is resumed", wait=wait, output=output)


@application.command()
def delete(  # noqa: PLR0913, PLR0917 - the options of a command
    instance_ids: Annotated[list[str] | None, typer.Argument(help="Which instances.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what runs, or what a resource shows.")] = False,  # noqa: FBT002 - an option of a command
    finished_before: FinishedBefore = None,
    phase: Annotated[list[str] | None, typer.Option(help="Only these phases.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Only this orchestration.", show_default=False)] = None,
    prefix: Annotated[str | None, typer.Option(help="Only ids that begin so, as in shop/.", show_default=False)] = None,
    limit: Limit = 1_000,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Remove instances with all below them: those that are named, or finished ones by age, phase, name and prefix."""
    moment, phases = moment_of("--finished-before", finished_before), phases_of(phase or [])
    is_filtered = any((moment, phases, name, prefix))
    if bool(instance_ids) == is_filtered or (force and is_filtered):
        message = "Say which: either ids (and --force), or any of --finished-before, --phase, --name and --prefix."
        raise errors.CommandError(message)

    async def work(client: Client) -> int:
        if instance_ids:
            return sum([await client.delete_instance(instance_id, force=force) for instance_id in instance_ids])
        chosen = InstanceFilter(phases=phases, name=name, id_prefix=prefix)
        return await client.delete_instances(chosen, finished_before=moment, limit=limit)

    _say_removed(with_client(database_url, work), "instance", output)


@application.command()
def prune(
    instance_ids: Annotated[list[str] | None, typer.Argument(help="Which; else all.", show_default=False)] = None,
    keep: Annotated[int, typer.Option(min=1, help="So many executions of each stay, the current one among them.")] = 1,
    finished_before: FinishedBefore = None,
    limit: Limit = 1_000,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Remove the history of executions that continued as new; the current one always stays."""
    moment = moment_of("--finished-before", finished_before)

    async def work(client: Client) -> int:
        return await client.prune(finished_before=moment, keep_executions=keep, ids=instance_ids or None, limit=limit)

    _say_removed(with_client(database_url, work), "execution", output)


def _say_removed(count: int, what: str, output: Output) -> None:
    if output == "json":
        print_json({"removed": count})
    else:
        typer.echo(f"removed {count} {what}{'' if count == 1 else 's'}")
