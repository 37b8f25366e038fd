"""What the types of all domains are made of: the model, a manifest as history may hold it, the longest wait."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic.alias_generators import to_camel

from perdure import JsonValue, Manifest

__all__ = ["LONGEST_WAIT_SECONDS", "KubernetesManifest", "Model"]

LONGEST_WAIT_SECONDS = 24 * 3600.0
"""A wait holds a slot of a worker; whoever waits for days uses a timer and looks again."""


class Model(pydantic.BaseModel):
    """The common ground: camelCase outside, Python names inside, values that do not change."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
    )


def _check_manifest(manifest: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what could not be applied twice with the same effect, and what must not stand in history."""
    metadata = manifest.get("metadata")
    named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and metadata["name"]
    if not (isinstance(manifest.get("apiVersion"), str) and isinstance(manifest.get("kind"), str) and named):
        message = (
            "expected a Kubernetes object with apiVersion, kind and metadata.name (not generateName: a retry would "
            "make a second object)"
        )
        raise ValueError(message)
    if manifest["kind"] == "Secret" and (manifest.get("data") or manifest.get("stringData")):
        message = (
            "a Secret's data would stand in the history of the run; make the Secret beforehand or in an activity of "
            "your own, and refer to it by name"
        )
        raise ValueError(message)
    return manifest


KubernetesManifest = Annotated[Manifest, pydantic.AfterValidator(_check_manifest)]
"""A Kubernetes object that has an apiVersion, a kind and a name, and is no Secret with data."""
