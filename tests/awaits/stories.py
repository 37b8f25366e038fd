"""The stories: what is done with each workflow from outside, always in the same order, until all of it has ended.

A story sends what it sends when somebody waits for it, and lets every instance end, so that after it nothing can come
any more. Only the places of its own instances count: what is made beforehand to have something to work on is not
disturbed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from tests.awaits.room import Room
from tests.cluster.kubelet import LAST_WORD
from workflows import names, servers
from workflows.postgres_actor import ROUNDS

__all__ = ["STORIES", "Story"]


@dataclasses.dataclass(frozen=True)
class Story:
    """One way through the workflow `tells` (name and version), which is among these modules.

    Places count that begin with what `counted` describes; all do without it.
    """

    name: str
    play: Callable[[Room], Awaitable[None]]
    tells: tuple[str, str]
    counted: str = ""
    modules: tuple[str, ...] = ("workflows", "activities")


ORDERS = {"name": "orders", "version": "16", "verifyConnection": False}
HOUR = 3600.0
QUIET = {**ORDERS, "actor": False}
TO_18 = {"name": "orders", "version": "18", "verifyConnection": False}
SAID = {"backup": "a", "sizeBytes": 9, "checksum": "sha256:0", "tables": 2, "finishedAt": "2026-03-29T01:30:00Z"}
"""What the stand-in of a Job says, for a backup and a restore alike."""


async def create(room: Room) -> None:
    """Make a server whose actor looks once, and let the actor go."""
    await room.run("db", names.CREATE_POSTGRES, {**ORDERS, "periodSeconds": HOUR})
    actor = f"{room.namespace}/db:1::actor"
    await room.waits(actor, servers.UPDATE)
    await room.signal(actor, servers.INSTANCE_DELETED, {})
    await room.end(actor)


async def create_changed(room: Room) -> None:
    """Change a server by the next run of its resource, which tells its actor."""
    await room.run("db", names.CREATE_POSTGRES, {**ORDERS, "periodSeconds": HOUR})
    actor = f"{room.namespace}/db:1::actor"
    turn = await room.waits(actor, servers.UPDATE)
    await room.run("db:2", names.CREATE_POSTGRES, {**ORDERS, "periodSeconds": HOUR, "parameters": {"work_mem": "8MB"}})
    await room.waits(actor, servers.UPDATE, since=turn)
    await room.signal(actor, servers.INSTANCE_DELETED, {})
    await room.end(actor)


async def create_1_0_0(room: Room) -> None:
    """Make a server by the first version."""
    await room.run("db", names.CREATE_POSTGRES, {"name": "orders", "verifyConnection": False}, version="1.0.0")


async def create_cancelled(room: Room) -> None:
    """Cancel while the Pod, for which there is no room, is waited for: what was made is removed by a child."""
    await room.create("v1", "ResourceQuota", "full", spec={"hard": {"pods": "0"}})
    run = await room.start("db", names.CREATE_POSTGRES, QUIET)
    await room.waits(run, "wait-for-postgres")
    await room.client.cancel_instance(run, "not wanted")
    await room.end(run, "Cancelled")


async def delete(room: Room) -> None:
    """Remove a server that has an actor, who is asked to stop."""
    await room.run("db", names.CREATE_POSTGRES, {**ORDERS, "periodSeconds": HOUR})
    actor = f"{room.namespace}/db:1::actor"
    await room.waits(actor, servers.UPDATE)
    await room.run("gone", names.DELETE_POSTGRES, {"name": "orders"})
    await room.end(actor)


async def _managed(room: Room) -> tuple[str, int]:
    run = await room.start("db", names.POSTGRES_ACTOR, {**ORDERS, "managed": True, "periodSeconds": HOUR})
    turn = await room.waits(run, servers.UPDATE)
    await room.is_up("orders")
    return run, turn


async def actor(room: Room) -> None:
    """Make a server, change it when asked, make again what somebody has deleted, and end when it is told."""
    run, turn = await _managed(room)
    wanted = {**ORDERS, "managed": True, "periodSeconds": HOUR, "parameters": {"work_mem": "8MB"}}
    await room.stage.api.delete("v1", "Service", "orders", namespace=room.namespace)
    await room.signal(run, servers.UPDATE, wanted)
    await room.waits(run, servers.UPDATE, since=turn)
    await room.signal(run, servers.INSTANCE_DELETED, {})
    await room.end(run)


async def actor_continues(room: Room) -> None:
    """Look as often as an execution may, each time because it is told, and begin the next one."""
    run, turn = await _managed(room)
    for _ in range(ROUNDS):
        await room.signal(run, servers.UPDATE, {**ORDERS, "managed": True, "periodSeconds": HOUR})
        turn = await room.waits(run, servers.UPDATE, since=turn)
    await room.signal(run, servers.INSTANCE_DELETED, {})
    await room.end(run)


async def actor_cancelled(room: Room) -> None:
    """Make a server, and remove it with the run that is its owner."""
    run, _ = await _managed(room)
    await room.client.cancel_instance(run, "not wanted")
    await room.end(run, "Cancelled")


async def _server(room: Room) -> None:
    await room.annotate({LAST_WORD: json.dumps(SAID)})
    await room.run("db", names.CREATE_POSTGRES, QUIET)


async def upgrade(room: Room) -> None:
    """Back up, wait for the word, move to the new server, switch."""
    await _server(room)
    run = await room.start(
        "to-18", names.UPGRADE_POSTGRES, {"name": "orders", "version": "18", "verifyConnection": False}
    )
    await room.waits(run, "Approve")
    await room.signal(run, "Approve")
    await room.end(run)


async def upgrade_back(room: Room) -> None:
    """Go back after a stranger has the name that the new server needs."""
    await _server(room)
    await room.create("v1", "Service", "orders-upgrade", spec={"type": "ExternalName", "externalName": "example.org"})
    run = await room.start("to-18", names.UPGRADE_POSTGRES, {**TO_18, "requireApproval": False})
    await room.end(run, "Failed")
    await room.end(f"{run}::back")


async def upgrade_back_late(room: Room) -> None:
    """Go back when all but the switch was done: of the tables not all came back."""
    await _server(room)
    await room.annotate({f"{LAST_WORD}.restore": json.dumps({**SAID, "tables": 1})})
    run = await room.start("to-18", names.UPGRADE_POSTGRES, {**TO_18, "requireApproval": False})
    await room.end(run, "Failed")
    await room.end(f"{run}::back")


async def backup(room: Room) -> None:
    """Back a server up."""
    await _server(room)
    await room.run("night", names.BACKUP_POSTGRES, {"name": "orders"})


async def restore(room: Room) -> None:
    """Bring a backup back."""
    await _server(room)
    await room.run("morning", names.BACKUP_POSTGRES, {"name": "orders", "restore": "latest"})


TENANT = {"quota": {"pods": "20"}, "limits": {"cpu": "500m"}, "admins": ["Group:shop-developers"]}


async def onboard(room: Room) -> None:
    """Wait for the approval, and make the tenant's namespace."""
    tenant = f"{room.namespace}-tenant"
    room.namespaces.append(tenant)
    run = await room.start("shop", names.ONBOARD_TENANT, {**TENANT, "tenant": tenant})
    await room.waits(run, "Approval")
    await room.signal(run, "Approval", {"approved": True, "by": "ann"})
    await room.end(run)


