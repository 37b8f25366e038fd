"""17xx: what a test of an orchestration asks for and cannot have."""

from __future__ import annotations

from perdure.errors.base import PerdureError

__all__ = ["SimulationError"]


class SimulationError(PerdureError):
    """A simulated run cannot go on as the test wants it to, or did not come to what the test asks for."""

    code = "PERDURE-1701"
