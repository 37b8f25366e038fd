"""What is counted, in the text that Prometheus reads; and labels that nobody can make too many of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.parser import text_string_to_metric_families

from perdure._engine.measures import Histogram
from perdure._kube import metrics
from perdure._kube.gauges import OTHERS, bounded, of_queues


def samples(*readings: metrics.Reading) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Give what a scrape says of these, by name and labels."""
    registry = metrics.Registry()
    registry.add(lambda: readings)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(registry.render().decode())
        for sample in family.samples
        if sample.name.startswith("perdure_")
    }


def test_a_number_is_a_counter_or_a_gauge_by_its_name() -> None:
    """Plain values and such with labels; a label may be any text."""
    found = samples(
        ("turns_total", "Turns.", 3),
        metrics.Labelled("instances_open", "Open.", ("orchestration", "phase"), {('a "b"\n', "Running"): 2.0}),
    )

    assert found == {
        ("perdure_turns_total", ()): 3.0,
        ("perdure_instances_open", (("orchestration", 'a "b"\n'), ("phase", "Running"))): 2.0,
    }


def test_how_values_are_spread_adds_up() -> None:
    """Prometheus counts up to each bound what falls up to it, and all of them at the end."""
    histogram = Histogram([0.1, 1])
    for value in (0.05, 0.5, 7.0):
        histogram.observe(value)

    found = samples(metrics.Spread("commit_turns", "Turns in one commit.", histogram))

    assert found == {
        ("perdure_commit_turns_bucket", (("le", "0.1"),)): 1.0,
        ("perdure_commit_turns_bucket", (("le", "1"),)): 2.0,
        ("perdure_commit_turns_bucket", (("le", "+Inf"),)): 3.0,
        ("perdure_commit_turns_count", ()): 3.0,
        ("perdure_commit_turns_sum", ()): 7.55,
    }


async def test_who_must_fetch_something_is_asked_before_a_scrape() -> None:
    """A source that refreshes gives what it has fetched."""
    registry = metrics.Registry()
    fetched: list[float] = []

    async def refresh() -> None:
        fetched.append(7)

    registry.add_refresher(refresh)
    registry.add(lambda: [("queue_waiting", "Waiting.", value) for value in fetched])
    before = registry.render()
    await registry.refresh()

    assert b"queue_waiting" not in before
    assert b"perdure_queue_waiting 7.0" in registry.render()


def test_names_that_anybody_may_ask_for_make_no_series_without_end() -> None:
    """The largest are shown, the rest is one series a phase; nothing is lost of the sum."""
    counts: dict[metrics.Labels, float] = {
        (f"name-{number}", "1.0.0", "Pending"): float(number) for number in range(1, 1_000)
    }

    found = bounded(counts, at_most=10)

    assert len(found) == 11
    assert found["name-999", "1.0.0", "Pending"] == 999
    assert found[OTHERS, OTHERS, "Pending"] == sum(range(1, 990))


def test_the_queues_that_are_told_apart_are_those_in_which_most_waits() -> None:
    """Whatever their names; of the others there is what they have together, and nothing is missing from the sum."""
    rows = [
        {"queue": name, "waiting": waiting, "oldest_seconds": age, "workers": workers}
        for name, waiting, age, workers in (("a", 1, 7.0, 2), ("b", 0, None, 0), ("y", 30, 5.0, 1), ("z", 40, 1.0, 3))
    ]

    def shown(column: str, together: Callable[[Iterable[float]], float]) -> dict[metrics.Labels, float]:
        return of_queues(rows, column, together=together, at_most=2)

    assert shown("waiting", sum) == {("z",): 40, ("y",): 30, (OTHERS,): 1}
    assert shown("oldest_seconds", max)[OTHERS,] == 7.0
    assert shown("workers", min)[OTHERS,] == 0
    assert of_queues(rows, "waiting", together=sum) == {("z",): 40, ("y",): 30, ("a",): 1, ("b",): 0}
