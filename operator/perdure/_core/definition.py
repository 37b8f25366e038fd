"""Definitions and registries: what is offered, under which name and version.

A decorator names a function and reads its types; it offers nothing. Only a registry offers, explicitly, and refuses
duplicates, bad names and bad versions at start-up, where somebody sees it. Nothing is discovered by import side effect.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Generic, Never, Protocol, Self, TypeVar, overload

import semver

from perdure import errors
from perdure._core import limits, payload
from perdure._core.activity import ActivityContext

if typing.TYPE_CHECKING:
    from perdure._core.context import OrchestrationContext

__all__ = [
    "ActivityDefinition",
    "ActivityRegistry",
    "AnyActivity",
    "AnyOrchestration",
    "Function",
    "OrchestrationDefinition",
    "OrchestrationRegistry",
    "Signature",
    "activity",
    "check_activity",
    "check_name",
    "describe",
    "orchestration",
    "parse_version",
]

I = TypeVar("I", contravariant=True)  # noqa: E741 - I and O are read as input and output
O = TypeVar("O", covariant=True)  # noqa: E741 - see above
_I = TypeVar("_I")
_O = TypeVar("_O")

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]*[A-Za-z0-9])?")
_MAX_PARAMETERS = 2
_NEVER = (typing.Never, typing.NoReturn)
"""How those are annotated that run for ever, or fail in any case: there is nothing to read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Signature:
    """What the annotations of a function say: whether it takes an input, the types that travel, whether it is async."""

    takes_input: bool
    input_type: object
    output_type: object
    is_async: bool


class Function(Protocol[O]):
    """The author's function, called with the context and, if it takes one, the input."""

    def __call__(self, *arguments: object) -> O:
        """Call it; the definition knows with what."""


class _ByName(Protocol[O]):
    """The same function as a unit test calls it: the input may be given by its name."""

    def __call__(self, *arguments: object, **named: object) -> O:
        """Call it."""


@dataclasses.dataclass(frozen=True, slots=True)
class OrchestrationDefinition(Generic[I, O]):
    """A named, versioned orchestration; still callable: its steps are then those of whoever calls it."""

    name: str
    version: str
    function: Function[Awaitable[O]]
    signature: Signature

    def __call__(self, ctx: OrchestrationContext, *args: I, **named: I) -> Awaitable[O]:
        """Call the plain function."""
        return typing.cast("_ByName[Awaitable[O]]", self.function)(ctx, *args, **named)


@dataclasses.dataclass(frozen=True)
class ActivityDefinition(Generic[I, O]):
    """A named activity; still callable, for unit tests."""

    name: str
    function: Function[Awaitable[O] | O]
    signature: Signature

    def __call__(self, ctx: ActivityContext, *args: I, **named: I) -> Awaitable[O] | O:
        """Call the plain function."""
        return typing.cast("_ByName[Awaitable[O] | O]", self.function)(ctx, *args, **named)

    @functools.cached_property
    def read_input(self) -> Callable[[bytes], object]:
        """What reads an input of it: looked up once, since every attempt needs it."""
        return payload.decoder(self.signature.input_type, f"input of activity {self.name}")

    @functools.cached_property
    def read_result(self) -> Callable[[bytes], object]:
        """What reads a result of it: looked up once, since every call of the activity needs it."""
        return payload.decoder(self.signature.output_type, f"result of activity {self.name}")


AnyOrchestration = OrchestrationDefinition[Never, object]
AnyActivity = ActivityDefinition[Never, object]


class _OrchestrationDecorator(Protocol):
    """What `orchestration(...)` gives: it takes an async function with or without an input."""

    @overload
    def __call__(
        self, function: Callable[[OrchestrationContext, _I], Awaitable[_O]], /
    ) -> OrchestrationDefinition[_I, _O]: ...
    @overload
    def __call__(
        self, function: Callable[[OrchestrationContext], Awaitable[_O]], /
    ) -> OrchestrationDefinition[None, _O]: ...


