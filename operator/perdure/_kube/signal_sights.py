"""What a signal resource asks for, read from its JSON into a row of the store. Pure.

It knows how a message looks in history; it must not know where the sight came from, nor the run. What can never be sent
is a refusal, never an error: the schema lets pass what only the engine knows to be no name and no payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from pydantic import JsonValue

from perdure import errors
from perdure._core import history, identifiers, payload
from perdure._core.activity import Manifest
from perdure._core.secret import SecretRef
from perdure._kube import nesting
from perdure._store.signal_resources import SeenSignal

__all__ = ["gone", "message", "seen"]


def seen(manifest: Manifest) -> SeenSignal:
    """Read a resource as the API server gives it."""
    metadata, spec = _mapping(manifest["metadata"]), _mapping(manifest.get("spec"))
    source = _mapping(spec.get("payloadFrom"))
    config, secret = _mapping(source.get("configMapKeyRef")), _mapping(source.get("secretKeyRef"))
    ttl = spec.get("ttlSecondsAfterDelivered")
    sent: bytes | None = None
    refusal: tuple[str, errors.PerdureError] | None = None
    try:
        sent = message(str(spec.get("signal", "")), _payload(spec, secret))
    except errors.DefinitionError as error:
        refusal = "SignalInvalid", error
    except errors.PayloadError as error:
        refusal = "PayloadInvalid", error
    return SeenSignal(
        uid=UUID(str(metadata["uid"])),
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        generation=int(str(metadata["generation"])),
        deleting="deletionTimestamp" in metadata,
        signal=str(spec.get("signal", "")),
        target=str(_mapping(spec.get("orchestrationRef")).get("name", "")),
        message=None if config else sent,
        config_map=str(config["name"]) if config else None,
        config_key=str(config["key"]) if config else None,
        ttl_seconds=ttl if isinstance(ttl, int) else None,
        refusal=refusal and refusal[0],
        refusal_detail=refusal and f"{refusal[1].code}: {refusal[1].message}",
        created_at=datetime.fromisoformat(str(metadata["creationTimestamp"])),
    )


def gone(uid: UUID, *, namespace: str, name: str) -> SeenSignal:
    """Say that a resource is no more."""
    return SeenSignal(uid, namespace, name, gone=True)


def message(signal: str, value: object) -> bytes:
    """Give the message as the event that it becomes. Raises `DefinitionError` and `PayloadError`."""
    identifiers.check_signal_name(signal)
    data = payload.encode(value, f"payload of signal {signal}")
    return history.encode_event(history.SignalReceived(signal, msgspec.Raw(data)))


def _payload(spec: Mapping[str, JsonValue], secret: Mapping[str, JsonValue]) -> JsonValue:
    """Give the payload that stands in the spec, or the reference that stands for it."""
    if secret:
        return _reference(secret)
    given = spec.get("payload")
    if nesting.is_deeper(given, nesting.LEVELS):
        message = f"spec.payload is nested more than {nesting.LEVELS} levels deep, which is the limit."
        raise errors.PayloadError(message)
    return given


def _reference(secret: Mapping[str, JsonValue]) -> JsonValue:
    try:
        return {name: {**where} for name, where in SecretRef(str(secret["name"]), str(secret["key"])).to_json().items()}
    except ValueError as error:
        message = f"spec.payloadFrom.secretKeyRef cannot be read: {error}."
        raise errors.PayloadError(message) from error


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}
