"""What travels between a workflow and the activities that move rows from one Postgres to another. Never a row."""

from __future__ import annotations

from typing import Annotated

import pydantic

from activities.types.base import Model

__all__ = [
    "Chunk",
    "CopyChunkInput",
    "CopyChunkOutput",
    "MigratedTable",
    "PlanMigrationInput",
    "PlanMigrationOutput",
    "PostgresDatabase",
    "TableCounts",
    "VerifyMigrationInput",
]

TableName = Annotated[str, pydantic.StringConstraints(pattern=r"^[^\x00.]{1,63}(\.[^\x00.]{1,63})?$")]
"""`table`, of the schema `public`, or `schema.table`: as they are called, unquoted, in upper and lower case."""

ColumnName = Annotated[str, pydantic.StringConstraints(pattern=r"^[^\x00]{1,63}$")]
"""The name of a column, as it is called."""


class PostgresDatabase(Model):
    """Where a database is, and which Secret has `username` and `password` for it."""

    host: str = pydantic.Field(min_length=1)
    port: int = pydantic.Field(default=5432, ge=1, le=65_535)
    database: str = pydantic.Field(min_length=1)
    secret_name: str = pydantic.Field(min_length=1)

    @property
    def address(self) -> str:
        """The database, for people."""
        return f"{self.host}:{self.port}/{self.database}"


class MigratedTable(Model):
    """A table to move, and the column or columns that its rows are told apart by: unique, never null, on both sides."""

    name: TableName
    key: ColumnName | Annotated[list[ColumnName], pydantic.Field(min_length=1, max_length=32)]

    @property
    def key_columns(self) -> list[str]:
        """The columns of the key, in the order in which rows are read."""
        return [self.key] if isinstance(self.key, str) else self.key


class PlanMigrationInput(Model):
    """Of which table to plan up to `chunks` more chunks of `chunk_rows` rows each, and for which migration."""

    migration: str
    source: PostgresDatabase
    target: PostgresDatabase
    table: MigratedTable
    chunk_rows: int = pydantic.Field(ge=1)
    chunks: int = pydantic.Field(ge=1)


class Chunk(Model):
    """A piece of a table: its number, and how many rows it had when it was planned. Where it lies the target knows."""

    number: int
    rows: int


class PlanMigrationOutput(Model):
    """What is to be copied now; nothing when the table is done. The estimate is that of the source's statistics."""

    chunks: list[Chunk]
    copied_rows: int
    estimated_rows: int


class CopyChunkInput(Model):
    """Which planned chunk to copy."""

    migration: str
    source: PostgresDatabase
    target: PostgresDatabase
    table: MigratedTable
    chunk: int


class CopyChunkOutput(Model):
    """How many rows the chunk had, and whether an earlier attempt had copied it."""

    rows: int
    was_done: bool


class VerifyMigrationInput(Model):
    """Which table to count on both sides."""

    migration: str
    source: PostgresDatabase
    target: PostgresDatabase
    table: MigratedTable


class TableCounts(Model):
    """How many rows were copied, how many each side has, and which sequences of the target were moved on."""

    table: str
    copied: int
    source: int
    target: int
    sequences: list[str] = pydantic.Field(default_factory=list)
