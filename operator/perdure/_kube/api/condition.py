"""One condition, as every Kubernetes tool reads it.

The shape is that of `metav1.Condition`; which conditions there are and when they flip is decided in `_kube.status`.
This module knows the schema only: bounds, enums and the prose of `kubectl explain`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import pydantic

from perdure._kube.api import base

__all__ = ["CONDITION_TYPES", "Condition", "ConditionStatus"]

ConditionStatus = Literal["True", "False", "Unknown"]

CONDITION_TYPES = ("Ready", "Reconciling", "Stalled", "Completed", "Failed", "Finished")
"""All that an Orchestration carries, in the order shown. Tools read the first three (kstatus), people the others."""


class Condition(base.Model):
    """One aspect of the state of the run."""

    type: Annotated[str, pydantic.Field(max_length=316)] = pydantic.Field(
        description="Which aspect: Ready, Reconciling, Stalled, Completed, Failed or Finished."
    )
    status: ConditionStatus = pydantic.Field(description="True, False or Unknown.")
    reason: Annotated[str, pydantic.Field(min_length=1, max_length=1024)] = pydantic.Field(
        description="Why, in one CamelCase word for programs."
    )
    message: Annotated[str, pydantic.Field(max_length=32768)] = pydantic.Field(
        description="Why, in a sentence for people."
    )
    last_transition_time: datetime = pydantic.Field(
        description="When the status of this condition last changed from one value to another."
    )
    observed_generation: int | None = pydantic.Field(
        default=None, description="The generation of the resource that this condition was decided for."
    )