class _ActivityDecorator(Protocol):
    """What `activity(...)` gives: it takes an async or a plain function with or without an input."""

    @overload
    def __call__(self, function: Callable[[ActivityContext, _I], Awaitable[_O]], /) -> ActivityDefinition[_I, _O]: ...
    @overload
    def __call__(self, function: Callable[[ActivityContext], Awaitable[_O]], /) -> ActivityDefinition[None, _O]: ...
    @overload
    def __call__(self, function: Callable[[ActivityContext, _I], _O], /) -> ActivityDefinition[_I, _O]: ...
    @overload
    def __call__(self, function: Callable[[ActivityContext], _O], /) -> ActivityDefinition[None, _O]: ...


def orchestration(name: str, *, version: str = "1.0.0") -> _OrchestrationDecorator:
    """Name an `async def f(ctx[, input])` as an orchestration. Raises `DefinitionError` for a bad name or version."""
    check_name(name)
    parse_version(name, version)

    def decorate(function: Function[Awaitable[_O]]) -> OrchestrationDefinition[typing.Never, _O]:
        signature = _read_signature(function, name)
        if not signature.is_async:
            message = f"Orchestration {name} is a plain function; write it as `async def`."
            raise errors.DefinitionError(message)
        return OrchestrationDefinition(name, version, function, signature)

    return typing.cast("_OrchestrationDecorator", decorate)


def activity(name: str) -> _ActivityDecorator:
    """Name an `async def` or `def` `f(ctx[, input])` as an activity. Raises `DefinitionError` for a bad name."""
    check_name(name)

    def decorate(function: Function[Awaitable[_O] | _O]) -> ActivityDefinition[typing.Never, _O]:
        return ActivityDefinition(name, function, _read_signature(function, name))

    return typing.cast("_ActivityDecorator", decorate)


class OrchestrationRegistry:
    """The orchestrations a worker offers: every version of each name, the highest being the default."""

    def __init__(self) -> None:
        """Offer nothing yet."""
        self._versions: dict[str, dict[str, AnyOrchestration]] = {}
        self._latest: dict[str, AnyOrchestration] = {}

    @classmethod
    def of(cls, *definitions: AnyOrchestration) -> Self:
        """Offer these. Raises `DefinitionError` when two have the same name and version."""
        return cls().add(*definitions)

    def add(self, *definitions: AnyOrchestration) -> Self:
        """Offer these as well. Raises `DefinitionError` when one of the same name and version is there."""
        for definition in definitions:
            _check_kind(definition, OrchestrationDefinition, "orchestration")
            versions = self._versions.setdefault(definition.name, {})
            if definition.version in versions:
                message = f"Orchestration {definition.name} {definition.version} is registered twice."
                raise errors.DefinitionError(message)
            versions[definition.version] = definition
            self._latest[definition.name] = max(
                versions.values(), key=lambda each: parse_version(each.name, each.version)
            )
        return self

    def merge(self, other: OrchestrationRegistry) -> Self:
        """Offer what `other` offers as well."""
        return self.add(*other)

    def find_or_none(self, name: str, version: str) -> AnyOrchestration | None:
        """Give exactly this version, never a near one."""
        return self._versions.get(name, {}).get(version)

    def latest_or_none(self, name: str) -> AnyOrchestration | None:
        """Give the highest version of a name by semantic versioning."""
        return self._latest.get(name)

    def names(self) -> list[str]:
        """Give the names offered, sorted."""
        return sorted(self._versions)

    def __iter__(self) -> Iterator[AnyOrchestration]:
        """Give every definition, by name and then by version."""
        for name in self.names():
            versions = self._versions[name]
            for version in sorted(versions, key=functools.partial(parse_version, name)):
                yield versions[version]


class ActivityRegistry:
    """The activities a worker offers."""

    def __init__(self) -> None:
        """Offer nothing yet."""
        self._activities: dict[str, AnyActivity] = {}

    @classmethod
    def of(cls, *definitions: AnyActivity) -> Self:
        """Offer these. Raises `DefinitionError` when two have the same name."""
        return cls().add(*definitions)

    def add(self, *definitions: AnyActivity) -> Self:
        """Offer these as well. Raises `DefinitionError` when one of the same name is there."""
        for definition in definitions:
            _check_kind(definition, ActivityDefinition, "activity")
            if definition.name in self._activities:
                message = f"Activity {definition.name} is registered twice; give one of them another name."
                raise errors.DefinitionError(message)
            self._activities[definition.name] = definition
        return self

    def merge(self, other: ActivityRegistry) -> Self:
        """Offer what `other` offers as well."""
        return self.add(*other)

    def find_or_none(self, name: str) -> AnyActivity | None:
        """Give the activity of this name."""
        return self._activities.get(name)

    def names(self) -> list[str]:
        """Give the names offered, sorted."""
        return sorted(self._activities)

    def __iter__(self) -> Iterator[AnyActivity]:
        """Give every definition, by name."""
        return (self._activities[name] for name in self.names())


