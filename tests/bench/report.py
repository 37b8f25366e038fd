"""What people and programs see of a run: a table, and one JSON object on the last line."""

from __future__ import annotations

import json
from collections.abc import Mapping

import rich.console
import rich.table

from tests.bench.workloads import WORKLOADS, Result


def table(results: Mapping[str, Result]) -> rich.table.Table:
    """Give the numbers beside their goals."""
    shown = rich.table.Table(title="Postgres and worker on this machine, fsync on", title_justify="left")
    for title in ("", "workload"):
        shown.add_column(title)
    for title in ("value", "goal"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("more")
    for name, result in results.items():
        workload = WORKLOADS[name]
        colour = "green" if workload.is_reached(result.value) else "yellow"
        shown.add_row(
            name,
            workload.what,
            f"[{colour}]{_number(result.value)}[/] {workload.unit}",
            f"{'>=' if workload.is_rate else '<='} {_number(workload.goal)}",
            "\n".join(f"{key.replace('_', ' ')}: {value}" for key, value in result.more.items()),
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
                "is_reached": WORKLOADS[name].is_reached(result.value),
                **result.more,
            }
            for name, result in results.items()
        }
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
