"""The root of the error tree: a code, a sentence, and whether trying again can help."""

from __future__ import annotations

__all__ = ["PerdureError"]


class PerdureError(Exception):
    """Something in Perdure went wrong."""

    code = "PERDURE-1000"
    retryable = False

    def __init__(self, message: str | None = None) -> None:
        """Keep the sentence for people; the class docstring speaks when none is given."""
        self.message = message or " ".join((type(self).__doc__ or "").split())
        super().__init__(self.message)

    def __str__(self) -> str:
        """Show the code first: it is what people search for."""
        return f"{self.code}: {self.message}"
