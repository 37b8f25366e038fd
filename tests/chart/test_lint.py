"""Helm's own lint, as strict as it is, for each of the values that must do; and what people are told at the end."""

from __future__ import annotations

import json

import pytest

from tests.chart.generated import CHART
from tests.chart.rendering import MATRIX, NAMESPACE, RELEASE, Renderer, Values
from tests.cluster import commands

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_lint_has_nothing_to_say(chart: Renderer, values: Values) -> None:
    """Neither an error nor a warning."""
    said = commands.run(chart.program, "lint", "--strict", CHART, "--values=-", input=json.dumps(values))

    assert "1 chart(s) linted, 0 chart(s) failed" in said


@pytest.mark.parametrize(
    ("values", "expected", "unexpected"),
    [
        (
            {},
            ["WARNING: its database is the bundled Postgres", "Runs cannot talk to the API server yet"],
            "allNamespaces",
        ),
        ({"database": {"host": "db"}, "impersonation": {"namespaces": ["team-a"]}}, ["helm test perdure"], "WARNING"),
        ({"impersonation": {"allNamespaces": True}}, ["WARNING: impersonation.allNamespaces is set"], "cannot talk"),
        ({"watchNamespaces": ["team-a"]}, ["looks after team-a", "namespace: team-a"], "namespace: perdure-system"),
    ],
    ids=["bare", "in earnest", "dangerous", "one namespace"],
)
def test_the_notes_say_what_is_next(chart: Renderer, values: Values, expected: list[str], unexpected: str) -> None:
    """After an install one reads what to try, and what must not stay as it is."""
    options = (f"--namespace={NAMESPACE}", "--dry-run=client", "--values=-")
    said = commands.run(chart.program, "install", RELEASE, CHART, *options, input=json.dumps(values))
    notes = said.partition("NOTES:")[2]

    assert [words for words in expected if words not in notes] == []
    assert unexpected not in notes
