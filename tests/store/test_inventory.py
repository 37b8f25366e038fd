"""The inventory against a real Postgres: who gets a name, how states follow each other, what is counted and forgotten.

The activities are called as a worker calls them, twice and by two owners at once: what they promise, the tables hold.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import Awaitable

import pytest
import structlog

from activities.inventory import states
from activities.inventory.look import get_entry, list_names
from activities.inventory.record_event import record_event
from activities.inventory.record_health import record_health
from activities.inventory.release import release
from activities.inventory.reserve import reserve
from activities.inventory.set_state import set_state
from activities.types import (
    EventInput,
    HealthRecordInput,
    InventoryListInput,
    ReleaseInput,
    ReleaseOutput,
    ReserveInput,
    ReserveOutput,
    ServerState,
    SetStateInput,
    StateOutput,
)
from perdure import ActivityContext, ActivityInfo, errors
from tests.store.shelf import BY_NAME, ORDERS, Shelf

# --- reserving -------------------------------------------------------------------------------------------------------


async def test_a_name_is_reserved_once_and_the_second_attempt_gets_the_same_answer(shelf: Shelf) -> None:
    """Of two attempts at the same moment both are told that they reserved it, and there is one server."""
    answers = await shelf.twice(reserve, ORDERS)

    assert answers == [ReserveOutput(name="orders", dns_label="orders", state="creating", created=True)] * 2
    assert await shelf.fetch("select count(*) from inventory.servers") == [1]
    assert [event.kind for event in (await shelf.entry()).events] == ["reserved"]


async def test_the_same_owner_gets_what_it_has(shelf: Shelf) -> None:
    """Another activity of the owner finds the name, under the label that was reserved with it."""
    await shelf.do(reserve, ORDERS.model_copy(update={"dns_label": "db"}))

    again = await shelf.do(reserve, ORDERS)

    assert again == ReserveOutput(name="orders", dns_label="db", state="creating", created=False)


async def test_of_many_that_want_a_name_at_once_one_gets_it(shelf: Shelf) -> None:
    """Whoever comes second is told who has the name, and is not to try again."""
    ended = await asyncio.gather(
        *(shelf.do(reserve, ORDERS, run=f"run-{number}") for number in range(12)), return_exceptions=True
    )

    winners = [number for number, each in enumerate(ended) if isinstance(each, ReserveOutput)]
    losers = [each for each in ended if isinstance(each, errors.NameTakenError)]
    assert (len(winners), len(losers)) == (1, 11)
    assert {each.owner for each in losers} == {f"run-{winners[0]}"}
    assert not losers[0].retryable
    assert await shelf.fetch("select owner from inventory.servers") == [f"run-{winners[0]}"]


async def test_a_dns_label_has_one_server(shelf: Shelf) -> None:
    """Two servers of different names do not answer under one label."""
    await shelf.do(reserve, ORDERS.model_copy(update={"dns_label": "db"}))

    with pytest.raises(errors.NameTakenError, match=r"The DNS label db .* held by instance first"):
        await shelf.do(reserve, ReserveInput(name="stock", version="18", storage="1Gi", dns_label="db"), run="second")

    assert await shelf.fetch("select name from inventory.servers") == ["orders"]


async def test_a_namespace_has_its_own_names(shelf: Shelf) -> None:
    """A run speaks of the names of its own namespace, and of no other."""
    info = ActivityInfo("b", "test", 1, "test", 1, 1, run_as="system:serviceaccount:shop:runner")
    of_shop = ActivityContext(info, structlog.get_logger(), _database=shelf.database)
    await shelf.do(reserve, ORDERS)

    found = reserve(of_shop, ORDERS)
    assert isinstance(found, Awaitable)

    assert (await found).created
    assert sorted(await shelf.fetch("select namespace from inventory.servers")) == ["", "shop"]


async def test_an_attempt_that_comes_after_the_release_takes_nothing(shelf: Shelf) -> None:
    """A zombie finds its own reservation over, and the name stays free."""
    await shelf.do(reserve, ORDERS, seq=1)
    await shelf.do(release, ReleaseInput(name="orders"))

    late = await shelf.do(reserve, ORDERS, seq=1)

    assert late.state == "deleted"
    assert await shelf.fetch("select count(*) from inventory.servers where released_at is null") == [0]


@pytest.mark.parametrize("name", ["Orders", "9orders", "orders-", "o" * 64, "a.b", ""])
def test_a_name_is_a_dns_label(name: str) -> None:
    """What could be the name of no Service is refused at the door."""
    with pytest.raises(ValueError, match="name"):
        ReserveInput(name=name, version="18", storage="1Gi")


# --- states ----------------------------------------------------------------------------------------------------------


async def test_a_change_of_state_is_made_once_and_told_the_same_twice(shelf: Shelf) -> None:
    """Of two attempts at once one changes the state; both say so, and one event is noted."""
    await shelf.do(reserve, ORDERS)

    answers = await shelf.twice(set_state, SetStateInput(name="orders", state="running", message="it answers"))

    assert answers == [StateOutput(state="running", changed=True)] * 2
    entry = await shelf.entry()
    assert [(event.kind, event.from_state, event.to_state) for event in entry.events] == [
        ("state", "creating", "running"),
        ("reserved", None, "creating"),
    ]


async def test_a_late_attempt_does_not_undo_what_came_after_it(shelf: Shelf) -> None:
    """The second attempt of an activity whose answer was lost leaves the state that others have set since."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("running", seq=100)
    await shelf.state("degraded")

    late = await shelf.state("running", seq=100)

    assert late == StateOutput(state="running", changed=True)
    assert (await shelf.entry()).state == "degraded"


