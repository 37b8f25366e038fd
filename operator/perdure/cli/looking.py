"""The commands that read: one instance, many, a tree, counts, and what happened.

They change nothing. What they print for programs has the fields of the client's own values, by their names.
"""

from __future__ import annotations

import contextlib
from typing import Annotated

import rich.table
import typer

from perdure import errors
from perdure._core import export
from perdure.cli.application import DatabaseUrl, InstanceId, Output, OutputOption, application
from perdure.cli.arguments import moment_of, phases_of
from perdure.cli.connecting import with_client
from perdure.cli.printing import (
    complain,
    print_instance,
    print_instances,
    print_json,
    print_table,
    print_turns,
    table,
    time,
)
from perdure.client import Client, InstanceFilter, InstanceInfo, InstanceWait, Page

__all__: list[str] = []

_PAGE = 500
_MOMENT = "an age as in 7d, or a moment"


@application.command()
def get(instance_id: InstanceId, output: OutputOption = "table", database_url: DatabaseUrl = None) -> None:
    """Show an instance; for people also what its code waits for."""

    async def work(client: Client) -> tuple[InstanceInfo, list[InstanceWait]]:
        info = await client.get_instance_info(instance_id)
        if output == "json" or info.is_finished:
            return info, []
        with contextlib.suppress(errors.HistoryUnreadableError, errors.EncryptionKeyMissingError):
            return info, await client.get_waits(instance_id)
        return info, []

    info, waits = with_client(database_url, work)
    if output == "json":
        print_json(info)
        return
    print_instance(info, waits)
    if info.phase == "Pending":
        unoffered = with_client(database_url, lambda client: client.list_unoffered())
        if (info.name, info.version) in {(each.name, each.version) for each in unoffered}:
            complain(f"No worker that is up offers {info.name} {info.version or '(any version)'}: it waits for one.")


@application.command(name="list")
def list_(  # noqa: PLR0913, PLR0917 - the options of a command
    phase: Annotated[list[str] | None, typer.Option(help="Only these phases.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Only this orchestration.", show_default=False)] = None,
    version: Annotated[str | None, typer.Option(help="Only this version.", show_default=False)] = None,
    prefix: Annotated[str | None, typer.Option(help="Only ids that begin so, as in shop/.", show_default=False)] = None,
    parent: Annotated[str | None, typer.Option(help="Only children of this instance.", show_default=False)] = None,
    roots: Annotated[bool, typer.Option("--roots", help="Only what is no child of another.")] = False,  # noqa: FBT002 - an option of a command
    hold: Annotated[
        str | None, typer.Option(help="Only what is held for this, as in Nondeterministic.", show_default=False)
    ] = None,
    created_after: Annotated[str | None, typer.Option(help=f"Since then: {_MOMENT}.", show_default=False)] = None,
    created_before: Annotated[str | None, typer.Option(help=f"Before then: {_MOMENT}.", show_default=False)] = None,
    finished_after: Annotated[str | None, typer.Option(help=f"Since then: {_MOMENT}.", show_default=False)] = None,
    finished_before: Annotated[str | None, typer.Option(help=f"Before then: {_MOMENT}.", show_default=False)] = None,
    after: Annotated[str, typer.Option(help="Only ids after this one: the next page.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = _PAGE,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """List instances by id."""
    wanted = InstanceFilter(
        name=name,
        id_prefix=prefix,
        phases=phases_of(phase or []),
        version=version,
        parent_id=parent,
        created_after=moment_of("--created-after", created_after),
        created_before=moment_of("--created-before", created_before),
        finished_after=moment_of("--finished-after", finished_after),
        finished_before=moment_of("--finished-before", finished_before),
        hold=hold,
        roots=roots or None,
    )
    page = with_client(database_url, lambda client: client.list_instances(wanted, Page(after, limit)))
    if output == "json":
        print_json(page.items)
    else:
        print_instances(page.items)
    if page.after is not None:
        complain(f"There may be more: --after {page.after} shows the next {limit}.")


@application.command()
def tree(instance_id: InstanceId, output: OutputOption = "table", database_url: DatabaseUrl = None) -> None:
    """List an instance and all below it, parents before their children."""
    infos = with_client(database_url, lambda client: client.get_tree(instance_id))
    if output == "json":
        print_json(infos)
    else:
        print_instances(infos)


@application.command()
def count(
    unoffered: Annotated[bool, typer.Option("--unoffered", help="Only what no live worker can run.")] = False,  # noqa: FBT002 - an option of a command
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Count instances by orchestration, version and phase; or those that wait for a worker that is not there."""
    if unoffered:
        waiting = with_client(database_url, lambda client: client.list_unoffered())
        made = table("ORCHESTRATION", "VERSION", "INSTANCES", "DUE")
        for each in waiting:
            made.add_row(each.name, each.version or "(any)", str(each.instances), time(each.due_at))
        _print(waiting, made, output)
        return
    counts = with_client(database_url, lambda client: client.count_instances())
    made = table("ORCHESTRATION", "VERSION", "PHASE", "INSTANCES")
    for one in counts:
        made.add_row(one.name, one.version, one.phase, str(one.instances))
    _print(counts, made, output)


@application.command()
def keys(output: OutputOption = "table", database_url: DatabaseUrl = None) -> None:
    """Count the payloads under each encryption key; one that has none left is no longer needed. Reads everything."""
    counted = with_client(database_url, lambda client: client.count_payloads_by_key())
    made = table("KEY", "PAYLOADS")
    for key_id, payloads in counted.items():
        made.add_row(key_id or "(plain)", str(payloads))
    _print(counted, made, output)


@application.command()
def executions(instance_id: InstanceId, output: OutputOption = "table", database_url: DatabaseUrl = None) -> None:
    """List the lives of an instance that continued as new, as far as their history is there."""
    found = with_client(database_url, lambda client: client.list_executions(instance_id))
    made = table("EXECUTION", "TURNS", "STARTED", "ENDED", "OUTCOME")
    for each in found:
        made.add_row(str(each.execution), str(each.turns), time(each.started_at), time(each.ended_at), each.outcome)
    _print(found, made, output)


@application.command()
def history(
    instance_id: InstanceId,
    execution: Annotated[int | None, typer.Option(help="Which one; else the last.", show_default=False)] = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Show what happened in an instance, turn by turn. As JSON it is an export that `perdure replay` reads."""
    exported = with_client(database_url, lambda client: client.export_history(instance_id, execution))
    if execution is not None and not exported.turns:
        raise errors.CommandError(
            f"There is no history of execution {execution} of {instance_id}: it never was, or it was pruned. "
            f"`perdure executions {instance_id}` shows which there are."
        )
    if output == "json":
        typer.echo(export.encode(exported).decode())
    else:
        print_turns(exported.turns)


def _print(values: object, made: rich.table.Table, output: Output) -> None:
    if output == "json":
        print_json(values)
    else:
        print_table(made)
