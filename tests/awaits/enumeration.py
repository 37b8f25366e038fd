"""Every place of a story, one run each: first the story undisturbed, which tells its places and what comes of it.

It knows rooms, stories and pictures; how they are shown is up to whoever asks for them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Sequence

from tests.awaits import picture
from tests.awaits.room import Room, Stage
from tests.awaits.stories import Story

__all__ = ["Found", "Undisturbed", "disturbed", "undisturbed"]

_TRIES = 3
"""What is decided by the order of two answers may go another way round; a place that is not reached is tried again."""


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """A story as it goes without a death: its places, in order, and the picture at its end."""

    story: Story
    places: list[str]
    picture: picture.Picture


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of a death at a place, the `number`-th from 1; `wrong` is empty when nothing is to be seen of it."""

    number: int
    place: str
    is_killed: bool
    wrong: str


async def undisturbed(stage: Stage, story: Story) -> Undisturbed:
    """Play a story without a death."""
    async with Room.opened(stage, story.modules) as room:
        await room.attended(story.play(room))
        told = [place for place in room.hands[0].places if re.match(story.counted, place)]
        seen = await picture.taken(room)
        assert story.tells in {(each["name"], each["version"]) for each in seen["instances"]}
        return Undisturbed(story, _by_instance(told), seen)


def _by_instance(places: Sequence[str]) -> list[str]:
    """Give the places of one instance after those of another: in which order two go on beside each other is chance."""
    instances = list(dict.fromkeys(place.partition(" ")[0] for place in places))
    return sorted(places, key=lambda place: instances.index(place.partition(" ")[0]))


async def disturbed(stage: Stage, model: Undisturbed, numbers: Sequence[int], *, beside: int) -> AsyncIterator[Found]:
    """Play a story once for each of these places, with a death there; so many at a time."""
    gate = asyncio.Semaphore(beside)

    async def one(number: int) -> Found:
        async with gate:
            return await _disturbed(stage, model, number)

    for found in asyncio.as_completed([one(number) for number in numbers]):
        yield await found


async def _disturbed(stage: Stage, model: Undisturbed, number: int) -> Found:
    place = model.places[number - 1]
    for _ in range(_TRIES):
        async with Room.opened(stage, model.story.modules, deadly=place) as room:
            try:
                await room.attended(model.story.play(room))
                if room.has_died:
                    return Found(number, place, True, await picture.difference(room, model.picture))
            except AssertionError as error:
                return Found(number, place, room.has_died, str(error))
    return Found(number, place, False, f"the place was not reached in {_TRIES} runs")
