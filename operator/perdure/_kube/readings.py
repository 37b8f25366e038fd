"""What a worker and its runs count, in the words of metrics: names, sentences, labels.

It knows the numbers of the engine and how they are called outside; it must not know how they come about.
`docs/observing.md` has a row for each name, and a test compares that page with what a real operator gives.
"""

from __future__ import annotations

from collections.abc import Iterator

from perdure._engine.worker import Worker
from perdure._kube.metrics import Labelled, Reading, Spread
from perdure._kube.pacing import Pace

__all__ = ["of_pace", "of_worker"]


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


def of_pace(pace: Pace) -> Iterator[Reading]:
    """Give what this process has taken of the budget that activities share."""
    yield "kubernetes_budget_taken_total", "Requests of activities that had a token of the shared budget.", pace.taken
    alone = "Requests of activities within the share of this process, while the database was away."
    yield "kubernetes_budget_alone_total", alone, pace.taken_alone
    short = "Times activities wanted more requests than the budget had (PERDURE_KUBERNETES_REQUESTS_PER_SECOND)."
    yield "kubernetes_budget_spent_total", short, pace.spent
    yield "kubernetes_budget_waiting", "Requests of activities that wait for their turn.", pace.waiting
    waited = "Seconds that requests of activities have waited for their turn."
    yield "kubernetes_budget_waited_seconds_total", waited, pace.waited_seconds
