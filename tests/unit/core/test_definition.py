"""Decorators and registries: what is refused where it is written, and what a worker offers."""

from __future__ import annotations

import dataclasses
import functools
from typing import Annotated, Never, cast

import pydantic
import pytest

from perdure import (
    ActivityContext,
    ActivityRegistry,
    OrchestrationContext,
    OrchestrationRegistry,
    activity,
    errors,
    orchestration,
)
from perdure._core import definition, limits
from perdure._core.definition import AnyActivity, AnyOrchestration
from tests.unit.core.runs import Run


@dataclasses.dataclass
class Order:
    """An input."""

    amount: int


def version(number: str, name: str = "unit::orchestration::versioned") -> AnyOrchestration:
    """Make an orchestration of a version."""

    @orchestration(name, version=number)
    async def versioned(ctx: OrchestrationContext) -> str:
        return number

    return versioned


@activity("unit::activity::buy")
def buy(ctx: ActivityContext, input: Order) -> int:
    """Spend."""
    return input.amount


def test_a_definition_knows_its_types_and_stays_callable() -> None:
    """A decorated function can still be called in a unit test."""
    assert buy.name == "unit::activity::buy"
    assert buy.signature == definition.Signature(takes_input=True, input_type=Order, output_type=int, is_async=False)
    assert buy(cast("ActivityContext", None), Order(3)) == 3
    assert buy(cast("ActivityContext", None), input=Order(3)) == 3


@pytest.mark.parametrize("name", ["", " ", "-a", "a-", "a b", "a\0", "ä", "x" * (limits.NAME_CHARACTERS + 1)])
def test_a_bad_name_is_refused(name: str) -> None:
    """Names stand in index entries, log lines and resources; the error shows an example."""
    with pytest.raises(errors.DefinitionError, match="workflows::orchestration::"):
        activity(name)
    with pytest.raises(errors.DefinitionError, match="no name"):
        orchestration(name)


@pytest.mark.parametrize("number", ["", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "latest"])
def test_a_bad_version_is_refused(number: str) -> None:
    """Versions are semantic versions, whole ones."""
    with pytest.raises(errors.DefinitionError, match="semantic version"):
        version(number)


