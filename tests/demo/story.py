"""The plot: a stage from nothing, three runs, a murder, the rescue, the proof, and an empty stage.

It tells what happens in which order; how things start is in `cast`, how they look in `show`, what is right in `proof`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from activities.kubernetes import ownership
from perdure._core import history
from perdure._store.embedded import EmbeddedPostgres
from tests.cluster.handle import CRDS, Cluster
from tests.demo import cast, proof, timeline
from tests.demo.journey import logbook
from tests.demo.show import Show
from tests.demo.watch import Run, Watch
from workflows import owners

__all__ = ["DemoError", "Outcome", "Stage", "ignore_interrupts", "play"]

MANIFESTS = Path(__file__).parent / "manifests"
RUNS = {"orders-db": "orders", "billing-db": "billing", "journey": ""}
"""The runs of `runs.yaml`, and the name of the Postgres that each of them makes."""
LEGS = 10
KILL_AFTER_LEGS = 4
PATIENCE_SECONDS = 300
LOOK_SECONDS = 0.2

_COLOURS = {"✗": "bold red", "→": "bold yellow", "worker 1": "blue", "worker 2": "magenta"}
TAIL_LINES = 15
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """Something did not come out right; the message says what."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that is up."""

    cluster: Cluster
    namespace: str
    database: cast.Database
    company: list[cast.OperatorProcess]

    def kubectl(self, *arguments: str) -> str:
        """Return what kubectl says in the namespace of the demo."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments)

    def member(self, pid: int) -> cast.OperatorProcess:
        """Return the process of that id, one of ours."""
        return next(process for process in self.company if process.pid == pid)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened on the stage: the last status of each run, the kill, and who went on when."""

    runs: Mapping[str, Run]
    kill: proof.Kill
    heir: int
    taken_over_at: datetime


def play(show: Show) -> None:
    """Play it all; raise whatever went wrong, with the stage empty again."""
    show.title("Perdure: from nothing to three finished runs, and a worker killed in the middle of one.")
    show.act("The stage")
    with _stage(show) as stage:
        show.act("The play")
        began = time.monotonic()
        outcome = _perform(show, stage)
        played_seconds = time.monotonic() - began
        journey = stage.database.history(outcome.runs["journey"].instance_id)
        show.act("The proof")
        is_right = _prove(show, stage, outcome=outcome, journey=journey)
        show.act("The journey, as Postgres tells it")
        _tell(show, stage, outcome=outcome, journey=journey)
        show.act("What the runs made")
        _list_objects(show, stage, outcome)
    if not is_right:
        raise DemoError("Not everything came out right; see the marks above.")
    show.success(f"Everything came out right, in {show.elapsed}; the runs took {played_seconds:.1f} s of it.")


def ignore_interrupts() -> None:
    """Take no further signal, from the first one or the last act on: removing must not stop half way."""
    for how in INTERRUPTS:
        signal.signal(how, signal.SIG_IGN)


# --- the stage -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stage(show: Show) -> Iterator[Stage]:
    """Bring everything up, and take everything down again, however the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-demo-"))
    stack = contextlib.ExitStack()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        yield _set_up(show, stack, folder)
    except Exception:
        _show_logs(show, folder)
        raise
    finally:
        ignore_interrupts()
        show.say("")
        with show.step("all that was started is removed"):
            stack.close()


def _set_up(show: Show, stack: contextlib.ExitStack, folder: Path) -> Stage:
    cluster = stack.enter_context(cast.a_cluster(folder / "cluster", show))
    postgres = EmbeddedPostgres(folder / "postgres", port=0)
    with show.step("a Postgres, on loopback"):
        stack.enter_context(postgres)
    with show.step("the resource definition, a namespace, a ServiceAccount `runner` and its Role"):
        namespace = stack.enter_context(_a_namespace(cluster))
    with show.step("the operator: a controller and two workers"):
        company = stack.enter_context(cast.a_company(cluster, postgres.dsn, namespace=namespace, folder=folder))
        database = stack.enter_context(cast.Database(postgres.dsn))
    show.say(", ".join(str(process) for process in company))
    return Stage(cluster, namespace, database, company)


def _show_logs(show: Show, folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        show.say("\n   ".join([f"--- {log.name} ends with:", *lines]))


@contextlib.contextmanager
def _a_namespace(cluster: Cluster) -> Iterator[str]:
    """Give a namespace in which the runs may do what they do; what was added to somebody else's cluster is removed."""
    is_known = cluster.kubectl("get", f"--filename={CRDS}", "--ignore-not-found", "--output=name") != ""
    namespace = f"perdure-demo-{secrets.token_hex(3)}"
    try:
        cluster.install_crds()
        cluster.kubectl("create", "namespace", namespace)
        cluster.kubectl("apply", f"--namespace={namespace}", f"--filename={MANIFESTS / 'identity.yaml'}")
        yield namespace
    finally:
        if cluster.kind == "kubeconfig":
            cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s", check=False)
            if not is_known:
                cluster.kubectl("delete", f"--filename={CRDS}", "--ignore-not-found", "--timeout=60s", check=False)


