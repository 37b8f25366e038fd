"""Sending signals: what reaches the inbox, once each and in order, and what the sender is told."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from perdure import errors
from perdure._core import history, limits
from perdure.client import Client
from tests.store.desk import Desk


async def received(desk: Desk, instance_id: str) -> list[tuple[str, object]]:
    """Give name and payload of the signals on their way, as their instance will read them."""
    events = [history.decode_event(payload) for _, payload in await desk.messages(instance_id)]
    return [(e.name, json.loads(bytes(e.payload))) for e in events if isinstance(e, history.SignalReceived)]


async def full(desk: Desk, instance_id: str, *, but: int = 0) -> None:
    """Give an instance as many signals that it did not wait for as it may have, but so many."""
    await desk.fetch(
        "update instances set buffered_signals = $2 where instance_id = $1",
        instance_id,
        limits.UNCONSUMED_SIGNALS - but,
    )


async def test_a_signal_is_a_message_and_wakes_its_instance(desk: Desk) -> None:
    """It stands in the inbox as the event that it will be in history, and whoever owns or finds the instance looks."""
    await desk.start("a")
    await desk.asleep("a")

    fate = await desk.client.send_signal("a", "approved", {"by": "ann"})

    assert fate == "Sent"
    assert await received(desk, "a") == [("approved", {"by": "ann"})]
    assert (await desk.row("a"))["wakes"]


async def test_workers_hear_of_a_signal(desk: Desk) -> None:
    """One NOTIFY for a batch: a worker need not poll."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    await desk.start("a", "b")
    listener = await asyncpg.connect(desk.dsn)
    await listener.add_listener("perdure_wake", lambda *_: heard.put_nowait("heard"))

    await asyncio.gather(*(desk.client.send_signal(each, "go") for each in ("a", "b", "a")))
    await asyncio.wait_for(heard.get(), 30)

    await listener.fetch("select 1")
    await listener.close()
    assert heard.empty()


async def test_signals_come_in_in_the_order_in_which_they_were_sent(desk: Desk) -> None:
    """Sent side by side by one client they are one statement, and stay in order for each instance."""
    await desk.start("a", "b")

    await asyncio.gather(*(desk.client.send_signal("ab"[n % 2], "number", n) for n in range(100)))

    assert await received(desk, "a") == [("number", n) for n in range(0, 100, 2)]
    assert await received(desk, "b") == [("number", n) for n in range(1, 100, 2)]


async def test_a_signal_before_the_first_turn_is_kept(desk: Desk) -> None:
    """An instance that nobody has taken yet takes signals like any other."""
    await desk.start("a")

    await desk.client.send_signal("a", "early")

    assert await received(desk, "a") == [("early", None)]


async def test_a_signal_with_a_dedupe_key_comes_in_once(desk: Desk) -> None:
    """Sent again, in the same batch, in another or by another client, it is known; without a key it is two signals."""
    await desk.start("a")
    async with await Client.connect(desk.dsn) as other:
        clients = [desk.client, other] * 5

        fates = await asyncio.gather(*(client.send_signal("a", "go", 1, dedupe_key="one") for client in clients))
        again = await desk.client.send_signal("a", "go", 2, dedupe_key="one")
        await asyncio.gather(*(client.send_signal("a", "bare") for client in clients[:2]))

    assert again == "Known"
    assert len(fates) == 10
    assert await received(desk, "a") == [("go", 1), ("bare", None), ("bare", None)]


async def test_a_dedupe_key_outlives_its_message(desk: Desk) -> None:
    """The message is deleted when it is taken in; sent again years later it is known all the same."""
    await desk.start("a")
    await desk.client.send_signal("a", "go", dedupe_key="uid-1")
    await desk.fetch("delete from inbox")

    fate = await desk.client.send_signal("a", "go", dedupe_key="uid-1")

    assert (fate, await desk.messages("a")) == ("Known", [])


async def test_a_dedupe_key_belongs_to_its_instance(desk: Desk) -> None:
    """The same key for another instance is another signal."""
    await desk.start("a", "b")

    fates = await asyncio.gather(*(desk.client.send_signal(each, "go", dedupe_key="one") for each in ("a", "b")))

    assert fates == ["Sent", "Sent"]


