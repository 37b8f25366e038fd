"""The command line: `perdure`, installed as `kubectl-perdure` too.

It knows words, tables and exit codes; what a command does is done by the client, the store and the process. Results go
to stdout, complaints to stderr. A module for each kind of command; importing it registers them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from perdure import errors
from perdure.cli import examining, installing, looking, replaying, steering
from perdure.cli.application import Exit, application
from perdure.cli.printing import complain

__all__ = ["application", "main"]

COMMANDS = (installing, examining, steering, looking, replaying)
"""The modules whose commands there are, in the order of the help."""

_EXITS: tuple[tuple[type[errors.PerdureError], Exit], ...] = (
    (errors.SettingsError, Exit.USAGE),
    (errors.CommandError, Exit.USAGE),
    (errors.ModuleLoadError, Exit.USAGE),
    (errors.KubernetesConfigError, Exit.USAGE),
    (errors.InstanceNotFoundError, Exit.NOT_FOUND),
    (errors.PerdureError, Exit.FAULT),
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (that of the process when None) and end the process with its exit code."""
    try:
        application(None if arguments is None else list(arguments), standalone_mode=True)
    except errors.PerdureError as error:
        complain(str(error))
        sys.exit(next(code for kind, code in _EXITS if isinstance(error, kind)))
    sys.exit(Exit.DONE)
