"""The fixtures every test may ask for: each set stands in a plugin of its own, which says what it gives and to whom."""

from __future__ import annotations

import hypothesis

# Machines are noisy: how long an example takes, to draw or to try, proves nothing.
hypothesis.settings.register_profile("no clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("no clock")

pytest_plugins = ["tests.cluster.plugin", "tests.lanes", "tests.postgres_plugin"]
