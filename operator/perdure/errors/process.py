"""16xx: settings, modules and commands that cannot be carried out, each with what was expected."""

from __future__ import annotations

from perdure.errors.base import PerdureError

__all__ = ["CommandError", "DatabaseRefusedError", "ForeignClusterError", "ModuleLoadError", "SettingsError"]


class SettingsError(PerdureError):
    """A setting is wrong, or is none."""

    code = "PERDURE-1601"

    def __init__(self, problems: list[str]) -> None:
        """Name every problem at once: nobody likes to find them one start at a time."""
        self.problems = problems
        super().__init__("\n  ".join(["The settings are wrong.", *problems]))


class ModuleLoadError(PerdureError):
    """A package of PERDURE_MODULES cannot be used."""

    code = "PERDURE-1602"


class CommandError(PerdureError):
    """A command cannot do what it was asked for."""

    code = "PERDURE-1603"


class DatabaseRefusedError(PerdureError):
    """The database answers, but refuses this process: a wrong user, password, database name or right."""

    code = "PERDURE-1604"

    def __init__(self, address: str, said: str, *, variable: str = "PERDURE_DATABASE_URL") -> None:
        """Name the address without its password, what the database said, and where the address comes from."""
        super().__init__(
            f"The database at {address} refuses: {said}. Check user, password, database and rights in {variable}."
        )


class ForeignClusterError(PerdureError):
    """The database belongs to another cluster."""

    code = "PERDURE-1605"

    def __init__(self, *, tied_to: str, this: str) -> None:
        """Name both, and the way to take the database over."""
        super().__init__(
            f"The database belongs to the cluster {tied_to} (the uid of its namespace kube-system), and this is the "
            f"cluster {this}. Its runs are those of the resources there. Give this installation a database of its own "
            "in PERDURE_DATABASE_URL. If this cluster takes the place of the other, which is no more, stop every "
            f"operator of the other and set PERDURE_ADOPT_CLUSTER={tied_to}."
        )
