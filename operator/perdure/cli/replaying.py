"""The commands that ask whether code fits histories: those of files, or of every open instance of a database.

Nothing is carried out and nothing is written. One history that cannot be read hides no other. Memory holds one history
at a time, and of the findings what is printed.
"""

from __future__ import annotations

import asyncio
import collections
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from perdure import errors
from perdure._core import checking, export
from perdure._core.definition import OrchestrationRegistry
from perdure._engine import modules as packages
from perdure._engine.guard import outside_tasks
from perdure.cli.application import DatabaseUrl, Exit, Output, OutputOption, application
from perdure.cli.connecting import with_client
from perdure.cli.printing import complain, print_json, print_table, table
from perdure.client import Client, InstanceFilter, Page
from perdure.settings import Settings

__all__: list[str] = []

Verdict = Literal["Differs", "NotOffered", "Unreadable"]
Modules = Annotated[
    str | None,
    typer.Option("--modules", help="Packages with the code, with commas; else $PERDURE_MODULES.", show_default=False),
]
Strict = Annotated[bool, typer.Option("--strict", help="A version that is not offered is a difference too.")]

_OPEN = ("Running", "Suspended")
_PAGE = 200


class Finding(msgspec.Struct, frozen=True):
    """A history that the code at hand does not fit, or cannot be asked about."""

    source: str
    name: str
    version: str
    verdict: Verdict
    turn: int | None = None
    expected: str = ""
    actual: str = ""
    cause: str = ""


class Report(msgspec.Struct):
    """What a check came to: how many were checked and fit, and what was found of the others."""

    fits: int = 0
    findings: list[Finding] = []

    def take(self, finding: Finding | None) -> None:
        """Count one history."""
        if finding is None:
            self.fits += 1
        else:
            self.findings.append(finding)


@application.command()
def replay(
    files: Annotated[
        list[str],
        typer.Argument(help="Of `perdure history -o json`; - for stdin.", show_default=False),
    ],
    modules: Modules = None,
    strict: Strict = False,  # noqa: FBT002 - an option of a command
    output: OutputOption = "table",
) -> None:
    """Replay exported histories against the code at hand, and say where the first difference is."""
    registry = _registry(modules)

    async def work() -> Report:
        report = Report()
        for name in files:
            report.take(_judge_file(registry, name))
        return report

    _conclude(asyncio.run(work()), strict=strict, output=output)


@application.command()
def replay_check(
    name: Annotated[str | None, typer.Option(help="Only this orchestration.", show_default=False)] = None,
    prefix: Annotated[str | None, typer.Option(help="Only ids that begin so, as in shop/.", show_default=False)] = None,
    modules: Modules = None,
    strict: Strict = False,  # noqa: FBT002 - an option of a command
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Replay every open instance of a database against the code at hand, before that code is deployed.

    Nothing is changed: not the database, not the instances. For CI: exit code 0 when all fit, 1 when one does not.
    """
    registry = _registry(modules)

    async def work(client: Client) -> Report:
        report = Report()
        wanted = InstanceFilter(phases=_OPEN, name=name, id_prefix=prefix)
        async for instance_id in _ids(client, wanted):
            report.take(await _judge_instance(client, registry, instance_id))
        return report

    _conclude(with_client(database_url, work), strict=strict, output=output)


def _registry(modules: str | None) -> OrchestrationRegistry:
    orchestrations, _ = packages.load(Settings.load(modules=modules).modules)
    return orchestrations


async def _ids(client: Client, wanted: InstanceFilter) -> AsyncIterator[str]:
    """Name the instances that fit, page by page."""
    after: str | None = ""
    while after is not None:
        page = await client.list_instances(wanted, Page(after, _PAGE))
        for info in page.items:
            yield info.instance_id
        after = page.after


def _judge_file(registry: OrchestrationRegistry, name: str) -> Finding | None:
    try:
        exported = export.decode(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
    except (OSError, errors.HistoryUnreadableError) as error:
        return Finding(name, "", "", "Unreadable", cause=str(error))
    return _judge(registry, name, exported)


async def _judge_instance(client: Client, registry: OrchestrationRegistry, instance_id: str) -> Finding | None:
    try:
        exported = await client.export_history(instance_id)
    except errors.InstanceNotFoundError:
        return None  # it was removed since it was listed
    except (errors.HistoryUnreadableError, errors.EncryptionKeyMissingError) as error:
        return Finding(instance_id, "", "", "Unreadable", cause=str(error))
    return _judge(registry, instance_id, exported)


def _judge(registry: OrchestrationRegistry, source: str, exported: export.HistoryExport) -> Finding | None:
    """Say what is wrong between a history and the code at hand; None when nothing is."""
    name, version = exported.name, exported.version
    # Who was held in its first turn never took a version, and would take the highest.
    definition = registry.find_or_none(name, version) if version else registry.latest_or_none(name)
    if definition is None:
        return Finding(source, name, version, "NotOffered", cause=_offered(registry, name))
    try:
        with outside_tasks():
            found = checking.check(definition, exported)
    except Exception as error:  # noqa: BLE001 - a border: what code and history do together must hide no other history
        return Finding(source, name, version, "Unreadable", cause=f"{type(error).__name__}: {error}")
    if found is None:
        return None
    return Finding(source, name, version, "Differs", found.turn, found.expected, found.actual, found.cause)


def _offered(registry: OrchestrationRegistry, name: str) -> str:
    versions = [definition.version for definition in registry if definition.name == name]
    return f"Offered here: {', '.join(versions)}." if versions else "No version of it is offered here."


def _conclude(report: Report, *, strict: bool, output: Output) -> None:
    """Print the findings and end with the exit code that a pipeline decides by."""
    counts = collections.Counter(finding.verdict for finding in report.findings)
    if output == "json":
        print_json(report)
    elif report.findings:
        made = table("HISTORY", "ORCHESTRATION", "VERSION", "VERDICT", "TURN", "EXPECTED", "ACTUAL", "LIKELY CAUSE")
        for each in report.findings:
            turn = "" if each.turn is None else str(each.turn)
            made.add_row(
                each.source, each.name, each.version, each.verdict, turn, each.expected, each.actual, each.cause
            )
        print_table(made)
    complain(
        f"{report.fits} fit, {counts['Differs']} differ, {counts['Unreadable']} cannot be read, "
        f"{counts['NotOffered']} are of versions that are not offered here."
    )
    if counts["Differs"] or counts["Unreadable"] or (strict and counts["NotOffered"]):
        raise typer.Exit(Exit.FAULT)
