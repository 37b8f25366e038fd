"""The fixtures every test may ask for: each set stands in a plugin of its own, which says what it gives and to whom."""

from __future__ import annotations

pytest_plugins = ["tests.cluster.plugin", "tests.lanes", "tests.postgres_plugin"]
