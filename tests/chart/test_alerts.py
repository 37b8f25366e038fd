"""The alerts, as Prometheus would raise them: promtool tries what is rendered on `charts/perdure/tests/alerts.yaml`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.generated import CHART
from tests.chart.rendering import Renderer, found
from tests.cluster import commands, finding
from tests.tree import none_of

pytestmark = pytest.mark.slow

SITUATIONS = CHART / "tests" / "alerts.yaml"


def test_alerts_fire_when_they_should_and_not_else(finder: finding.Finder, chart: Renderer, tmp_path: Path) -> None:
    """In each situation, at each moment that is looked at: these alerts, and no others."""
    shutil.copy(SITUATIONS, tmp_path)
    rules = found(chart.render({"monitoring": {"prometheusRule": {"enabled": True}}}), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))

    said = commands.run(finder.program("promtool"), "test", "rules", tmp_path / SITUATIONS.name)

    assert "SUCCESS" in said


def test_each_alert_is_seen_firing_with_what_its_sentences_name() -> None:
    """An alert that no situation raises is not tried; a label that its series lack would leave a hole in its words."""
    raised: dict[str, set[str]] = {}
    for situation in yaml.safe_load(SITUATIONS.read_text())["tests"]:
        for moment in situation["promql_expr_test"]:
            for sample in moment["exp_samples"]:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
                raised.setdefault(labels.pop("alertname"), set()).update(labels)
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())

    assert {one["alert"] for one in alerts} == set(raised)
    none_of(f"{one['alert']} says {name}" for one in alerts for name in _named(one) - raised[one["alert"]])


def _named(alert: dict[str, Any]) -> set[str]:
    """Give the labels that the sentences of an alert name."""
    return set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
