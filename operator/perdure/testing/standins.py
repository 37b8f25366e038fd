"""What stands for an activity or a child in a test: the real one, a function, a value, or an error.

A value is what it returns, an exception what it raises, a function is called as the real one would be: with the context
and the input. It keeps the types of the real one where a definition says them, so that a stand-in that gives something
else than the real one would is found. It knows nothing of time and of who asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from perdure import errors
from perdure._core import definition, payload
from perdure._core.activity import ActivityContext
from perdure._core.context import OrchestrationContext
from perdure._core.definition import AnyActivity, AnyOrchestration, OrchestrationRegistry

__all__ = ["Activities", "Given", "GivenActivities", "GivenOrchestrations", "StandIn", "to_registry"]

GivenActivities = Iterable[AnyActivity] | Mapping[Any, object]
"""Definitions, or a mapping of definitions or names; `Any`, as a mapping of one of the two is none of both to mypy."""
GivenOrchestrations = Iterable[AnyOrchestration] | Mapping[Any, object]
Given = Callable[..., object]
_MAX_PARAMETERS = 2


class StandIn(NamedTuple):
    """What is called for a name; `is_real` when it is the code that workers run."""

    function: Given
    input_type: object
    is_real: bool

    async def call(self, ctx: ActivityContext | OrchestrationContext, data: bytes) -> object:
        """Call it with the context and, as far as it takes them, the input."""
        arguments: list[object] = [ctx, payload.decoder(self.input_type, "input")(data)]
        result = self.function(*arguments[: _count_parameters(self.function)])
        return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result


class Activities:
    """What is called for each name of an activity."""

    def __init__(self, given: GivenActivities) -> None:
        """Take definitions, or a mapping of definitions or names to what stands for them."""
        self._by_name: dict[str, StandIn] = {}
        for key, value in given.items() if isinstance(given, Mapping) else ((one, one) for one in given):
            name = key if isinstance(key, str) else _definition(key, definition.ActivityDefinition).name
            self._by_name[name] = _activity(key, value)

    def find(self, name: str) -> StandIn:
        """Give what stands for a name. Raises `SimulationError` when nothing does."""
        if name not in self._by_name:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise errors.SimulationError(
                f"The orchestration asked for activity {name!r}, and nothing stands for it. Given: {known}. Name it: "
                f"activities={{{name!r}: lambda ctx, input: ...}}."
            )
        return self._by_name[name]


def to_registry(given: GivenOrchestrations) -> OrchestrationRegistry:
    """Give a registry of definitions, or of a mapping of definitions or names to what stands for them."""
    if not isinstance(given, Mapping):
        return OrchestrationRegistry.of(*given)
    return OrchestrationRegistry.of(*(_orchestration(key, value) for key, value in given.items()))


def _activity(key: AnyActivity | str, value: object) -> StandIn:
    if isinstance(value, definition.ActivityDefinition):
        signature = value.signature
        return StandIn(value.function, signature.input_type if signature.takes_input else object, is_real=True)
    function = _function(value)
    if isinstance(key, str):
        return StandIn(function, _input_type(function), is_real=False)
    return StandIn(function, key.signature.input_type if key.signature.takes_input else object, is_real=False)


def _orchestration(key: AnyOrchestration | str, value: object) -> AnyOrchestration:
    if isinstance(value, definition.OrchestrationDefinition):
        return value
    function = _function(value)
    name, version = (key, "1.0.0") if isinstance(key, str) else (key.name, key.version)
    stand_in = StandIn(function, object if isinstance(key, str) else key.signature.input_type, is_real=False)

    async def run(ctx: OrchestrationContext, input: object) -> object:
        return await stand_in.call(ctx, payload.encode(input, f"input of {name}"))

    return definition.orchestration(name, version=version)(run)


def _function(value: object) -> Given:
    if isinstance(value, BaseException):
        return _raising(value)
    return value if callable(value) else lambda: value


def _raising(error: BaseException) -> Given:
    def raise_it() -> None:
        raise error.with_traceback(None)

    return raise_it


def _definition(key: object, kind: type[AnyActivity]) -> AnyActivity:
    if not isinstance(key, kind):
        raise errors.DefinitionError(f"{key!r} names no activity: expected a name, or what @activity made.")
    return key


def _count_parameters(function: Given) -> int:
    """Say how many of (ctx, input) a function takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables of C have no signature
        return _MAX_PARAMETERS
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return _MAX_PARAMETERS
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(_MAX_PARAMETERS, sum(parameter.kind in positional for parameter in parameters))


def _input_type(function: Given) -> object:
    """Give the type that a function's second parameter is annotated with; JSON when it says none."""
    try:
        annotations = list(inspect.signature(function, eval_str=True).parameters.values())
    except (TypeError, ValueError, NameError):
        return object
    if len(annotations) < _MAX_PARAMETERS or annotations[1].annotation is inspect.Parameter.empty:
        return object
    return annotations[1].annotation
