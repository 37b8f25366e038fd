"""Values to JSON and back: what travels, what is refused, and how the refusal says where."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import uuid
from collections.abc import Callable

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import JsonValue, errors
from perdure._core import limits, payload


class Colour(enum.Enum):
    """A few words."""

    RED = "red"


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0


class Box(pydantic.BaseModel):
    """A model with something inside."""

    name: str
    corners: list[Point]
    size: pydantic.PositiveInt = 1


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_values_survive_the_round_trip(value: JsonValue) -> None:
    """Whatever JSON can say comes back as it was, NUL characters and lone text included."""
    assert payload.decoder(JsonValue)(payload.encode(value, "value")) == value
    assert payload.decoder(object)(payload.encode(value, "value")) == value


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (Point(1, 2), Point),
        (Box(name="b", corners=[Point(1)]), Box),
        ([Box(name="b", corners=[])], list[Box]),
        ({"a": Point(3)}, dict[str, Point]),
        (datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC), datetime.datetime),
        (datetime.timedelta(seconds=90), datetime.timedelta),
        (uuid.UUID(int=7), uuid.UUID),
        (Colour.RED, Colour),
        ((1, "a"), tuple[int, str]),
        (None, type(None)),
        (None, Point | None),
    ],
    ids=repr,
)
def test_typed_values_survive_the_round_trip(value: object, annotation: object) -> None:
    """Models, dataclasses and the usual types come back as what they were, by the annotation."""
    assert payload.decoder(annotation)(payload.encode(value, "value")) == value


@pytest.mark.parametrize(
    "value", [object(), {1, 2}.__iter__(), lambda: None, {(1, 2): 3}, 1j], ids=lambda v: type(v).__name__
)
def test_what_has_no_json_form_is_refused_by_name(value: object) -> None:
    """The error names whose value it is and what can be used instead."""
    with pytest.raises(errors.PayloadError, match="input of x") as raised:
        payload.encode(value, "input of x")

    assert "pydantic models, dataclasses" in raised.value.message


class Sealed(pydantic.BaseModel):
    """A model with bytes in it."""

    key: bytes


@dataclasses.dataclass
class Held:
    """A dataclass with anything in it."""

    inside: object


class Fixed(msgspec.Struct):
    """A struct with anything in it."""

    inside: object


@pytest.mark.parametrize("found", [b"key", bytearray(b"key"), memoryview(b"key")], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize(
    "around",
    [
        lambda v: v,
        lambda v: [1, v],
        lambda v: {"a": [{"b": v}]},
        lambda v: (v,),
        Held,
        Fixed,
        lambda v: [Held({"a": v})],
    ],
)
def test_bytes_are_refused_wherever_they_stand(found: object, around: Callable[[object], object]) -> None:
    """They would come back as something else without a word; the error says what to do instead."""
    with pytest.raises(errors.PayloadError, match=r"The result of x .* it holds bytes.*Use text, or .* base64"):
        payload.encode(around(found), "result of x")


@pytest.mark.parametrize("value", [Sealed(key=b"key"), [Sealed(key=b"key")]], ids=repr)
def test_a_model_writes_and_reads_its_own_bytes(value: object) -> None:
    """Its annotation knows what they were."""
    annotation = Sealed if isinstance(value, Sealed) else list[Sealed]

    assert payload.decoder(annotation)(payload.encode(value, "value")) == value


@given(st.sampled_from([math.nan, math.inf, -math.inf]))
def test_no_number_becomes_invalid_json(value: float) -> None:
    """NaN and the infinities have no JSON form; what is written can be read by everybody."""
    assert json.loads(payload.encode([value], "value")) == [None]


def test_the_limit_itself_passes_and_one_byte_more_does_not() -> None:
    """The error says how large the value is and how large it may be."""
    quotes = 2
    assert len(payload.encode("x" * (limits.PAYLOAD_BYTES - quotes), "value")) == limits.PAYLOAD_BYTES

    with pytest.raises(errors.PayloadTooLargeError, match=f"{limits.PAYLOAD_BYTES + 1} bytes.*{limits.PAYLOAD_BYTES}"):
        payload.encode("x" * (limits.PAYLOAD_BYTES - quotes + 1), "value")


def test_every_wrong_field_is_named_with_its_path() -> None:
    """Path, what was expected, what was found; all of them at once, and never a whole payload."""
    wrong = {"name": None, "corners": [{"x": 1}, {"x": "left", "y": "y" * 1_000}], "size": -1}

    with pytest.raises(errors.InputInvalidError) as raised:
        payload.decoder(Box)(json.dumps(wrong).encode())

    message = raised.value.message
    for path, expected in (
        ("name", "string"),
        ("corners.1.x", "integer"),
        ("corners.1.y", "integer"),
        ("size", "greater"),
    ):
        assert f"{path}: " in message
        assert expected in message
    assert "'left'" in message
    assert len(message) < 600


def test_what_is_wrong_is_called_by_its_name() -> None:
    """The error says what was read, and when not a field but the value itself is wrong, it names no field."""
    wrong = "The result of activity count does not fit int: Input should be a valid integer.*found 'seven'"

    with pytest.raises(errors.InputInvalidError, match=wrong):
        payload.decoder(int, "result of activity count")(b'"seven"')


def test_what_cannot_be_written_is_called_by_its_type() -> None:
    """The sentence names the value, the type that stands in the way, and what to use instead."""
    with pytest.raises(
        errors.PayloadError, match=r"The output of x cannot .* it holds a value of the type generator\. Use"
    ):
        payload.encode({"lines": (line for line in "ab")}, "output of x")


def test_stored_json_that_is_none_is_an_error_of_its_own() -> None:
    """Broken bytes are told as such."""
    for annotation in (object, Box):
        with pytest.raises(errors.PayloadError):
            payload.decoder(annotation)(b"{broken")


class Order(pydantic.BaseModel):
    """A model that names a class which is there only below."""

    lines: list[Line]


READS_ORDERS = payload.decoder(Order)


class Line(pydantic.BaseModel):
    """What the model above is made of."""

    number: int


def test_a_model_may_name_a_class_that_is_defined_later() -> None:
    """What reads it is made where it is first mentioned; that it is complete is asked when something is read."""
    assert READS_ORDERS(b'{"lines": [{"number": 1}]}') == Order(lines=[Line(number=1)])


def test_what_is_nested_too_deeply_is_said_not_overflown() -> None:
    """A value that calls itself a hundred thousand levels deep is a payload error both ways, not a broken process."""
    value: payload.JsonValue = 1
    for _ in range(100_000):
        value = [value]

    with pytest.raises(errors.PayloadError):
        payload.encode(value, "output")
    with pytest.raises(errors.PayloadError):
        payload.decoder(object)(b"[" * 100_000 + b"]" * 100_000)
