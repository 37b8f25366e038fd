"""Which sight of a resource counts: one rule for every kind, and for the queue before the store. Pure.

It knows generations, deletions and ends; it must not know what a resource asks for, nor how sights travel: an answer of
the API server may be on its way for long.

Theory of operation. The generation of a uid grows with each change of its spec and with its deletion, which is never
taken back. So a lower generation is older, and what is deleted has no other at the same one. An API server that was
restored from a backup breaks both. A lower generation counts when it was read while exactly the known one was known
(`instead_of`): it is then the newer one. One that is not lower counts always, also when it has lost a deletion:
somebody has changed the resource since the restore. Nobody but this module compares generations, and what counts is
taken as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol, TypeVar
from uuid import UUID

__all__ = ["Dated", "Known", "Sight", "instead", "is_news", "is_older", "went_back"]


class Dated(Protocol):
    """What a sight is compared with: what is known, or another sight."""

    @property
    def generation(self) -> int: ...
    @property
    def deleting(self) -> bool: ...
    @property
    def gone(self) -> bool: ...


class Known(Dated, Protocol):
    """What is known of a resource; `is_same`: its contents are those of the sight that it is compared with."""

    @property
    def is_same(self) -> bool: ...


class Sight(Dated, Protocol):
    """A sight of a resource of any kind; `gone` says that it is no more, and its generation then says nothing.

    `instead_of` is the generation that was known before this one was read, None when nobody looked.
    """

    @property
    def uid(self) -> UUID: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def instead_of(self) -> int | None: ...


S = TypeVar("S", bound=Sight)


def is_older(sight: Sight, than: Dated) -> bool:
    """Whether a sight counts nothing against what is known or waits. What is gone stays gone."""
    if than.gone or sight.gone:
        return than.gone
    return sight.generation < than.generation and sight.instead_of != than.generation


def instead(sight: S, of: S) -> S:
    """Give a sight that takes the place of one that waits and is not newer: it was read instead of the same."""
    if sight.instead_of is not None or of.instead_of is None:
        return sight
    return dataclasses.replace(sight, instead_of=of.instead_of)  # type: ignore[type-var]  # sights are dataclasses


def is_news(sight: Sight, known: Known | None) -> bool:
    """Whether a sight counts and says something that is not known."""
    if known is None:
        return True
    if is_older(sight, known):
        return False
    is_equal = (sight.generation, sight.deleting) == (known.generation, known.deleting)
    return sight.gone or not (known.is_same and is_equal)


def went_back(generation: int, known_generation: int, *, deleting: bool, was_deleting: bool) -> bool:
    """Whether only an API server that was restored shows this after that was known."""
    return generation < known_generation or (was_deleting and not deleting)