async def test_of_two_changes_at_once_both_are_judged_by_what_is(shelf: Shelf) -> None:
    """The second one waits and sees the first: what was expected holds at the moment of the change."""
    await shelf.do(reserve, ORDERS)
    ended = await asyncio.gather(
        shelf.state("running", expected=["creating"]), shelf.state("failed", "no", expected=["creating"])
    )

    assert sorted(each.changed for each in ended) == [False, True]
    assert {each.state for each in ended} == {(await shelf.entry()).state}


async def test_a_clean_up_does_not_erase_the_failure(shelf: Shelf) -> None:
    """What failed stays failed, with its reason, while its objects go and its name is given back; the trace stays."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("failed", "the image does not exist")

    answers = [await shelf.state("deleting", "cleaning up"), await shelf.state("deleted")]
    await shelf.do(release, ReleaseInput(name="orders"))

    assert answers == [StateOutput(state="failed", changed=False)] * 2
    entry = await shelf.entry()
    assert (entry.state, entry.failure, entry.message) == ("failed", *["the image does not exist"] * 2)
    assert entry.failed_at is not None
    assert entry.released_at is not None
    assert [event.kind for event in entry.events] == ["released", "kept", "kept", "state", "reserved"]


async def test_the_first_reason_of_a_failure_stays(shelf: Shelf) -> None:
    """A clean-up that fails as well does not put its own trouble in the place of the cause."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("failed", "the image does not exist")

    await shelf.state("failed", "and the volume cannot be deleted")

    entry = await shelf.entry()
    assert (entry.failure, entry.message) == ("the image does not exist", "and the volume cannot be deleted")


