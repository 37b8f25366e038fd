"""16xx: settings, modules and commands that cannot be carried out, each with what was expected."""

from __future__ import annotations

from perdure.errors.base import PerdureError

__all__ = ["CommandError", "DatabaseRefusedError", "ModuleLoadError", "SettingsError"]


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

    def __init__(self, address: str, said: str) -> None:
        """Name the address without its password, and what the database said."""
        super().__init__(
            f"The database at {address} refuses: {said}. Check user, password, database and rights in "
            "PERDURE_DATABASE_URL."
        )
