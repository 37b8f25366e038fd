"""The application that all commands register with, the options that many of them share, and the exit codes.

It knows typer and the words people type; what a command does stands in the module of its kind.
"""

from __future__ import annotations

import enum
import importlib.metadata
from typing import Annotated, Final, Literal

import typer

__all__ = ["DatabaseUrl", "Exit", "InstanceId", "Output", "OutputOption", "Reason", "Timeout", "Wait", "application"]


class Exit(enum.IntEnum):
    """How a command ends, for scripts. The numbers are a promise."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMEOUT = 4
    FAILED = 5
    CANCELLED = 6


_HELP: Final = """Durable workflows as a Kubernetes operator.

Exit codes: 0 done; 1 it could not be done, or a replay differs; 2 the command or a setting is wrong; 3 there is no
such instance; 4 waited too long, the instance goes on; 5 what was waited for ended Failed; 6 it ended Cancelled.
"""

application = typer.Typer(
    name="perdure",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer hands it over so
    if wanted:
        typer.echo(importlib.metadata.version("perdure"))
        raise typer.Exit


@application.callback()
def _every_command(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    del version  # it has been said


Output = Literal["table", "json"]
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
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code says which it was.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Wait at most so many seconds.", show_default=False)
]
