"""What every test of the core leaves behind: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.core import runs


@pytest.fixture(autouse=True)
def _put_away() -> Iterator[None]:
    yield
    runs.close_all()
