"""What a run leaves behind, in words that two runs have in common: the cluster, the inventory, the engine, the rows.

Two pictures of one story are equal when the same objects are there, written as often, of the same owner; each was made
as often as in the other run, also what is gone; the inventory tells the same story of the same servers; all instances
have ended in the same way, and nothing waits for anybody any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
from typing import TYPE_CHECKING, Any, cast

from tests.awaits import normal
from tests.awaits.births import KINDS, OF_EVERY_NAMESPACE

if TYPE_CHECKING:
    from tests.awaits.room import Room

__all__ = ["Picture", "difference", "taken"]

Picture = dict[str, Any]

_LINES = 60
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.3

_SERVERS = """
select name, dns_label, version, storage, owner, actor, state, message, details, failure, consecutive_failures,
    released_at is not null as is_released
from inventory.servers order by server_id
"""
_EVENTS = """
select s.name, e.kind, e.message, e.from_state, e.to_state
from inventory.events e join inventory.servers s using (server_id) order by server_id, event_id
"""
_HEALTH = """
select distinct s.name, h.healthy, h.message from inventory.health h join inventory.servers s using (server_id)
order by s.name, h.healthy, h.message
"""
"""How often an actor looks is a matter of time."""

_INSTANCES = """
select i.instance_id, i.name, i.version, i.phase, i.execution, convert_from(i.error, 'UTF8') as error,
    case jsonb_typeof(said.output) when 'object' then said.output - 'deleted' - 'rounds' else said.output end as output
from instances i cross join lateral (select convert_from(i.output, 'UTF8')::jsonb as output) said order by i.instance_id
"""
"""What was `deleted` in the last second of a worker dies with it, as its type says; rounds are a matter of time."""

_LEFT = """
select (select count(*) from inbox) as inbox, (select count(*) from tasks) as tasks
"""


async def taken(room: Room) -> Picture:
    """Take the picture of a room in which nobody works any more."""
    objects: list[dict[str, Any]] = []
    for version, kind in KINDS:
        for namespace in room.namespaces:
            where = (
                {"field_selector": f"metadata.name={namespace}"} if kind == "Namespace" else {"namespace": namespace}
            )
            listed = await room.stage.api.list(version, kind, **where)  # type: ignore[arg-type]  # all of them are texts
            objects += cast("list[dict[str, Any]]", listed)
    objects = [found for found in objects if found["metadata"]["name"] not in OF_EVERY_NAMESPACE]
    births = await room.stage.births.counts(room.namespaces, {found["metadata"]["uid"] for found in objects})
    shown: dict[str, list[Any]] = {}
    for found in objects:
        key = f"{found['metadata'].get('namespace', '')} {normal.name(found)}"
        shown.setdefault(normal.text(key, room.namespace), []).append(normal.manifest(found, room.namespace))
    has_inventory = (await room.rows("select to_regclass('inventory.servers') is not null as is_there"))[0]["is_there"]
    tables = {"servers": _SERVERS, "events": _EVENTS, "health": _HEALTH} if has_inventory else {}
    tables |= {"instances": _INSTANCES, "left": _LEFT}
    picture = {"objects": shown, "births": births}
    for made in shown.values():  # in which order names were drawn is chance
        made.sort(key=lambda found: json.dumps(found, sort_keys=True))
    picture |= {name: await room.rows(query) for name, query in tables.items()}
    picture |= {"stranded": await room.stranded(), "moved": await room.moved()}
    return dict(normal.value(picture, room.namespace))


async def difference(room: Room, before: Picture) -> str:
    """Say in which lines the picture of a room differs from another, also when what controllers do has come to its end.

    Nothing when they are equal.
    """
    loop = asyncio.get_running_loop()
    end, said = loop.time() + _PATIENCE_SECONDS, ""
    while loop.time() < end:
        with contextlib.suppress(TimeoutError):
            said = _differences(before, await taken(room))
            if not said:
                return ""
        await asyncio.sleep(_PAUSE_SECONDS)
    return said or "the cluster does not come to rest"


def _differences(before: Picture, after: Picture) -> str:
    undisturbed, killed = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (before, after))
    lines = list(difflib.unified_diff(undisturbed, killed, "undisturbed", "killed", lineterm="", n=4))
    return "\n".join(lines[:_LINES])