def test_functions_that_could_never_be_called_are_refused() -> None:
    """No context, too many parameters, keywords only, a plain function as orchestration, unreadable annotations."""

    def nothing() -> None: ...
    def three(ctx: object, input: int, more: int) -> None: ...
    def keyword(ctx: object, *, input: int) -> None: ...
    def several(ctx: object, *inputs: int) -> None: ...
    def unknown(ctx: object, input: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - what the test is about
    def plain(ctx: OrchestrationContext) -> None: ...

    for function in (nothing, three, keyword, several, unknown):
        with pytest.raises(errors.DefinitionError):
            activity("unit::activity::wrong")(function)  # type: ignore[arg-type]  # refused by the types too
    with pytest.raises(errors.DefinitionError, match="async def"):
        orchestration("unit::orchestration::wrong")(plain)  # type: ignore[arg-type]  # refused by the types too


class Plain:
    """A class that neither reads nor writes JSON."""


def test_types_that_no_json_fits_are_refused_where_they_are_written() -> None:
    """A run would meet them only once it has an input; at start-up somebody sees it."""

    async def takes(ctx: OrchestrationContext, input: Plain) -> None: ...
    async def gives(ctx: OrchestrationContext) -> list[Plain]:
        return []

    with pytest.raises(
        errors.DefinitionError, match=r"input of unit::\S+ is annotated .* No value can be read as Plain"
    ):
        orchestration("unit::orchestration::wrong")(takes)
    with pytest.raises(errors.DefinitionError, match="output of unit::"):
        orchestration("unit::orchestration::wrong")(gives)


def test_constraints_of_an_annotation_hold() -> None:
    """What `Annotated` says beside the type is a part of the contract; what cannot be hashed there is left out."""

    @orchestration("unit::orchestration::constrained")
    async def constrained(ctx: OrchestrationContext, input: Annotated[int, pydantic.Field(gt=1)]) -> int:
        return input

    @orchestration("unit::orchestration::remarked")
    async def remarked(ctx: OrchestrationContext, input: Annotated[int, {"a": "remark"}]) -> int:
        return input

    assert Run(constrained, 2).output == 2
    assert "greater than 1" in Run(constrained, 1).failure.message
    assert Run(remarked, 1).output == 1


def test_what_never_returns_may_say_so() -> None:
    """An orchestration that runs for ever is annotated with `Never`; there is nothing to read of it."""

    @orchestration("unit::orchestration::eternal")
    async def eternal(ctx: OrchestrationContext) -> Never:
        ctx.continue_as_new()

    assert eternal.signature.output_type is object


def test_what_can_be_called_and_is_no_function_is_refused() -> None:
    """An instance or a partial has no annotations to read."""

    class Buying:
        async def __call__(self, ctx: ActivityContext) -> None: ...

    for wrong in (Buying(), functools.partial(buy.function)):
        with pytest.raises(errors.DefinitionError, match="expected a function"):
            activity("unit::activity::wrong")(wrong)


def test_the_highest_version_is_by_number_and_releases_come_after_candidates() -> None:
    """1.10 is higher than 1.9, and 2.0.0 than 2.0.0-rc.1: semantic versions, not texts."""
    registry = OrchestrationRegistry.of(*map(version, ("1.9.0", "1.10.0", "2.0.0-rc.1", "1.2.0")))
    assert registry.latest_or_none("unit::orchestration::versioned") is not None

    highest = registry.add(version("2.0.0")).latest_or_none("unit::orchestration::versioned")

    assert highest is not None
    assert highest.version == "2.0.0"
    assert [item.version for item in registry] == ["1.2.0", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]


def test_an_exact_version_is_never_substituted() -> None:
    """What is not there is not there, however near."""
    registry = OrchestrationRegistry.of(version("1.0.0"))

    assert registry.find_or_none("unit::orchestration::versioned", "1.0.1") is None
    assert registry.latest_or_none("unit::orchestration::other") is None


def test_duplicates_are_refused() -> None:
    """Two definitions of one name and version, or two activities of one name, are a mistake at start-up."""
    with pytest.raises(errors.DefinitionError, match="twice"):
        OrchestrationRegistry.of(version("1.0.0"), version("1.0.0"))
    with pytest.raises(errors.DefinitionError, match="twice"):
        ActivityRegistry.of(buy).merge(ActivityRegistry.of(buy))


def test_a_forgotten_decorator_is_told_at_start_up() -> None:
    """A plain function in a registry is refused, with what to write."""

    async def plain(ctx: OrchestrationContext) -> None: ...

    with pytest.raises(errors.DefinitionError, match="@orchestration"):
        OrchestrationRegistry.of(cast("AnyOrchestration", plain))
    with pytest.raises(errors.DefinitionError, match="@activity"):
        ActivityRegistry.of(cast("AnyActivity", plain))


def test_registries_can_be_listed_and_merged() -> None:
    """What several packages offer is one offer, in a stable order."""
    first = OrchestrationRegistry.of(version("1.0.0", "unit::orchestration::b"))
    second = OrchestrationRegistry.of(version("1.0.0", "unit::orchestration::a"))

    merged = first.merge(second)

    assert merged.names() == ["unit::orchestration::a", "unit::orchestration::b"]
    assert definition.describe(merged) == ["unit::orchestration::a@1.0.0", "unit::orchestration::b@1.0.0"]
    assert ActivityRegistry.of(buy).find_or_none(buy.name) is buy
    assert [item.name for item in ActivityRegistry.of(buy)] == ActivityRegistry.of(buy).names() == [buy.name]


def test_what_is_no_orchestration_is_refused_by_name() -> None:
    """A start of something else than a decorated function or its name is the caller's mistake, and says so."""
    with pytest.raises(errors.DefinitionError, match="7 is no orchestration or activity: expected"):
        definition.check_name(7)