async def onboard_fails(room: Room) -> None:
    """Fail of a quota that is none, and remove the namespace again."""
    tenant = f"{room.namespace}-tenant"
    room.namespaces.append(tenant)
    wanted = {**TENANT, "tenant": tenant, "requireApproval": False, "quota": {"pods": "many"}}
    await room.end(await room.start("shop", names.ONBOARD_TENANT, wanted), "Failed")


async def apply(room: Room) -> None:
    """Apply a ConfigMap, a Deployment that gets ready, and a Job that completes."""
    labels = {"app": "web"}
    pod = {"containers": [{"name": "main", "image": "postgres:18"}]}
    web = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    job = {"template": {"spec": {**pod, "restartPolicy": "Never"}}}
    manifests = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours"}, "data": {"sky": "blue"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": web},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fill"}, "spec": job},
    ]
    await room.run("app", names.APPLY_MANIFESTS, {"manifests": manifests, "timeoutSeconds": 60})


async def _move(room: Room, *, rows: int, **how: object) -> None:
    sides: dict[str, object] = {}
    for side in ("source", "target"):
        where = urlsplit(await room.make_side(side))
        await room.sides[side].execute("create table orders (id integer primary key, body text)")
        database = where.path.removeprefix("/")
        sides[side] = {"host": where.hostname, "port": where.port, "database": database, "secretName": "sides"}
    await room.sides["source"].execute("insert into orders select n, 'order ' || n from generate_series(1, $1) n", rows)
    login = urlsplit(room.dsn)
    await room.create("v1", "Secret", "sides", stringData={"username": login.username, "password": login.password})
    wanted = {**sides, **how, "tables": [{"name": "orders", "key": "id"}], "chunkRows": 5}
    await room.run("move", names.MIGRATE_DATA, wanted)


