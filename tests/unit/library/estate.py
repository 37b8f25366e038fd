"""What stands for a cluster and an inventory in simulations: one server, in memory, as the activities would have it.

It knows what a workflow can see of the activities, and no more: which objects there are, and what the inventory says.
Whether the activities really do that is tested on a real API server and a real Postgres.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from activities import types
from activities.inventory.look import get_entry
from activities.inventory.record_health import record_health
from activities.inventory.release import release
from activities.inventory.reserve import reserve
from activities.inventory.set_state import set_state
from activities.inventory.states import judge
from activities.postgres.connection import verify_connection
from activities.postgres.delete import delete_postgres_objects
from activities.postgres.deploy import deploy_postgres
from activities.postgres.health import check_postgres_health
from activities.postgres.wait import wait_for_postgres
from perdure import ActivityContext

__all__ = ["Estate"]

KINDS = ("StatefulSet", "Service", "PersistentVolumeClaim", "Secret")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass
class Estate:
    """One name, its server, and what is known of it."""

    objects: list[str] = dataclasses.field(default_factory=list)
    drifted: list[str] = dataclasses.field(default_factory=list)
    entry: types.InventoryEntry | None = None
    away: set[str] = dataclasses.field(default_factory=set)
    """Activities that fail now, by name."""
    deployed: list[types.DeployPostgresInput] = dataclasses.field(default_factory=list)

    @property
    def activities(self) -> dict[Any, Any]:
        """What stands for the activities of a server."""
        return {activity: self._unless_away(activity) for activity in self._offered()}

    def does(self, activity: Any, input: Any) -> Any:
        """Do what an activity does."""
        does = self._offered()[activity]
        return does(input) if callable(does) else does

    def _offered(self) -> dict[Any, Any]:
        return {
            reserve: self.reserve,
            get_entry: lambda _: self.entry,
            set_state: self.set_state,
            release: self.release,
            record_health: types.HealthSummary(consecutive_failures=0, since=WHEN, last_ok=WHEN),
            deploy_postgres: self.deploy,
            wait_for_postgres: types.WaitOutput(message="1 of 1 replicas ready"),
            verify_connection: types.VerifyConnectionOutput(server_version="18.4"),
            check_postgres_health: self.look,
            delete_postgres_objects: self.delete,
        }

    def _unless_away(self, activity: Any) -> Any:
        def stand_in(_: ActivityContext, input: Any) -> Any:
            if activity.name.rpartition("::")[2] in self.away:
                raise ConnectionError(f"{activity.name} is away")
            return self.does(activity, input)

        return stand_in

    def known(self, **fields: Any) -> None:
        """Change what the inventory says."""
        assert self.entry is not None
        self.entry = self.entry.model_copy(update=fields)

    def reserve(self, input: types.ReserveInput) -> types.ReserveOutput:
        """Reserve the name, unless it is held."""
        is_new = self.entry is None or self.entry.released_at is not None
        if is_new:
            self.entry = types.InventoryEntry(
                name=input.name, dns_label=input.name, version=input.version, storage=input.storage,
                owner=str(input.owner), actor="", state="creating", state_at=WHEN, message="", details={},
                failure=None, failed_at=None, consecutive_failures=0, health_since=None, last_ok_at=None,
                reserved_at=WHEN, released_at=None, events=[], health=[],
            )  # fmt: skip
        assert self.entry is not None
        return types.ReserveOutput(name=input.name, dns_label=input.name, state=self.entry.state, created=is_new)

    def set_state(self, input: types.SetStateInput) -> types.StateOutput:
        """Bring it to a state, as the table of states allows."""
        assert self.entry is not None
        verdict = judge(self.entry.state, input.state, expected=input.expected)
        assert verdict != "refuse", f"{self.entry.state} -> {input.state}"
        if verdict in {"change", "say again"}:
            failure = {"failure": input.message} if input.state == "failed" else {}
            kept = {"actor": input.actor or self.entry.actor, "version": input.version or self.entry.version}
            self.known(state=input.state, message=input.message, **kept, **failure)
        return types.StateOutput(state=self.entry.state, changed=verdict == "change")

    def release(self, _: types.ReleaseInput) -> types.ReleaseOutput:
        """Give the name back, of a server of which nothing is left."""
        assert self.objects == []
        assert self.entry is not None
        self.known(released_at=WHEN, state="failed" if self.entry.state == "failed" else "deleted")
        return types.ReleaseOutput(released=True)

    def deploy(self, input: types.DeployPostgresInput) -> types.DeployPostgresOutput:
        """Make what is missing, and put right what was changed."""
        self.deployed.append(input)
        self.objects, self.drifted = list(KINDS), []
        return types.DeployPostgresOutput(
            host=f"{input.name}.shop.svc", port=5432, database="app", secret_name=f"{input.name}-credentials"
        )

    def look(self, _: types.HealthInput) -> types.HealthOutput:
        """Say what is missing."""
        missing = [kind for kind in KINDS if kind not in self.objects]
        is_whole = not missing and not self.drifted
        return types.HealthOutput(
            healthy=is_whole, ready=is_whole, connected=is_whole, latency_ms=1.0, version="18.4",
            missing=missing, drifted=self.drifted, message="all is well" if is_whole else "all is not well",
        )  # fmt: skip

    def delete(self, input: types.DeletePostgresObjectsInput) -> types.DeletePostgresObjectsOutput:
        """Take everything away."""
        gone, self.objects = [f"{kind} {input.name}" for kind in self.objects], []
        return types.DeletePostgresObjectsOutput(deleted=gone)
