"""A numbered series of SQL files, and what of it a database still lacks: for the store, and for activities with tables.

Pure: it reads files and compares them with what somebody says was applied. It must not know a database; who asks runs
the files, under a lock, and records each in the transaction that it ran in (`activities/inventory/schema.py` is a short
example, `_store/migrate.py` the long one). Files go forward only and are never edited once released: a difference
between a file and its record is refused, because nobody can say any more what the schema is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from perdure import errors

__all__ = ["Migration", "pending", "read"]

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the series."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The sha256 of the text, hex; line ends do not count, as version control may change them."""
        return hashlib.sha256(self.text.replace("\r\n", "\n").encode()).hexdigest()


def read(folder: Traversable) -> list[Migration]:
    """Return the migrations of a folder in order.

    Raises:
        MigrationFilesError: a name is not `NNNN_words.sql`, or a number is there twice.

    """
    found: dict[int, Migration] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise errors.MigrationFilesError(
                f"A migration is named {file.name}; expected NNNN_words.sql in small letters."
            )
        number = int(match.group(1))
        if number in found:
            raise errors.MigrationFilesError(
                f"{file.name} and {found[number].name} have the same number. Give the younger one the next free number."
            )
        found[number] = Migration(number, file.name, file.read_text("utf-8"))
    return list(found.values())


def pending(series: Sequence[Migration], applied: Mapping[int, tuple[str, str]]) -> list[Migration]:
    """Return what is not applied yet, in order; `applied` has name and checksum of what is, by number.

    Raises:
        SchemaNewerError: something was applied that is not in the series.
        MigrationChangedError: an applied file was edited, or one before it was added later.

    """
    ours = {migration.number: migration for migration in series}
    unknown = [name for number, (name, _) in applied.items() if number not in ours]
    if unknown:
        raise errors.SchemaNewerError(
            f"The database has {', '.join(unknown)}, which this Perdure does not know; its newest migration is "
            f"{series[-1].name if series else '(none)'}. Run the Perdure that migrated the database, or a newer one."
        )
    for number, (name, checksum) in applied.items():
        file = ours[number]
        if checksum != file.checksum:
            raise errors.MigrationChangedError(
                f"{file.name} was edited after it was applied: recorded as {name} with sha256 "
                f"{checksum[:12]}, the file has {file.checksum[:12]}. "
                "Restore the file and put the change into a new one."
            )
    missing = [migration for migration in series if migration.number not in applied]
    newest_applied = max(applied, default=-1)
    late = [migration.name for migration in missing if migration.number < newest_applied]
    if late:
        raise errors.MigrationChangedError(
            f"{', '.join(late)} came after number {newest_applied:04} was applied. Migrations go "
            "forward only: give it the next free number."
        )
    return missing
