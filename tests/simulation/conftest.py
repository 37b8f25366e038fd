"""The fixture of the simulation: a database whose clock the world sets, on the server of the session.

The hunt for mutants plays many seeds: it has a word of its own, `make mutants`, and is no part of the other runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.postgres_plugin import Server
from tests.simulation import database as databases

collect_ignore = [] if "PERDURE_MUTANTS" in os.environ else ["test_mutants.py"]


@pytest.fixture(scope="session")
def database(postgres: Server) -> Iterator[databases.Database]:
    """Give the one database that all seeds are played on, one after the other."""
    name = f"perdure_simulation_{os.getpid()}"
    data = databases.Database(databases.create(postgres.dsn, name))
    try:
        yield data
    finally:
        data.close()
        postgres.run(f"drop database {name} with (force)")
