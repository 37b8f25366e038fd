"""The command that examines an installation: what an operator would need, whether it is there, and what to do if not.

It knows how findings are printed, and when they are a fault; what is looked at is `_kube.doctor`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Annotated

import typer

from perdure import errors
from perdure.cli.application import DatabaseUrl, Exit, OutputOption, application
from perdure.cli.connecting import dsn_of
from perdure.cli.printing import complain, print_json, print_table, table
from perdure.settings import Settings

__all__: list[str] = []


@application.command()
def doctor(
    resource: Annotated[
        str | None,
        typer.Argument(
            help="Why does it not move? NAMESPACE/NAME of an Orchestration, signal/NAMESPACE/NAME, or "
            "schedule/NAMESPACE/NAME.",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Examine the installation with the settings of `perdure run`: settings, database, API server, rights, workers.

    Nothing is changed. Exit code 0 when nothing has failed, 1 otherwise; warnings do not count.
    """
    from perdure._kube import doctor as checks  # noqa: PLC0415 - kubernetes takes a second to import, for this command only

    about = None if resource is None else checks.About(*_parted(resource, checks.KINDS))
    settings = Settings.load(database_url=database_url)
    findings = asyncio.run(checks.examine(settings, dsn_of(settings), about=about))
    count = {result: sum(one.result == result for one in findings) for result in ("ok", "warning", "failed")}
    if output == "json":
        print_json({**count, "findings": findings})
    else:
        made = table("CHECK", "RESULT", "FOUND", "WHAT TO DO")
        for one in findings:
            made.add_row(one.check, one.result, one.found, one.todo)
        print_table(made)
    complain(f"{count['ok']} ok, {count['warning']} warnings, {count['failed']} failed.")
    if count["failed"]:
        raise typer.Exit(Exit.FAULT)


def _parted(resource: str, words: Collection[str]) -> tuple[str, str, str]:
    """Give kind, namespace and name."""
    parts = ["", *resource.split("/")] if resource.count("/") == 1 else resource.split("/")
    if len(parts) != 3 or parts[0] not in words or not all(parts[1:]):  # noqa: PLR2004 - kind, namespace, name
        message = (
            f"{resource!r} is no resource; expected NAMESPACE/NAME of an Orchestration, as in shop/db, or "
            "signal/NAMESPACE/NAME, or schedule/NAMESPACE/NAME."
        )
        raise errors.CommandError(message)
    return parts[0], parts[1], parts[2]
