"""What the process counts, in the words of Prometheus.

It reads the counters that the loops keep for themselves, at the moment somebody asks; no loop knows of metrics. It asks
neither the database nor the API server: a scrape costs nothing but this process's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Reading", "Registry"]

Reading = tuple[str, str, float]
"""Name, one sentence, value; a name that ends in `_total` is a counter, all others are gauges."""


class Registry(Collector):
    """Readings by whoever has some; `render` gives the text of a scrape."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        self._registry = prometheus_client.CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        prometheus_client.ProcessCollector(registry=self._registry)
        prometheus_client.PlatformCollector(registry=self._registry)

    def add(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Ask this at each scrape."""
        self._sources.append(source)

    def collect(self) -> Iterator[Metric]:
        """Give what the sources say now."""
        for source in self._sources:
            for name, sentence, value in source():
                kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                yield kind(f"perdure_{name}", sentence, value=value)

    def render(self) -> bytes:
        """Give the text of a scrape."""
        return prometheus_client.generate_latest(self._registry)
