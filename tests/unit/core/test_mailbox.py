"""The mailbox on its own: which signal goes to which wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure._core import history
from perdure._core.mailbox import Mailbox
from tests.unit.core.runs import signal

names = st.sampled_from(["a", "b", "c"])
steps = st.lists(st.tuples(st.sampled_from(["put", "wait", "give up", "match"]), names), max_size=40)


def drained(mailbox: Mailbox[str]) -> list[tuple[str, bytes]]:
    """Hand over all that can be handed over."""
    pairs: list[tuple[str, bytes]] = []
    while pair := mailbox.match():
        pairs.append((pair[0], bytes(pair[1].payload)))
    return pairs


def test_each_signal_goes_to_the_first_wait_in_its_line() -> None:
    """First in, first out on both sides, each name for itself."""
    mailbox: Mailbox[str] = Mailbox()
    for number in (1, 2, 3):
        mailbox.put(signal("a", number))
    mailbox.put(signal("b", 4))

    for seq, name in ((1, "b"), (2, "a"), (3, "a"), (4, "c")):
        mailbox.wait(f"wait {seq}", name=name, seq=seq)

    assert drained(mailbox) == [("wait 2", b"1"), ("wait 3", b"2"), ("wait 1", b"4")]
    assert [(one.name, bytes(one.payload)) for one in mailbox.leftover()] == [("a", b"3")]


def test_a_wait_that_is_given_up_takes_none() -> None:
    """The signal stays for who waits next."""
    mailbox: Mailbox[str] = Mailbox()
    mailbox.wait("first", name="a", seq=1)
    mailbox.put(signal("a"))
    mailbox.give_up("a", 1)
    assert (mailbox.match(), len(mailbox)) == (None, 1)

    mailbox.wait("second", name="a", seq=2)

    assert drained(mailbox) == [("second", b"null")]


@given(steps)
def test_it_does_what_two_plain_lists_would(taken: list[tuple[str, str]]) -> None:
    """Whatever is put, waited for and given up in whatever order: as if one looked through two lists every time."""
    mailbox: Mailbox[int] = Mailbox()
    kept: list[history.SignalReceived] = []
    lines: list[tuple[int, str]] = []

    for number, (word, name) in enumerate(taken):
        match word:
            case "put":
                kept.append(signal(name, number))
                mailbox.put(kept[-1])
            case "wait":
                lines.append((number, name))
                mailbox.wait(number, name=name, seq=number)
            case "give up":
                if mine := next((wait for wait in reversed(lines) if wait[1] == name), None):
                    lines.remove(mine)
                    mailbox.give_up(name, mine[0])
            case _:
                assert mailbox.match() == expected_match(kept, lines)

    assert mailbox.leftover() == kept
    assert len(mailbox) == len(kept)


def expected_match(
    kept: list[history.SignalReceived], lines: list[tuple[int, str]]
) -> tuple[int, history.SignalReceived] | None:
    """Take the oldest signal that somebody waits for, and the first who does."""
    for one in kept:
        for wait in lines:
            if wait[1] == one.name:
                kept.remove(one)
                lines.remove(wait)
                return wait[0], one
    return None
