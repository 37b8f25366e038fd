"""The page about schedules is true: its example can be applied, its expressions can be read, no field is missing."""

from __future__ import annotations

import re
from pathlib import Path

from perdure._kube.api.orchestration_schedule import OrchestrationScheduleSpec
from perdure._kube.schedules import ticks
from tests.tree import text

PAGE = text(Path("docs/schedules.md"))


def test_the_example_of_the_page_is_the_one_to_apply() -> None:
    """It stands in `docs/examples`, where a test applies it."""
    assert f"```yaml\n{text(Path('docs/examples/nightly-manifests.yaml'))}```" in PAGE


def test_every_expression_of_the_page_can_be_read() -> None:
    """Those of its tables, and the nicknames."""
    shown = re.findall(r"`((?:[0-9A-Z*/,#-]+ ){4}[0-9A-Z*/,#-]+|@\w+)`", PAGE)

    refused = {cron for cron in shown if not isinstance(ticks.timetable(cron, "UTC"), ticks.Timetable)}

    assert len(shown) > 15
    assert refused == {"@every", "@reboot"}


def test_every_field_of_a_schedule_stands_on_the_page() -> None:
    """Whoever adds a field writes it there."""
    fields = {field.alias for field in OrchestrationScheduleSpec.model_fields.values()}

    assert {field for field in fields if field and f"{field}" not in PAGE} == set()


def test_the_limits_that_the_page_names_are_those_of_the_code() -> None:
    """The count that stops, and how many runs are made up for."""
    assert ticks.COUNTED == 1_000
    assert "counts a thousand" in PAGE
    schema = OrchestrationScheduleSpec.model_json_schema()
    assert schema["properties"]["catchUpLimit"]["maximum"] == 100
    assert "At most 100" in PAGE