def describe(definitions: Iterable[AnyOrchestration]) -> list[str]:
    """Give `name@version` of each: what a worker says it can run."""
    return [f"{definition.name}@{definition.version}" for definition in definitions]


def _check_kind(definition: object, kind: type[object], word: str) -> None:
    """Registries are filled by people, who forget decorators; say it at start-up."""
    if not isinstance(definition, kind):
        message = f"{definition!r} is no {word}; decorate it with @{word}(name)."
        raise errors.DefinitionError(message)


def check_name(name: object) -> str:
    """Give the name back. Raises `DefinitionError` when it can be none of an orchestration or activity."""
    if not isinstance(name, str):
        message = f"{name!r} is no orchestration or activity: expected one that is decorated, or its name."
        raise errors.DefinitionError(message)
    if not _is_name(name):
        message = (
            f"{name!r} is no name for an orchestration or activity: expected 1 to {limits.NAME_CHARACTERS} letters, "
            "digits and . _ : / - that begin and end with a letter or digit, as in `workflows::orchestration::my-flow`."
        )
        raise errors.DefinitionError(message)
    return name


@functools.lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return len(name) <= limits.NAME_CHARACTERS and _NAME.fullmatch(name) is not None


def check_activity(asked: object) -> str:
    """Give the name of an activity that was asked for by name. Raises `DefinitionError` for what is none."""
    if not isinstance(asked, str):
        message = f"{asked!r} is no activity: expected one that is decorated with @activity(name), or its name."
        raise errors.DefinitionError(message)
    return check_name(asked)


def parse_version(name: str, version: str) -> semver.Version:
    """Read a version of `name`. Raises `DefinitionError` when it is no semantic version."""
    try:
        return semver.Version.parse(version)
    except (ValueError, TypeError) as error:
        message = f"Version {version!r} of {name} is no semantic version; expected MAJOR.MINOR.PATCH, as in 1.0.0."
        raise errors.DefinitionError(message) from error


def _read_signature(function: Function[object], name: str) -> Signature:
    """Read the annotations once, at definition; refuse shapes that could never be called."""
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not 1 <= len(parameters) <= _MAX_PARAMETERS or any(p.kind not in positional for p in parameters):
        message = f"{name} takes ({', '.join(map(str, parameters))}); expected (ctx) or (ctx, input)."
        raise errors.DefinitionError(message)
    try:
        hints = _hints(function)
    except NameError as error:
        message = f"The annotations of {name} cannot be read: {error}. Import the types outside `if TYPE_CHECKING`."
        raise errors.DefinitionError(message) from error
    except TypeError as error:  # an instance that can be called, a partial
        message = f"{function!r} cannot be {name}: expected a function, written as `def` or `async def`."
        raise errors.DefinitionError(message) from error
    takes_input = len(parameters) == _MAX_PARAMETERS
    output_type = hints.get("return", object)
    return Signature(
        takes_input=takes_input,
        input_type=_checked(hints.get(parameters[1].name, object), f"input of {name}") if takes_input else None,
        output_type=object if output_type in _NEVER else _checked(output_type, f"output of {name}"),
        is_async=inspect.iscoroutinefunction(function),
    )


def _hints(function: Function[object]) -> dict[str, object]:
    """Give the annotations with their constraints (`Annotated[int, Field(gt=0)]`), as far as those can be hashed."""
    hints = typing.get_type_hints(function)
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        with contextlib.suppress(TypeError):
            hash(hint)
            hints[name] = hint
    return hints


def _checked(annotation: object, what: str) -> object:
    """Give the annotation back, of which values can be read."""
    try:
        payload.decoder(annotation, what)
    except errors.DefinitionError as error:
        raise errors.DefinitionError(
            f"The {what} is annotated with a type that no JSON fits. {error.message}"
        ) from error
    return annotation