async def test_a_signal_to_nobody_is_an_error(desk: Desk) -> None:
    """The sender hears it, and the signals beside it in the batch are sent."""
    await desk.start("a")

    lost, sent = await asyncio.gather(
        desk.client.send_signal("nobody", "go"), desk.client.send_signal("a", "go"), return_exceptions=True
    )

    assert isinstance(lost, errors.InstanceNotFoundError)
    assert sent == "Sent"


async def test_a_signal_after_the_end_is_ignored(desk: Desk) -> None:
    """It is no error, and leaves nothing behind."""
    await desk.start("a")
    await desk.ended("a")

    fate = await desk.client.send_signal("a", "late", dedupe_key="one")

    assert fate == "Finished"
    assert await desk.fetch("select 1 from inbox union all select 1 from signal_keys") == []


async def test_too_many_unconsumed_signals_are_the_senders_error(desk: Desk) -> None:
    """Up to the limit all pass; the next is refused, its key stays free, and nothing that was sent is lost."""
    await desk.start("a", "b")
    await full(desk, "a", but=2)

    fates = await asyncio.gather(
        *(desk.client.send_signal("a", "go", n, dedupe_key=str(n)) for n in range(4)),
        desk.client.send_signal("b", "go"),
        return_exceptions=True,
    )
    await full(desk, "a", but=100)
    again = await desk.client.send_signal("a", "go", 2, dedupe_key="2")

    assert [type(fate) for fate in fates] == [str, str, errors.SignalsFullError, errors.SignalsFullError, str]
    assert again == "Sent"
    assert await received(desk, "a") == [("go", 0), ("go", 1), ("go", 2)]


async def test_what_waits_in_the_inbox_counts_as_unconsumed(desk: Desk) -> None:
    """A signal that no worker has taken in yet is one that the code has not waited for."""
    await desk.start("a")
    await desk.client.send_signal("a", "go")
    await full(desk, "a", but=1)

    with pytest.raises(errors.SignalsFullError, match=f"{limits.UNCONSUMED_SIGNALS} signals") as raised:
        await desk.client.send_signal("a", "go")

    assert raised.value.retryable


async def test_a_known_signal_is_known_even_when_there_is_no_room(desk: Desk) -> None:
    """Who sends again what came in already is not told to slow down."""
    await desk.start("a")
    await desk.client.send_signal("a", "go", dedupe_key="one")
    await full(desk, "a")

    assert await desk.client.send_signal("a", "go", dedupe_key="one") == "Known"


@pytest.mark.parametrize("name", ["", "x" * (limits.NAME_CHARACTERS + 1), "a\0b"], ids=["empty", "long", "nul"])
async def test_a_name_that_can_be_none_is_refused(desk: Desk, name: str) -> None:
    """Names of signals are short and printable."""
    await desk.start("a")

    with pytest.raises(errors.DefinitionError, match="name for a signal"):
        await desk.client.send_signal("a", name)


@pytest.mark.parametrize("key", ["", "x" * (limits.DEDUPE_KEY_CHARACTERS + 1), "a\0b"], ids=["empty", "long", "nul"])
async def test_a_dedupe_key_that_can_be_none_is_refused(desk: Desk, key: str) -> None:
    """Keys are short and printable, and an empty one is a mistake."""
    await desk.start("a")

    with pytest.raises(errors.DefinitionError, match="dedupe key"):
        await desk.client.send_signal("a", "go", dedupe_key=key)


async def test_a_payload_over_the_limit_is_refused(desk: Desk) -> None:
    """The one who sends too much hears it, and nothing is sent."""
    await desk.start("a")

    with pytest.raises(errors.PayloadTooLargeError, match="signal go to a"):
        await desk.client.send_signal("a", "go", "x" * limits.PAYLOAD_BYTES)

    assert await desk.messages("a") == []


async def test_large_signals_go_in_several_statements(desk: Desk) -> None:
    """Each within its limit, together more than one statement may carry: all come in, in order."""
    await desk.start("a")
    text = "x" * (limits.PAYLOAD_BYTES - 2)

    await asyncio.gather(*(desk.client.send_signal("a", f"n{n}", text) for n in range(20)))

    assert [name for name, _ in await received(desk, "a")] == [f"n{n}" for n in range(20)]
