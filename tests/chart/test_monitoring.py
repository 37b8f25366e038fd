"""What the chart gives to Prometheus and Grafana, whose own resources are not there: by structure, and by hand."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.chart.generated import CHART
from tests.chart.rendering import NAMESPACE, Renderer, found, pods
from tests.tree import none_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [("ServiceMonitor", "endpoints", "serviceMonitor"), ("PodMonitor", "podMetricsEndpoints", "podMonitor")],
)
def test_a_monitor_finds_every_pod_that_has_metrics(chart: Renderer, kind: str, key: str, value: str) -> None:
    """By Service or by pod: the labels, and the name of the port, are those of the pods of every role."""
    manifests = chart.render(
        {"mode": "split", "monitoring": {value: {"enabled": True, "interval": "7s", "labels": {"a": "b"}}}}
    )

    spec = found(manifests, kind)["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    scraped = [pod for pod in pods(manifests) if wanted <= pod["metadata"]["labels"].items()]
    assert [pod["metadata"]["name"] for pod in scraped] == ["perdure-controller", "perdure-worker-default"]
    assert all(pod["spec"]["containers"][0]["ports"][0]["name"] == "http" for pod in scraped)
    assert wanted <= found(manifests, "Service")["metadata"]["labels"].items()
    assert spec[key] == [{"port": "http", "path": "/metrics", "interval": "7s", "scrapeTimeout": "10s"}]
    assert spec["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert found(manifests, kind)["metadata"]["labels"]["a"] == "b"


def test_alerts_say_what_is_and_what_to_do(chart: Renderer) -> None:
    """Each has a severity, a sentence and a way on; those that somebody does not want are left out."""
    rule = {"enabled": True, "disabled": ["PerdureAbsent"], "alertLabels": {"team": "platform"}}
    manifests = chart.render({"monitoring": {"prometheusRule": rule}})

    [group] = found(manifests, "PrometheusRule")["spec"]["groups"]
    written = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    assert {one["alert"] for one in written} - {one["alert"] for one in group["rules"]} == {"PerdureAbsent"}
    for alert in group["rules"]:
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["labels"]["team"] == "platform"
        assert set(alert["annotations"]) == {"summary", "description"}
        assert f'{{namespace="{NAMESPACE}"}}' in alert["expr"]


def test_the_dashboard_is_one_and_its_panels_do_not_overlap(chart: Renderer) -> None:
    """Grafana's sidecar gets JSON whose panels have places and queries of their own."""
    manifests = chart.render({"monitoring": {"dashboard": {"enabled": True}}})

    config = found(manifests, "ConfigMap", "perdure-dashboard")
    panels = json.loads(config["data"]["perdure.json"])["panels"]
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert len(places) == len(set(places))
    none_of(panel["title"] for panel in panels if not panel["targets"])
