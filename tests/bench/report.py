"""What people and programs see of a run: a table, and one JSON object on the last line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import rich.console
import rich.table

from tests.bench.workloads import WORKLOADS, Result, Workload


def table(results: Mapping[str, Result]) -> rich.table.Table:
    """Give the numbers beside their goals."""
    shown = rich.table.Table(title="Postgres and worker on this machine, fsync on", title_justify="left")
    for title in ("", "workload"):
        shown.add_column(title)
    for title in ("value", "goal", ""):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("more")
    for name, result in results.items():
        workload = WORKLOADS[name]
        is_reached = workload.is_reached(result)
        colour = "green" if is_reached else "yellow"
        shown.add_row(
            name,
            workload.what,
            f"[{colour}]{_number(result.value)}[/] {workload.unit}",
            f"{'>=' if workload.is_rate else '<='} {_number(workload.goal)}",
            "reached" if is_reached else "not yet",
            "\n".join(_more(workload, result)),
        )
    return shown


def as_json(results: Mapping[str, Result]) -> str:
    """Give all results as one line."""
    return json.dumps(
        {
            name: {
                "value": round(result.value, 4),
                "unit": WORKLOADS[name].unit,
                "goal": WORKLOADS[name].goal,
                "is_reached": WORKLOADS[name].is_reached(result),
                **result.more,
                **({"peers": peers} if (peers := _peers(name, result)) else {}),
            }
            for name, result in results.items()
        }
    )


def _more(workload: Workload, result: Result) -> Iterator[str]:
    """Give what else there is to know, one line each."""
    for key, value in result.more.items():
        bound = f" (<= {_number(workload.bounds[key])})" if key in workload.bounds else ""
        yield f"{key.replace('_', ' ')}: {value}{bound}"
    for peer, value in result.peers.items():
        ratio = workload.times_as_fast(result.value, value)
        yield f"{peer}: {_number(value)} {workload.unit} (ours is {ratio:g} times as fast)"


def _peers(name: str, result: Result) -> dict[str, dict[str, float]]:
    """Give the numbers of the peers, and how many times as fast ours is."""
    ratio = WORKLOADS[name].times_as_fast
    return {
        peer: {"value": round(value, 4), "times_as_fast": ratio(result.value, value)}
        for peer, value in result.peers.items()
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