async def migrate(room: Room) -> None:
    """Move thirty rows, two chunks at a time."""
    await _move(room, rows=30, parallel=2)


async def migrate_slowly(room: Room) -> None:
    """Move ten rows so slowly that each chunk waits for a timer, also where copying takes seconds."""
    await _move(room, rows=10, parallel=1, rowsPerSecond=1)


async def greet(room: Room) -> None:
    """Greet after a pause."""
    await room.run("hello", names.GREET, {"pauseSeconds": 0.3})


_NEXT_EXECUTION = ".*( of execution 2 | the continuing as new)"

STORIES = (
    Story("greet", greet, (names.GREET, "1.0.0")),
    Story("apply-manifests", apply, (names.APPLY_MANIFESTS, "1.0.0")),
    Story("onboard-tenant", onboard, (names.ONBOARD_TENANT, "1.0.0")),
    Story("onboard-tenant-fails", onboard_fails, (names.ONBOARD_TENANT, "1.0.0")),
    Story("migrate-data", migrate, (names.MIGRATE_DATA, "1.0.0")),
    Story("migrate-data-slowly", migrate_slowly, (names.MIGRATE_DATA, "1.0.0")),
    Story("create-postgres", create, (names.CREATE_POSTGRES, "1.1.0")),
    Story("create-postgres-changed", create_changed, (names.CREATE_POSTGRES, "1.1.0"), "db:2"),
    Story("create-postgres-1.0.0", create_1_0_0, (names.CREATE_POSTGRES, "1.0.0")),
    Story("create-postgres-cancelled", create_cancelled, (names.CREATE_POSTGRES, "1.1.0")),
    Story("delete-postgres", delete, (names.DELETE_POSTGRES, "1.0.0"), "gone:|db:1::actor"),
    Story("postgres-actor", actor, (names.POSTGRES_ACTOR, "1.0.0")),
    Story("postgres-actor-continues", actor_continues, (names.POSTGRES_ACTOR, "1.0.0"), _NEXT_EXECUTION),
    Story("postgres-actor-cancelled", actor_cancelled, (names.POSTGRES_ACTOR, "1.0.0")),
    Story("backup-postgres", backup, (names.BACKUP_POSTGRES, "1.0.0"), "night:"),
    Story("backup-postgres-restore", restore, (names.BACKUP_POSTGRES, "1.0.0"), "morning:"),
    Story("upgrade-postgres", upgrade, (names.UPGRADE_POSTGRES, "1.0.0"), "to-18:"),
    Story("upgrade-postgres-back", upgrade_back, (names.ROLL_BACK_POSTGRES, "1.0.0"), "to-18:"),
    Story("upgrade-postgres-back-late", upgrade_back_late, (names.ROLL_BACK_POSTGRES, "1.0.0"), "to-18:"),
)
