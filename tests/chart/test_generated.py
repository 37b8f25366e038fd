"""What of the chart comes from elsewhere in the tree is what it comes from; the manual names every value."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from perdure.settings import Settings
from tests.chart import generated, schema
from tests.chart.generated import CHART
from tests.tree import ROOT, none_of


def test_the_generated_files_are_what_they_come_from() -> None:
    """`make chart` would change nothing: definitions are those of crds/, schema and page those of values.yaml."""
    files = generated.render()

    assert {*(CHART / "templates" / "crds").glob("*")} < set(files)
    none_of(str(path) for path, text in files.items() if path.read_text(encoding="utf-8") != text)


def test_chart_and_program_carry_one_version() -> None:
    """Whoever installs a version of the chart gets that version of the program."""
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert described["version"] == described["appVersion"] == project["version"]


def test_every_setting_is_a_value_or_decided_by_the_chart() -> None:
    """A new setting of the program is a value of the chart by itself; none is both, and none forgotten."""
    fields = set(schema.setting_names().values())

    assert set(Settings.model_fields) > schema.DECIDED_BY_THE_CHART
    assert fields | schema.DECIDED_BY_THE_CHART == set(Settings.model_fields)
    assert schema.setting_names()["statusWritesPerSecond"] == "status_writes_per_second"


def test_every_object_of_the_schema_is_closed_or_open_on_purpose() -> None:
    """A value that is written wrong is refused, unless it is a name of the user's or of Kubernetes'."""
    written = json.loads((CHART / "values.schema.json").read_text())

    del written["properties"]["settings"]  # of them the program knows
    open_ones = {path.rpartition(".")[2] for path in _open(written, "")}

    assert open_ones <= {name.rpartition(".")[2] for name in schema._MAPS} | {"workers"}  # noqa: SLF001 - the table


def _open(rule: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the path of every map below a rule that takes names it does not know."""
    if rule.get("type") == "object" and rule.get("additionalProperties") is not False:
        yield path
    for name, one in rule.get("properties", {}).items():
        yield from _open(one, f"{path}.{name}")


def test_the_manual_says_what_each_value_is_for() -> None:
    """Above every value, or above the group it is in, stands a comment."""
    written = json.loads((CHART / "values.schema.json").read_text())["properties"]

    none_of(name for name, rule in written.items() if "description" not in rule and not _is_described(rule))


def _is_described(rule: Any) -> bool:
    """Tell whether something in a group is explained, where the group itself explains itself by its name."""
    return any("description" in one or _is_described(one) for one in rule.get("properties", {}).values())
