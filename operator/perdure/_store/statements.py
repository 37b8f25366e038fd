"""The SQL statements of the store, read once from `queries/*.sql`.

It knows files and their shape; it must not know what a statement means (`store.py` and `resources.py` do) and opens no
connection. SQL lives in files so that it can be read, reviewed, explained and run as SQL, and so that its text is
constant: asyncpg and Postgres then prepare each statement once per connection (docs/adr/0006-sql-in-files.md).

The shape: one statement a file, below a head comment of `-- Purpose:`, `-- Parameters:` and `-- Locks:` (in the order
they are taken). Tests hold it, and prepare every statement on a migrated database. A parameter of bytes is a payload,
and may be encrypted on its way (`sealing.py`), unless a line `-- Plain:` names it and says why not.

Postgres makes every step of a statement ready, also those that will find nothing to do. Where that is felt, parts may
be left out, each from a line like `-- asks {` to `-- }`: `commit_turns_without_asks` is then what is left of
`commit_turns`, `commit_turns_without_asks_cleanup` what is left without two of its parts.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import resources

__all__ = ["Statements", "load"]

_BYTES = re.compile(r"\$(\d+)::bytea")
_PARAMETER = re.compile(r"\$(\d+)")
_PLAIN = re.compile(r"^-- Plain: (.*)$", re.MULTILINE)
_PART = re.compile(r"^-- (\w+) \{\n.*?^-- \}$\n?", re.MULTILINE | re.DOTALL)


class Statements(Mapping[str, str]):
    """The statements by file name without `.sql`, as items and as attributes; for what lacks parts of it see above.

    `payloads` says for each which of its arguments are payloads, by their positions from 0.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._texts: dict[str, str] = {}
        self.payloads: dict[str, frozenset[int]] = {}
        for name, text in files.items():
            for suffix, left in _with_and_without_parts(text):
                self._texts[name + suffix] = _body(name, left)
                self.payloads[name + suffix] = _payloads(left)

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
    return Statements({file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files})


def _with_and_without_parts(text: str) -> Iterator[tuple[str, str]]:
    """Give what is left of a statement without any of its parts that may be left out, and how its name then ends."""
    parts = sorted({found[1] for found in _PART.finditer(text)})
    for count in range(len(parts) + 1):
        for left_out in itertools.combinations(parts, count):
            yield f"_without_{'_'.join(left_out)}" if left_out else "", _without(left_out, text)


def _without(parts: Collection[str], text: str) -> str:
    return _PART.sub(lambda found: "" if found[1] in parts else found[0], text)


def _payloads(text: str) -> frozenset[int]:
    """Find the parameters of bytes, but for those that the head comment calls plain."""
    plain = {number for line in _PLAIN.findall(text) for number in _PARAMETER.findall(line)}
    return frozenset(int(number) - 1 for number in _BYTES.findall(text) if number not in plain)


def _body(name: str, text: str) -> str:
    """Replace the head comment by the file's name: it is what `pg_stat_activity` shows, and that shows 1,024 bytes."""
    lines = text.splitlines()
    while lines and (not lines[0].strip() or lines[0].startswith("--")):
        lines.pop(0)
    return "\n".join([f"-- {name}.sql", *lines]).rstrip().removesuffix(";")
