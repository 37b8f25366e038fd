"""Sizes as Kubernetes writes them: `1Gi` and `1024Mi` are the same, and which of two is more. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = ["parse_or_none"]

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity"""

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zA-Z]*)")


def parse_or_none(text: object) -> Decimal | None:
    """Give the number that a quantity stands for; None for what is none."""
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    factor = _SUFFIXES.get(match.group(2)) if match else None
    return None if match is None or factor is None else Decimal(match.group(1)) * factor
