"""What all resource models share: names in camelCase outside, snake_case inside.

Nothing here knows a particular resource.
"""

from __future__ import annotations

import pydantic
from pydantic.alias_generators import to_camel

__all__ = ["ANY_JSON", "API_VERSION", "GROUP", "VERSION", "Model"]

GROUP = "perdure.dev"
"""The API group of every resource of ours."""

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
"""The version that every resource of ours has, alone and with the group."""

ANY_JSON: dict[str, pydantic.JsonValue] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
"""Schema of a field that takes any JSON value, null included."""


class Model(pydantic.BaseModel):
    """A part of a resource. Unknown fields are ignored: the API server prunes them, and a newer CRD may have more."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, use_attribute_docstrings=False
    )