# --- the play --------------------------------------------------------------------------------------------------------


def _perform(show: Show, stage: Stage) -> Outcome:
    """Apply the runs, kill the worker that owns the journey in its middle, and see everything to its end."""
    show.command(f"kubectl apply --namespace={stage.namespace} --filename=tests/demo/manifests/runs.yaml")
    stage.kubectl("apply", f"--filename={MANIFESTS / 'runs.yaml'}")
    runs: dict[str, Run] = {}
    kill: proof.Kill | None = None
    rescue: tuple[int, datetime] | None = None
    end = time.monotonic() + PATIENCE_SECONDS
    with Watch(stage.cluster, stage.namespace) as watch, show.board() as board:
        while rescue is None or not all(_is_completed(runs, name) for name in RUNS):
            if time.monotonic() > end:
                raise DemoError(f"not all runs were Completed after {PATIENCE_SECONDS} s")
            if run := watch.next_or_none(LOOK_SECONDS):
                runs[run.name] = run
                board.update(run)
                _check_health(run)
                if run.name == "journey" and _is_completed(runs, "journey") and rescue is None:
                    raise DemoError("the journey came to its end before its worker could be killed and replaced")
            for process in stage.company:
                process.check()
            journey = runs.get("journey")
            if journey is not None and journey.steps_done >= KILL_AFTER_LEGS:
                if kill is None:
                    kill = _kill_owner_or_none(show, stage, journey)
                elif rescue is None:
                    rescue = _rescue_or_none(show, stage, journey=journey, kill=kill)
    show.command("kubectl wait --for=condition=Completed orchestrations --all")
    stage.kubectl("wait", "--for=condition=Completed", "orchestrations", "--all", "--timeout=10s")
    assert kill is not None
    return Outcome(runs, kill, *rescue)


def _is_completed(runs: Mapping[str, Run], name: str) -> bool:
    return name in runs and runs[name].phase == "Completed"


def _check_health(run: Run) -> None:
    """Raise `DemoError` for a run that ended otherwise than Completed, or is held."""
    if run.phase in {"Failed", "Cancelled", "Suspended"}:
        raise DemoError(f"{run.name} is {run.phase}: {run.columns[-1]}")


def _kill_owner_or_none(show: Show, stage: Stage, journey: Run) -> proof.Kill | None:
    """SIGKILL the worker that owns the journey; None when nobody owns it just now."""
    owner = stage.database.owner_or_none(journey.instance_id)
    if owner is None:
        return None
    process = stage.member(owner)
    process.kill()
    kill = proof.Kill(owner, stage.database.now())
    show.event(f"✗ {process} owns the journey: killed by SIGKILL, after {journey.steps_done} legs of {LEGS}")
    return kill


def _rescue_or_none(show: Show, stage: Stage, *, journey: Run, kill: proof.Kill) -> tuple[int, datetime] | None:
    """Tell who owns the journey after the kill, and since when; None as long as it is nobody else."""
    owner = stage.database.owner_or_none(journey.instance_id)
    if owner in (None, kill.process):
        return None
    assert owner is not None
    now = stage.database.now()
    waited = (now - kill.at).total_seconds()
    show.event(f"→ {stage.member(owner)} goes on with it, {waited:.1f} s later (the lease is {cast.LEASE_SECONDS} s)")
    return owner, now


# --- the proof -------------------------------------------------------------------------------------------------------