async def test_a_failure_is_known_when_the_server_works_again(shelf: Shelf) -> None:
    """What failed last, and when, is told beside the state of today."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("failed", "no node had room")

    await shelf.state("running", "it answers", actor="orders-actor", version="18.4", details={"node": "a"})

    entry = await shelf.entry()
    assert (entry.state, entry.failure, entry.actor) == ("running", "no node had room", "orders-actor")
    assert (entry.version, entry.storage, entry.details) == ("18.4", "1Gi", {"node": "a"})


async def test_what_may_not_follow_is_refused(shelf: Shelf) -> None:
    """An upgrade of what is not there yet is a mistake of the code, and changes nothing."""
    await shelf.do(reserve, ORDERS)

    with pytest.raises(errors.StateTransitionError, match="orders is creating, which upgrading may not") as caught:
        await shelf.state("upgrading")

    assert not caught.value.retryable
    assert (await shelf.entry()).state == "creating"


def test_every_state_says_what_may_follow_it() -> None:
    """The table is whole: every state is in it, none follows itself, and no wish is in two places."""
    known = set(typing.get_args(ServerState))

    assert set(states.FOLLOWERS) == known
    for state, followers in states.FOLLOWERS.items():
        assert state not in followers
        assert not followers & states.KEEPERS.get(state, frozenset())
    assert not {"deleting", "deleted", "degraded"} & states.FOLLOWERS["failed"]


async def test_a_name_that_nobody_holds_has_no_state(shelf: Shelf) -> None:
    """Who forgot to reserve is told so, and that trying again is of no use."""
    with pytest.raises(errors.NameNotReservedError, match="orders") as caught:
        await shelf.state("running")

    assert not caught.value.retryable
    assert await shelf.do(get_entry, BY_NAME) is None


async def test_who_does_not_hold_the_name_any_more_changes_nothing(shelf: Shelf) -> None:
    """The watcher of an old server that speaks as its owner is refused by the server that came after it."""
    await shelf.do(reserve, ORDERS, run="old")
    await shelf.do(release, ReleaseInput(name="orders"))
    await shelf.do(reserve, ORDERS, run="new")

    refused: list[Awaitable[object]] = [
        shelf.do(set_state, SetStateInput(name="orders", state="degraded", owner="old")),
        shelf.do(record_health, HealthRecordInput(name="orders", healthy=False, owner="old")),
        shelf.do(record_event, EventInput(name="orders", kind="note", message="", owner="old")),
        shelf.do(release, ReleaseInput(name="orders", owner="old")),
    ]
    ended = await asyncio.gather(*refused, return_exceptions=True)

    assert [type(each) for each in ended] == [errors.NameTakenError] * 4
    assert (await shelf.entry()).state == "creating"


# --- events and health -----------------------------------------------------------------------------------------------


async def test_an_event_is_noted_once(shelf: Shelf) -> None:
    """Two attempts at once leave one event."""
    await shelf.do(reserve, ORDERS)

    await shelf.twice(record_event, EventInput(name="orders", kind="backup", message="2 GiB"))

    assert [(event.kind, event.message) for event in (await shelf.entry()).events][:-1] == [("backup", "2 GiB")]


async def test_events_are_bounded_and_the_failure_outlives_them(shelf: Shelf) -> None:
    """Two hundred events are kept; why a server failed is told however much has been said since."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("failed", "no node had room")

    for number in range(205):
        await shelf.do(record_event, EventInput(name="orders", kind="note", message=str(number)))

    assert await shelf.fetch("select count(*) from inventory.events") == [200]
    entry = await shelf.entry()
    assert [event.message for event in entry.events] == [str(number) for number in range(204, 184, -1)]
    assert entry.failure == "no node had room"


