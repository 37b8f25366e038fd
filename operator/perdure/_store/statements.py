"""The SQL statements of the store, read once from `queries/*.sql`.

It knows files and their shape; it must not know what a statement means (`store.py` and `resources.py` do) and opens no
connection. SQL lives in files so that it can be read, reviewed, explained and run as SQL, and so that its text is
constant: asyncpg and Postgres then prepare each statement once per connection (docs/adr/0006-sql-in-files.md).

The shape: one statement a file, below a head comment of `-- Purpose:`, `-- Parameters:` and `-- Locks:` (in the order
they are taken). Tests hold it, and prepare every statement on a migrated database.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import resources

__all__ = ["Statements", "load"]


class Statements(Mapping[str, str]):
    """The statements by file name without `.sql`, as items and as attributes."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise AttributeError(
                f"There is no queries/{name}.sql; there are: {', '.join(sorted(self._texts))}"
            ) from None


@functools.cache
def load() -> Statements:
    """Return the statements of the store, the same object at every call."""
    folder = resources.files(__package__) / "queries"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return Statements({file.name.removesuffix(".sql"): _body(file.name, file.read_text("utf-8")) for file in files})


def _body(name: str, text: str) -> str:
    """Replace the head comment by the file's name: it is what `pg_stat_activity` shows, and that shows 1,024 bytes."""
    lines = text.splitlines()
    while lines and (not lines[0].strip() or lines[0].startswith("--")):
        lines.pop(0)
    return "\n".join([f"-- {name}", *lines]).rstrip().removesuffix(";")