def _prove(show: Show, stage: Stage, *, outcome: Outcome, journey: list[history.Turn]) -> bool:
    """Show what is true of what happened; tell whether all of it is."""
    book = logbook.read(stage.kubectl("get", "configmap", logbook.NAME, "--output=jsonpath={.data.logbook}"))
    done = proof.legs_done_by(outcome.kill.at, journey)
    dead, heir = stage.member(outcome.kill.process), stage.member(outcome.heir)
    findings = {
        f"{dead.title} died in the middle, {heir.title} did the rest": proof.not_taken_over(
            journey, outcome.kill, legs=LEGS
        ),
        f"history has exactly one result for each of the {LEGS} legs": proof.not_recorded_once(journey, LEGS),
        f"the {len(done)} legs that were done before were not travelled again (says the logbook)": proof.repeated(
            book, done=done
        ),
        "every object has the label of its owner": _unlabelled(stage, outcome),
        "no password in any row of Postgres, nor in any log": _leaks(stage),
    }
    for truth, complaints in findings.items():
        show.found(truth, complaints)
    in_flight = [entry.leg for entry in book if entry.what == "left" and entry.process == outcome.kill.process]
    if in_flight and in_flight[-1] not in done:
        show.say(f"leg {in_flight[-1]} was under way at the kill and was begun again: activities run at least once")
    return not any(findings.values())


def _objects(stage: Stage) -> list[dict[str, Any]]:
    kinds = "secrets,services,statefulsets,configmaps"
    listed = stage.kubectl("get", kinds, f"--selector={ownership.LABEL}", "--output=json")
    items: list[dict[str, Any]] = json.loads(listed)["items"]
    return items


def _unlabelled(stage: Stage, outcome: Outcome) -> list[str]:
    labels = {
        f"{item['kind']} {item['metadata']['name']}": item["metadata"]["labels"][ownership.LABEL]
        for item in _objects(stage)
    }
    expected = {f"ConfigMap {logbook.NAME}": "journey"}
    for run, name in RUNS.items():
        if name:
            expected |= {f"Secret {name}-credentials": run, f"Service {name}": run, f"StatefulSet {name}": run}
    return [
        f"{what} has the label {labels.get(what)}, expected that of {run}"
        for what, run in expected.items()
        if labels.get(what) not in {ownership.instance_label(owner) for owner in _owners(outcome.runs[run])}
    ]


def _owners(run: Run) -> tuple[str, str]:
    """Give whose the objects of a run may be: its own, or, of a server that outlives it, its resource's."""
    return run.instance_id, owners.owner_of(run.instance_id)


def _leaks(stage: Stage) -> list[str]:
    passwords = {
        item["metadata"]["name"]: base64.b64decode(item["data"]["password"]).decode()
        for item in _objects(stage)
        if item["kind"] == "Secret"
    }
    places = {"Postgres": stage.database.everything()}
    places |= {f"the log of {process}": process.log.read_text(errors="replace") for process in stage.company}
    places["a status"] = stage.kubectl("get", "orchestrations", "--output=json")
    return proof.leaks(passwords, places)


# --- the epilogue ----------------------------------------------------------------------------------------------------


def _tell(show: Show, stage: Stage, *, outcome: Outcome, journey: list[history.Turn]) -> None:
    titles = {process.pid: process.title for process in stage.company}
    moments = {
        outcome.kill.at: f"✗ SIGKILL to {titles[outcome.kill.process]}",
        outcome.taken_over_at: f"→ {titles[outcome.heir]} takes over",
    }
    show.table(timeline.HEADINGS, timeline.rows(journey, moments, titles=titles), colours=_COLOURS)


def _list_objects(show: Show, stage: Stage, outcome: Outcome) -> None:
    names = {owner: name for name, run in outcome.runs.items() for owner in _owners(run)}
    rows = [
        (
            f"{item['kind']}/{item['metadata']['name']}",
            names.get(item["metadata"]["annotations"][ownership.ANNOTATION], ""),
            item["metadata"]["labels"][ownership.LABEL],
        )
        for item in _objects(stage)
    ]
    show.table(("OBJECT", "RUN", ownership.LABEL), sorted(rows, key=lambda row: (row[1], row[0])))
