"""The command line: `perdure`, installed as `kubectl-perdure` too. Only what works is here.

It knows words, tables and exit codes; what a command does is done by the client, the store and the process. Results go
to stdout, complaints to stderr. Exit codes: 0 done; 1 it could not be done, with a code and a sentence; 2 the
command or a setting is wrong.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

import msgspec
import rich.console
import rich.table
import typer

from perdure import errors
from perdure._core import history
from perdure._core.codec import Codec
from perdure.client import PHASES, Client, InstanceFilter, InstanceInfo, Page
from perdure.settings import Settings, masked

__all__ = ["application", "main"]

T = TypeVar("T")
Output = Literal["table", "json"]

_SHORT = 60
_PAGE = 500

application = typer.Typer(
    name="perdure",
    help="Durable workflows as a Kubernetes operator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", help="Postgres of the installation; else $PERDURE_DATABASE_URL.", show_default=False
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, or JSON for programs.")]
InstanceId = Annotated[
    str, typer.Argument(help="As `perdure list` shows it, for example shop/db:1.", show_default=False)
]


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    try:
        application(standalone_mode=True)
    except errors.SettingsError as error:
        _complain(str(error))
        sys.exit(2)
    except (errors.ModuleLoadError, errors.KubernetesConfigError) as error:
        _complain(str(error))
        sys.exit(2)
    except errors.PerdureError as error:
        _complain(str(error))
        sys.exit(1)
    sys.exit(0)


@application.command()
def run(
    roles: Annotated[
        str | None,
        typer.Option(help="controller, worker, or both with a comma; else $PERDURE_ROLES.", show_default=False),
    ] = None,
) -> None:
    """Run the operator until SIGTERM. Settings are PERDURE_* variables; a wrong one is refused."""
    from perdure._kube import process  # noqa: PLC0415 - kopf and kubernetes take a second to import, for this command only

    process.run(Settings.load(roles=roles))


@application.command()
def migrate(database_url: DatabaseUrl = None) -> None:
    """Bring the database to the schema of this release; harmless when it is there."""
    from perdure._store import migrate as migration  # noqa: PLC0415 - one command needs it

    applied = asyncio.run(migration.migrate(_dsn(Settings.load(database_url=database_url))))
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("nothing to do")


@application.command()
def keys(output: OutputOption = "table", database_url: DatabaseUrl = None) -> None:
    """Count the payloads under each encryption key; one that has none left is no longer needed. Reads everything."""
    counted = _with_client(database_url, lambda client: client.count_payloads_by_key())
    if output == "json":
        _print_json(counted)
        return
    table = _table("KEY", "PAYLOADS")
    for key_id, payloads in counted.items():
        table.add_row(key_id or "(plain)", str(payloads))
    _print_table(table)


@application.command()
def crds(
    output: Annotated[
        Path | None, typer.Option("--output", help="Write one file each into this folder.", show_default=False)
    ] = None,
) -> None:
    """Print the custom resource definitions, or write them into a folder."""
    from perdure._kube import crds as definitions  # noqa: PLC0415 - one command needs it

    rendered = definitions.render_all()
    if output is None:
        typer.echo("---\n".join(rendered.values()), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    for name, text in rendered.items():
        (output / name).write_text(text, encoding="utf-8")
        typer.echo(str(output / name))


@application.command()
def start(
    orchestration: Annotated[str, typer.Argument(help="Name of the orchestration.", show_default=False)],
    instance_id: Annotated[str, typer.Option("--id", help="Id of the new instance; starting one twice is harmless.")],
    input: Annotated[str, typer.Option(help="Input as JSON; @file reads it from a file.")] = "null",
    version: Annotated[str, typer.Option(help="Exactly this version; else the highest.", show_default=False)] = "",
    wait: Annotated[float, typer.Option(help="Wait so many seconds for its end and show it.")] = 0,
    database_url: DatabaseUrl = None,
) -> None:
    """Start an instance; with --wait the exit code says whether it completed."""
    value = _json_argument(input)

    async def work(client: Client) -> InstanceInfo | None:
        handle = await client.start_orchestration_versioned(instance_id, orchestration, version, value)
        typer.echo(f"{handle.instance_id} {'started' if handle.created else 'was there already'}")
        return await client.wait_for_orchestration(instance_id, wait) if wait else None

    try:
        ended = _with_client(database_url, work)
    except TimeoutError:
        raise errors.CommandError(f"{instance_id} has not ended within {wait:g} s; it goes on.") from None
    if ended is not None:
        _show_instance(ended)
        if ended.phase != "Completed":
            raise typer.Exit(1)


@application.command()
def cancel(
    instance_id: InstanceId,
    reason: Annotated[str, typer.Option(help="Why; it is kept in history.")] = "",
    database_url: DatabaseUrl = None,
) -> None:
    """Ask for the end of an instance: its code may compensate, then it is Cancelled."""
    _with_client(database_url, lambda client: client.cancel_instance(instance_id, reason))
    typer.echo(f"{instance_id} is asked to end")


@application.command()
def get(instance_id: InstanceId, output: OutputOption = "table", database_url: DatabaseUrl = None) -> None:
    """Show an instance."""
    info = _with_client(database_url, lambda client: client.get_instance_info(instance_id))
    if output == "json":
        _print_json(info)
    else:
        _show_instance(info)


@application.command(name="list")
def list_(
    phase: Annotated[str | None, typer.Option(help="Only this phase, as in Running.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Only this orchestration.", show_default=False)] = None,
    prefix: Annotated[str | None, typer.Option(help="Only ids that begin so, as in shop/.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = _PAGE,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """List instances by id."""
    wanted = InstanceFilter(_phase(phase), name, prefix)
    page = _with_client(database_url, lambda client: client.list_instances(wanted, Page(size=limit)))
    if output == "json":
        _print_json(page.items)
        return
    table = _table("INSTANCE", "ORCHESTRATION", "VERSION", "PHASE", "CREATED", "FINISHED", "ERROR")
    for info in page.items:
        error = "" if info.error is None else _short(info.error.message)
        times = (_time(info.created_at), _time(info.finished_at))
        table.add_row(info.instance_id, info.name, info.version, info.phase, *times, error)
    _print_table(table)
    if page.after is not None:
        _complain(f"There are more: raise --limit above {limit}, or narrow with --prefix.")


@application.command(name="history")
def history_(
    instance_id: InstanceId,
    execution: Annotated[int | None, typer.Option(help="Which one; else the last.", show_default=False)] = None,
    output: OutputOption = "table",
    database_url: DatabaseUrl = None,
) -> None:
    """Show what happened in an instance, turn by turn: what came in, what the code asked for."""
    turns = _with_client(database_url, lambda client: client.get_history(instance_id, execution))
    if output == "json":
        _print_json(turns)
        return
    table = _table("TURN", "AT", "", "WHAT", "DETAILS")
    for number, turn in enumerate(turns):
        rows: list[tuple[str, history.Event | history.Command]] = [
            *(("in", event) for event in turn.events),
            *(("out", command) for command in turn.commands),
        ]
        for position, (direction, record) in enumerate(rows):
            first = (str(number), _time(turn.at)) if position == 0 else ("", "")
            table.add_row(*first, direction, type(record).__name__, _details(record))
    _print_table(table)


def _with_client(database_url: str | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Connect, work, close; without a database fail at once instead of waiting."""
    settings = Settings.load(database_url=database_url)
    dsn = _dsn(settings)

    async def connected() -> T:
        async with await _connect(dsn, settings.codec()) as client:
            return await work(client)

    return asyncio.run(connected())


