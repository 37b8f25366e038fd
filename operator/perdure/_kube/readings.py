"""What a worker counts, in the words of metrics: names, sentences, labels.

It knows the numbers of the engine and how they are called outside; it must not know how they come about.
`docs/observing.md` has a row for each name, and a test compares that page with what a real operator gives.
"""

from __future__ import annotations

from collections.abc import Iterator

from perdure._engine.worker import Worker
from perdure._kube.metrics import Labelled, Reading, Spread

__all__ = ["of_worker"]


def of_worker(worker: Worker) -> Iterator[Reading]:
    """Give what this worker has counted since the process began."""
    measures = worker.measures
    yield "worker_ready", "Whether the worker holds its lease.", worker.is_ready
    yield "worker_lives_total", "Times the worker began under a new id.", worker.lives
    yield "commits_total", "Commit statements of this worker.", worker.commits
    yield "turns_total", "Turns committed by this worker.", worker.turns_committed
    yield "instances_resident", "Instances in memory.", worker.resident_count
    yield "activities_running", "Activities under way here.", worker.running_activities
    yield Labelled(
        "instances_started_total",
        "Instances whose first turn was committed here.",
        ("orchestration",),
        {(name,): count for name, count in measures.started.items()},
    )
    yield Labelled(
        "instances_ended_total",
        "Instances that ended here.",
        ("orchestration", "result"),
        {(name, phase): count for (name, phase), count in measures.ended.items()},
    )
    yield Labelled(
        "activity_attempts_total",
        "Attempts of activities that ended here.",
        ("result",),
        {(result,): count for result, count in measures.attempts.items()},
    )
    yield (
        "instances_recovered_total",
        "Instances that this worker set free because their owner's lease had ended.",
        measures.reaped_instances,
    )
    for name, sentence, histogram in (
        ("start_latency_seconds", "From the making of an instance to its first turn.", measures.start_latency),
        ("activity_latency_seconds", "From the asking for an activity to its first attempt.", measures.attempt_latency),
        ("commit_duration_seconds", "From the sending of a batch of turns to the answer.", measures.commit_duration),
        ("commit_turns", "Turns in one commit.", measures.commit_turns),
    ):
        yield Spread(name, sentence, histogram)
