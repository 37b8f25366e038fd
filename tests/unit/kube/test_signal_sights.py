"""What a signal resource asks for, as the store takes it: the message as history has it, or why it is never sent."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from pydantic import JsonValue

from perdure._kube import nesting, signal_sights
from perdure._store.signal_resources import SeenSignal

UID = UUID(int=7)


def seen(spec: dict[str, JsonValue] | None = None, *, deleting: bool = False) -> SeenSignal:
    """Read a resource with this in its spec."""
    metadata: dict[str, JsonValue] = {
        "uid": str(UID),
        "namespace": "shop",
        "name": "approval",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **({"deletionTimestamp": "2026-01-02T00:00:00Z"} if deleting else {}),
    }
    usual: dict[str, JsonValue] = {"orchestrationRef": {"name": "db"}, "signal": "approve"}
    return signal_sights.seen({"metadata": metadata, "spec": usual | (spec or {})})


def payload(sight: SeenSignal) -> object:
    """Give the payload of the message, which is an event of history."""
    assert sight.message is not None
    event = json.loads(sight.message)
    assert (event["type"], event["name"]) == ("SignalReceived", "approve")
    return event["payload"]


@pytest.mark.parametrize("given", [None, 7, "x", {"by": "jo", "n": [1, None]}, [], {}], ids=str)
def test_a_payload_is_any_json(given: JsonValue) -> None:
    """What stands in the resource is what the code gets."""
    assert payload(seen({"payload": given})) == given


def test_a_signal_without_a_payload_has_null() -> None:
    """It says that something happened, and nothing else."""
    assert payload(seen()) is None


def test_a_secret_is_a_reference() -> None:
    """The value of a Secret is nowhere; its reference is what the code gives to an activity."""
    sight = seen({"payloadFrom": {"secretKeyRef": {"name": "db", "key": "password"}}})

    assert payload(sight) == {"secretRef": {"name": "db", "key": "password"}}
    assert sight.config_map is None


def test_a_config_map_is_read_later() -> None:
    """Who the run is, and so as whom it may be read, is known at delivery."""
    sight = seen({"payloadFrom": {"configMapKeyRef": {"name": "settings", "key": "size"}}})

    assert (sight.message, sight.config_map, sight.config_key) == (None, "settings", "size")
    assert sight.signal == "approve"


def test_the_rest_is_taken_over() -> None:
    """Whom it is for, how long it stays, whether it goes."""
    sight = seen({"ttlSecondsAfterDelivered": 60}, deleting=True)

    assert (sight.uid, sight.namespace, sight.name, sight.target) == (UID, "shop", "approval", "db")
    assert (sight.ttl_seconds, sight.deleting, sight.gone, sight.refusal) == (60, True, False, None)
    assert str(sight.created_at) == "2026-01-01 00:00:00+00:00"


def nested(levels: int) -> JsonValue:
    """Give lists in lists."""
    value: JsonValue = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"signal": "a\u200bb"}, "SignalInvalid", "name for a signal"),
        ({"payload": nested(nesting.LEVELS + 1)}, "PayloadInvalid", f"more than {nesting.LEVELS} levels deep"),
        ({"payload": "x" * 3_000_000}, "PayloadInvalid", "payload of signal approve"),
        ({"payloadFrom": {"secretKeyRef": {"name": "db", "key": ".."}}}, "PayloadInvalid", "secretKeyRef"),
    ],
    ids=["name", "deep", "large", "reference"],
)
def test_what_can_never_be_sent_says_why(spec: dict[str, JsonValue], reason: str, words: str) -> None:
    """The schema let it pass; the store is told, and the code of the error is named."""
    sight = seen(spec)

    assert (sight.message, sight.refusal) == (None, reason)
    assert sight.refusal_detail is not None
    assert sight.refusal_detail.startswith("PERDURE-")
    assert words in sight.refusal_detail


def test_a_payload_at_the_limit_of_depth_passes() -> None:
    """One level less is a payload."""
    assert seen({"payload": nested(nesting.LEVELS)}).refusal is None


def test_what_is_gone_is_gone() -> None:
    """Nothing of it is known but its name."""
    sight = signal_sights.gone(UID, namespace="shop", name="approval")

    assert (sight.uid, sight.name, sight.gone) == (UID, "approval", True)
