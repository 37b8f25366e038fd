"""The one error tree.

Every error a user or an operator of Perdure can meet derives from `PerdureError`, has a stable `code` and says what
happened, what was expected, what was found and what to do. The class docstring is the default message. This module
imports nothing of Perdure: every room may raise from it.

Users know two words: *retryable* and *non-retryable*. Whose fault it is, is the type.

Code ranges: 10xx authoring and registration, 11xx payloads and limits, 12xx runs and replay, 13xx activities,
14xx store and database, 15xx Kubernetes and identity, 16xx settings and process, 17xx test cluster and tools.
"""

from __future__ import annotations

__all__ = ["PerdureError"]


class PerdureError(Exception):
    """Something in Perdure went wrong."""

    code = "PERDURE-1000"
    retryable = False

    def __init__(self, message: str | None = None) -> None:
        """Keep the sentence for people; the class docstring speaks when none is given."""
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)

    def __str__(self) -> str:
        """Show the code first: it is what people search for."""
        return f"{self.code}: {self.message}"
