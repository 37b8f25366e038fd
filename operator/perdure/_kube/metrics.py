"""What the process counts, in the words of Prometheus.

It reads the counters that the loops keep for themselves, at the moment somebody asks; no loop knows of metrics. Whoever
has something that must be fetched first is asked to (`refresh`), and decides itself how often.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from perdure._engine.measures import Histogram

__all__ = ["Labelled", "Labels", "Reading", "Registry", "Spread"]

Labels = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Labelled:
    """Several values of one name, each under its labels. What can be a label must be bounded in number."""

    name: str
    sentence: str
    labels: tuple[str, ...]
    values: Mapping[Labels, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """How the values of one name are spread."""

    name: str
    sentence: str
    histogram: Histogram


Reading = tuple[str, str, float] | Labelled | Spread
"""Name, one sentence, value; a name that ends in `_total` is a counter, all others are gauges."""


class Registry(Collector):
    """Readings by whoever has some; `render` gives the text of a scrape."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        self._refreshers: list[Callable[[], Awaitable[None]]] = []
        self._registry = prometheus_client.CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        prometheus_client.ProcessCollector(registry=self._registry)
        prometheus_client.PlatformCollector(registry=self._registry)

    def add(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Ask this at each scrape."""
        self._sources.append(source)

    def add_refresher(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Wait for this before each scrape; it must not take long, nor fail."""
        self._refreshers.append(refresh)

    async def refresh(self) -> None:
        """Have those who must fetch something do so."""
        for refresh in self._refreshers:
            await refresh()

    def collect(self) -> Iterator[Metric]:
        """Give what the sources say now."""
        for source in self._sources:
            for reading in source():
                yield _family(reading)

    def render(self) -> bytes:
        """Give the text of a scrape."""
        return prometheus_client.generate_latest(self._registry)


def _family(reading: Reading) -> Metric:
    match reading:
        case Labelled(name=name, sentence=sentence, labels=labels, values=values):
            family = _kind(name)(f"perdure_{name}", sentence, labels=labels)
            for given, value in values.items():
                family.add_metric(given, value)
            return family
        case Spread(name=name, sentence=sentence, histogram=histogram):
            bounds = [*map(str, histogram.bounds), "+Inf"]
            sums = itertools.accumulate(histogram.counts)
            return HistogramMetricFamily(
                f"perdure_{name}", sentence, buckets=list(zip(bounds, sums, strict=True)), sum_value=histogram.total
            )
        case name, sentence, value:
            return _kind(name)(f"perdure_{name}", sentence, value=value)


def _kind(name: str) -> type[CounterMetricFamily | GaugeMetricFamily]:
    return CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
