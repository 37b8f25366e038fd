"""What commands print: tables for people, JSON for programs, complaints on stderr.

It knows columns and shapes; it must not know where the values come from. The JSON of an instance has the fields of
`InstanceInfo`, by their names.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence

import msgspec
import rich.console
import rich.table
import typer

from perdure._core import history
from perdure.client import Failure, InstanceInfo, InstanceWait

__all__ = [
    "complain",
    "print_instance",
    "print_instances",
    "print_json",
    "print_table",
    "print_turns",
    "short",
    "table",
    "time",
]

_SHORT = 60
_SHOWN_WAITS = 10
_SHOWN_PLACES = 10


def print_json(value: object) -> None:
    """Print anything of plain values as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def complain(text: str) -> None:
    """Say to people what programs must not read."""
    typer.echo(text, err=True)


def table(*columns: str) -> rich.table.Table:
    """Make an empty table; for a pipe every row stays one line."""
    made = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=not sys.stdout.isatty())
    return made


def print_table(made: rich.table.Table) -> None:
    """Print for a terminal as it is; for a pipe as wide as the text."""
    console = rich.console.Console(width=None if sys.stdout.isatty() else 10_000, soft_wrap=True, markup=False)
    with console.capture() as printed:
        console.print(made)
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def print_instance(info: InstanceInfo, waits: Sequence[InstanceWait] = ()) -> None:
    """Print all that is known of an instance and is not empty, a line each; of what it waits for the first few."""
    made = rich.table.Table(box=None, show_header=False, pad_edge=False)
    for field in ("instance_id", "parent_id", "name", "version", "phase", "execution", "hold_reason", "suspend_reason"):
        if getattr(info, field):
            made.add_row(field, str(getattr(info, field)))
    for field in ("input", "output", "custom_status"):
        value = getattr(info, field)
        if value is not None:
            made.add_row(field, json.dumps(value, ensure_ascii=False))
    if info.buffered_signals:
        made.add_row("buffered_signals", str(info.buffered_signals))
    if info.error is not None:
        _add_error(made, info.error)
    for field in ("created_at", "started_at", "finished_at"):
        if getattr(info, field) is not None:
            made.add_row(field, time(getattr(info, field)))
    for wait in waits[:_SHOWN_WAITS]:
        made.add_row("waits for", _waited_for(wait))
    if len(waits) > _SHOWN_WAITS:
        made.add_row("", f"and {len(waits) - _SHOWN_WAITS} more")
    print_table(made)


def print_instances(infos: Sequence[InstanceInfo]) -> None:
    """Print instances, a line each."""
    made = table("INSTANCE", "ORCHESTRATION", "VERSION", "PHASE", "CREATED", "FINISHED", "ERROR")
    for info in infos:
        error = info.suspend_reason if info.error is None else _said(info.error)
        times = (time(info.created_at), time(info.finished_at))
        made.add_row(info.instance_id, info.name, info.version, info.phase, *times, short(error))
    print_table(made)


def print_turns(turns: Sequence[history.Turn]) -> None:
    """Print a history: for each turn what came in and what the code asked for."""
    made = table("TURN", "AT", "", "WHAT", "DETAILS")
    for number, turn in enumerate(turns):
        rows: list[tuple[str, history.Event | history.Command]] = [
            *(("in", event) for event in turn.events),
            *(("out", command) for command in turn.commands),
        ]
        for position, (direction, record) in enumerate(rows):
            first = (str(number), time(turn.at)) if position == 0 else ("", "")
            made.add_row(*first, direction, type(record).__name__, _details(record))
    print_table(made)


def _waited_for(wait: InstanceWait) -> str:
    """Say what is waited for and since or until when; of an activity also how it stands."""
    until = f"until {time(wait.until)}" if wait.until else f"since {time(wait.since)}"
    parts = [" ".join(word for word in (wait.kind, wait.name, until) if word)]
    if wait.last_error is not None or wait.attempt > 1:
        at = f" at {time(wait.next_attempt_at)}" if wait.next_attempt_at else ""
        after = f" after {_said(wait.last_error)}" if wait.last_error else ""
        parts.append(f"attempt {wait.attempt}{at}{after}")
    if wait.queue:
        whose = "which no worker serves" if not wait.servers else "not taken yet"
        parts.append(f"queue {wait.queue}, {f'on {wait.worker}' if wait.worker else whose}")
    return "; ".join(parts)


def _add_error(made: rich.table.Table, error: Failure) -> None:
    """Add what went wrong, which activity it was, and the last places that it came through."""
    made.add_row("error", f"{error.code}: {_said(error)}")
    if error.activity:
        made.add_row("failed in", f"{error.activity}, attempt {error.attempts}")
    for place in error.traceback.splitlines()[-_SHOWN_PLACES:]:
        made.add_row("came through", place)


def _said(error: Failure) -> str:
    """Give the class and the sentence of an error: the sentence of a KeyError is nothing but a key."""
    return error.message if error.message.startswith(error.type) else f"{error.type}: {error.message}"


def short(text: str) -> str:
    """Give the head of a text, with a mark where it was cut."""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 4]} ..."


def time(moment: datetime.datetime | None) -> str:
    """Give a moment as people here read it; nothing for none."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _details(record: history.Event | history.Command) -> str:
    fields = msgspec.json.decode(msgspec.json.encode(record))
    fields.pop("type", None)
    return ", ".join(f"{name}={short(_compact(value))}" for name, value in fields.items())


def _compact(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
