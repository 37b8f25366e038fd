"""The names under which the journey and its one activity are offered; this module imports nothing."""

from __future__ import annotations

JOURNEY = "journey::orchestration::journey"
TRAVEL = "journey::activity::travel"
