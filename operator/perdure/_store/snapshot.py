"""Write `schema.sql`: what all migrations together make, on one page.

It knows pg_dump and a scratch server; nothing in the running system imports it. A migration is read once, when it is
reviewed; the schema is read every day, and a change of it shows here as a diff. The page is generated, never edited:
`make schema` writes it, a test compares.

    python -m perdure._store.snapshot           write the page
    python -m perdure._store.snapshot --check   fail with a diff when the page is not what the migrations make
"""

from __future__ import annotations

import asyncio
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from perdure import errors
from perdure._store import binaries, migrate
from perdure._store.embedded import EmbeddedPostgres

__all__ = ["FILE", "main", "render"]

FILE = Path(__file__).with_name("schema.sql")
"""The page."""

_HEAD = """\
-- The schema that migrations/ make, as pg_dump of Postgres {major} shows it. Generated: run `make schema`, do not edit.

"""
_MAJOR = 18  # the wheel's; another pg_dump would phrase some things differently
_NOISE = re.compile(r"^(--.*|SET .*;|SELECT pg_catalog\.set_config\(.*|\\(un)?restrict .*)\n", re.MULTILINE)


def render(dsn: str) -> str:
    """Return the page for a migrated database.

    Raises:
        PostgresNotFoundError: there is no pg_dump of the version the page is written with.

    """
    programs = binaries.find(_MAJOR)
    command = [programs.path("pg_dump"), "--schema-only", "--no-owner", "--no-privileges", f"--dbname={dsn}"]
    dump = subprocess.run(command, capture_output=True, text=True, check=False)
    if dump.returncode != 0:
        raise errors.EmbeddedPostgresError(f"pg_dump could not read the schema: {dump.stderr.strip()}")
    body = _NOISE.sub("", dump.stdout).replace("public.", "")
    return _HEAD.format(major=_MAJOR) + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the page with a scratch server; return the exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="perdure-schema-") as folder,
        EmbeddedPostgres(Path(folder), durable=False, in_pod=True) as server,
    ):
        asyncio.run(migrate.migrate(server.dsn))
        page = render(server.dsn)
    if "--check" not in arguments:
        FILE.write_text(page, encoding="utf-8")
        return 0
    written = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    lines = (written.splitlines(keepends=True), page.splitlines(keepends=True))
    sys.stderr.writelines(difflib.unified_diff(*lines, "schema.sql", "what the migrations make"))
    return int(page != written)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
