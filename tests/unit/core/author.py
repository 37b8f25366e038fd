"""Code of an author's that fails in the ways code fails; it stands apart so that its frames are not those of a test."""

from __future__ import annotations

from typing import NoReturn

from perdure import NonRetryableError

__all__ = ["Failing", "RefusedError", "fall", "fall_behind", "fall_deep", "fall_grouped"]


class RefusedError(NonRetryableError):
    """An error of the author's own that says that another try is of no use."""


class Failing(Exception):  # noqa: N818 - it fails at being an error, too
    """An error that cannot be printed."""

    def __str__(self) -> str:
        raise ValueError


def fall(password: str) -> NoReturn:
    """Fail with a secret in a variable."""
    _trip(password)


def _trip(password: str) -> NoReturn:
    length = len(password)
    message = f"refused a password of {length} characters"
    raise ValueError(message)


def fall_behind() -> NoReturn:
    """Fail because of something else."""
    try:
        _connect()
    except ValueError as error:
        message = "the server cannot be reached"
        raise RuntimeError(message) from error


def _connect() -> NoReturn:
    message = "no such port"
    raise ValueError(message)


def fall_grouped() -> NoReturn:
    """Fail twice at once."""
    message = "both"
    found: list[Exception] = []
    for failing in (_connect, _look_up):
        try:
            failing()
        except (ValueError, KeyError) as error:
            found.append(error)
    raise ExceptionGroup(message, found)


def _look_up() -> NoReturn:
    raise KeyError("host")


def fall_deep() -> NoReturn:
    """Fail by never coming to an end."""
    fall_deep()
