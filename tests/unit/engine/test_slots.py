"""Slots: never more than there are, the highest priority first, of equals whoever came first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure._engine.slots import Slots


class Guests:
    """Those who ask for a slot, by name, in the order in which they got one."""

    def __init__(self, slots: Slots) -> None:
        """Ask for these slots."""
        self.slots = slots
        self.seated: list[str] = []

    def ask(self, name: str, priority: int = 0, *, comes: bool = True) -> None:
        """Ask; who does not come any more has no use for the slot when it is granted."""

        def granted() -> bool:
            if comes:
                self.seated.append(name)
            return comes

        self.slots.ask(priority, granted)


def test_a_free_slot_is_granted_at_once() -> None:
    """Nobody waits while there is room."""
    guests = Guests(Slots(2))

    guests.ask("first")
    guests.ask("second")
    guests.ask("third")

    assert guests.seated == ["first", "second"]


def test_those_who_wait_are_let_in_by_priority_then_in_the_order_of_coming() -> None:
    """A slot that is given back goes to the most urgent."""
    guests = Guests(Slots(1))
    guests.ask("seated")
    for name, priority in (("low", -1), ("usual", 0), ("usual too", 0), ("high", 5)):
        guests.ask(name, priority)

    for _ in range(4):
        guests.slots.give()

    assert guests.seated == ["seated", "high", "usual", "usual too", "low"]


def test_a_slot_that_nobody_has_a_use_for_goes_to_the_next() -> None:
    """Thousands who were cancelled while they waited cost the next one nothing but the look at them."""
    guests = Guests(Slots(1))
    guests.ask("seated")
    for number in range(5_000):
        guests.ask(f"gone {number}", comes=False)
    guests.ask("still here")

    guests.slots.give()

    assert guests.seated == ["seated", "still here"]


def test_what_is_taken_in_one_go_is_what_is_free() -> None:
    """Who takes several gets as many as there are, and nobody waits behind a free one."""
    slots = Slots(3)

    assert (slots.take(2), slots.take(2), slots.take(2)) == (2, 1, 0)
    slots.give(3)
    assert slots.free == 3


@given(st.integers(1, 4), st.lists(st.one_of(st.integers(-3, 3), st.none()), max_size=60))
def test_never_more_than_there_are_and_none_is_lost(count: int, steps: list[int | None]) -> None:
    """Whatever comes and goes: those seated and those free make up the slots, and none is free while somebody waits.

    A number is somebody who asks with that priority, None is somebody who leaves.
    """
    guests, asked, left = Guests(Slots(count)), 0, 0
    for step in steps:
        if step is not None:
            guests.ask(f"{asked}", step)
            asked += 1
        elif left < len(guests.seated):
            left += 1
            guests.slots.give()

        inside = len(guests.seated) - left
        assert inside + guests.slots.free == count
        assert guests.slots.free == 0 or len(guests.seated) == asked