async def _connect(dsn: str, codec: Codec) -> Client:
    try:
        return await Client.connect(dsn, codec=codec)
    except errors.PerdureError:
        raise
    except Exception as error:  # a border: what the driver raises for a database that answers, but refuses
        raise errors.DatabaseRefusedError(masked(dsn), f"{type(error).__name__}: {error}") from error


def _dsn(settings: Settings) -> str:
    found = settings.database_url
    if found is None:
        raise errors.CommandError(
            "Which database? Set PERDURE_DATABASE_URL or give --database-url. An operator with an embedded Postgres "
            "logs its address at start (embedded_postgres)."
        )
    return found.get_secret_value()


def _phase(text: str | None) -> str | None:
    """Take a phase in any case; refuse what is none, or the list would be empty without a word."""
    if text is None or (phase := text.capitalize()) in PHASES:
        return None if text is None else phase
    message = f"--phase is {text!r}; there are {', '.join(PHASES)}."
    raise errors.CommandError(message)


def _json_argument(text: str) -> object:
    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        message = f"--input is {_short(text)!r}: {error}. Expected JSON, or @ and the name of a file with JSON."
        raise errors.CommandError(message) from error


def _show_instance(info: InstanceInfo) -> None:
    table = rich.table.Table(box=None, show_header=False, pad_edge=False)
    for field in ("instance_id", "name", "version", "phase", "execution", "hold_reason"):
        if getattr(info, field):
            table.add_row(field, str(getattr(info, field)))
    for field in ("input", "output", "custom_status"):
        value = getattr(info, field)
        if value is not None:
            table.add_row(field, json.dumps(value, ensure_ascii=False))
    if info.error is not None:
        table.add_row("error", f"{info.error.code}: {info.error.message}")
    for field in ("created_at", "started_at", "finished_at"):
        if getattr(info, field) is not None:
            table.add_row(field, _time(getattr(info, field)))
    _print_table(table)


def _details(record: history.Event | history.Command) -> str:
    fields = msgspec.json.decode(msgspec.json.encode(record))
    fields.pop("type", None)
    return ", ".join(f"{name}={_short(_compact(value))}" for name, value in fields.items())


def _compact(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 4]} ..."


def _time(moment: datetime.datetime | None) -> str:
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _table(*columns: str) -> rich.table.Table:
    table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not sys.stdout.isatty())
    return table


def _print_table(table: rich.table.Table) -> None:
    """Print for a terminal as it is; for a pipe as wide as the text, so that every row is one line."""
    console = rich.console.Console(width=None if sys.stdout.isatty() else 10_000, soft_wrap=True, markup=False)
    console.print(table)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _complain(text: str) -> None:
    typer.echo(text, err=True)