async def test_saying_the_same_state_again_pushes_nothing_out(shelf: Shelf) -> None:
    """A watcher that says `degraded` at every look leaves the newest of its words, beside how it began."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("degraded", "1 of 2")

    answers = [await shelf.state("degraded", f"still {number}") for number in range(5)]

    assert {each.changed for each in answers} == {False}
    assert [event.message for event in (await shelf.entry()).events] == ["still 4", "1 of 2", ""]


async def test_a_long_message_is_shortened(shelf: Shelf) -> None:
    """That a failure is recorded does not fail because it has a lot to say."""
    await shelf.do(reserve, ORDERS)

    await shelf.state("failed", "x" * 1_000_000)

    assert len((await shelf.entry()).failure or "") == 2_000


async def test_a_look_counts_once(shelf: Shelf) -> None:
    """Two attempts of one look are one failure."""
    await shelf.do(reserve, ORDERS)

    first, second = await shelf.twice(record_health, HealthRecordInput(name="orders", healthy=False))

    assert first == second
    assert first.consecutive_failures == 1
    assert await shelf.fetch("select count(*) from inventory.health") == [1]


async def test_failures_in_a_row_are_counted_and_a_good_look_ends_them(shelf: Shelf) -> None:
    """The count, since when it is so, and when it was well last."""
    await shelf.do(reserve, ORDERS)
    looks = [
        await shelf.do(record_health, HealthRecordInput(name="orders", healthy=healthy))
        for healthy in (True, False, False, True, True)
    ]

    assert [look.consecutive_failures for look in looks] == [0, 1, 2, 0, 0]
    assert looks[1].last_ok == looks[2].last_ok == looks[0].last_ok
    assert looks[1].since == looks[2].since > looks[0].since
    assert looks[3].since == looks[4].since == looks[3].last_ok


async def test_health_records_never_grow_without_bound_and_the_count_stays_true(shelf: Shelf) -> None:
    """What is kept is as much as was asked for after every single look, and failures are counted beyond it."""
    await shelf.do(reserve, ORDERS)

    summaries = []
    for number in range(1, 12):
        look = HealthRecordInput(name="orders", healthy=False, message=str(number), keep=3)
        summaries.append(await shelf.do(record_health, look))
        assert await shelf.fetch("select count(*) from inventory.health") == [min(number, 3)]

    assert summaries[-1].consecutive_failures == 11
    assert [record.message for record in (await shelf.entry()).health] == ["11", "10", "9"]


async def test_old_health_records_go(shelf: Shelf) -> None:
    """After seven days a record is forgotten with the next look, however few there are."""
    await shelf.do(reserve, ORDERS)
    await shelf.do(record_health, HealthRecordInput(name="orders", healthy=False, message="old"))
    await shelf.fetch("update inventory.health set at = now() - interval '7 days 1 minute' returning 1")

    await shelf.do(record_health, HealthRecordInput(name="orders", healthy=True, message="new", latency_ms=1.5))

    assert [(each.message, each.latency_ms) for each in (await shelf.entry()).health] == [("new", 1.5)]


# --- releasing -------------------------------------------------------------------------------------------------------


async def test_a_released_name_is_free_and_its_history_stays(shelf: Shelf) -> None:
    """Another instance gets the name; until it does, what was known of the old server can be read."""
    await shelf.do(reserve, ORDERS)
    await shelf.do(record_health, HealthRecordInput(name="orders", healthy=True))

    answers = await shelf.twice(release, ReleaseInput(name="orders"))
    before = await shelf.entry()
    await shelf.do(reserve, ORDERS, run="second")

    assert answers == [ReleaseOutput(released=True)] * 2
    assert (before.state, before.owner, before.health) == ("deleted", "first", [])
    assert (await shelf.entry()).owner == "second"


async def test_releasing_what_nobody_holds_is_fine(shelf: Shelf) -> None:
    """There is nothing to give back, and that is said."""
    assert await shelf.do(release, ReleaseInput(name="orders")) == ReleaseOutput(released=False)


async def test_a_late_release_does_not_take_the_name_from_who_has_it_now(shelf: Shelf) -> None:
    """The second attempt of a release finds that its own is over, and leaves the next holder alone."""
    await shelf.do(reserve, ORDERS)
    await shelf.do(release, ReleaseInput(name="orders"), seq=100)
    await shelf.do(reserve, ORDERS, run="second")

    late = await shelf.do(release, ReleaseInput(name="orders"), seq=100)

    assert late == ReleaseOutput(released=True)
    assert (await shelf.entry()).released_at is None


async def test_without_history_only_the_name_is_remembered(shelf: Shelf) -> None:
    """What happened is forgotten on request."""
    await shelf.do(reserve, ORDERS)
    await shelf.state("running", "it answers")

    await shelf.do(release, ReleaseInput(name="orders", keep_history=False))

    assert await shelf.fetch("select count(*) from inventory.events") == [0]


async def test_of_many_servers_of_one_name_the_last_ten_are_remembered(shelf: Shelf) -> None:
    """History is bounded, whoever creates and deletes the same name for ever."""
    for number in range(13):
        await shelf.do(reserve, ORDERS, run=f"run-{number}")
        await shelf.do(release, ReleaseInput(name="orders"))

    assert sorted(await shelf.fetch("select owner from inventory.servers")) == sorted(
        f"run-{number}" for number in range(3, 13)
    )


async def test_names_are_listed_in_pages(shelf: Shelf) -> None:
    """Held names come in their order; what was released is not among them."""
    for name in ("c", "a", "b", "d"):
        await shelf.do(reserve, ReserveInput(name=name, version="18", storage="1Gi"))
    await shelf.do(release, ReleaseInput(name="b"))

    first = await shelf.do(list_names, InventoryListInput(limit=2))
    rest = await shelf.do(list_names, InventoryListInput(limit=2, after="c"))

    assert ([each.name for each in first.servers], first.truncated) == (["a", "c"], True)
    assert ([each.name for each in rest.servers], rest.truncated) == (["d"], False)
