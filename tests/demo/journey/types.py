"""What travels between the journey and its activity, as it stands in history."""

from __future__ import annotations

import pydantic

from activities.types import Model

__all__ = ["Arrival", "JourneyInput", "JourneyOutput", "Leg"]


class JourneyInput(Model, extra="forbid"):
    """Where to go, and how long each leg takes."""

    places: list[str] = pydantic.Field(min_length=1, max_length=50)
    seconds_per_leg: float = pydantic.Field(default=1.0, ge=0, le=60)


class JourneyOutput(Model):
    """Where the journey ended, after how many legs."""

    place: str
    legs: int


class Leg(Model):
    """One leg, counted from 1."""

    number: int
    place: str
    seconds: float


class Arrival(Model):
    """The end of a leg, and the process that brought it there: history tells who did what."""

    number: int
    place: str
    process: int
