"""`assert_replays`: recorded histories against the code at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import OrchestrationContext, OrchestrationRegistry, errors, orchestration
from perdure._core import export
from perdure.testing import assert_replays, simulate


@orchestration("shop::orchestration::ship")
async def ship(ctx: OrchestrationContext, input: str) -> str:
    """What wrote the histories."""
    parcel = await ctx.schedule_activity("pack", input, returns=str)
    await ctx.schedule_timer(60)
    await ctx.schedule_activity("send", parcel)
    return parcel


@orchestration("shop::orchestration::ship")
async def reworded(ctx: OrchestrationContext, input: str) -> str:
    """The same, said otherwise: another delay, status, and a helper."""
    ctx.set_custom_status("packing")
    parcel = await ctx.schedule_activity("pack", input, returns=str)
    await ctx.schedule_timer(5)
    await ctx.schedule_activity("send", parcel)
    return parcel


@orchestration("shop::orchestration::ship")
async def insured(ctx: OrchestrationContext, input: str) -> str:
    """What was changed under the same version."""
    parcel = await ctx.schedule_activity("pack", input, returns=str)
    await ctx.schedule_activity("insure", parcel)
    return parcel


RECORDED = simulate(ship, "lamp", activities={"pack": "parcel", "send": None}).export()


def test_the_code_that_wrote_a_history_replays_it(tmp_path: Path) -> None:
    """An export as bytes, as a file by its path, or read already."""
    file = tmp_path / "shipped.json"
    file.write_bytes(RECORDED)

    for recorded in (RECORDED, file, str(file), export.decode(RECORDED)):
        assert_replays(recorded, [ship])
        assert_replays(recorded, OrchestrationRegistry.of(reworded))


async def test_it_works_in_an_async_test() -> None:
    """The task of the test is kept out of the replay."""
    assert_replays(RECORDED, [ship])


def test_changed_code_is_found_with_the_turn_and_the_likely_cause() -> None:
    """What was recorded, what the code asks for now, where, and why probably."""
    with pytest.raises(errors.NondeterminismError, match=r"recorded timer 2, .* asks for activity 2 insure") as raised:
        assert_replays(RECORDED, [insured])

    assert raised.value.__notes__ == [
        "In turn 1 of test, execution 1. Calls changed places, or one was added before this one."
    ]


def test_a_version_that_is_not_offered_is_told() -> None:
    """Its instances would wait for a worker that has it."""
    newer = orchestration("shop::orchestration::ship", version="1.1.0")(ship.function)

    with pytest.raises(errors.SimulationError, match=r"ship 1.0.0, which is not offered; offered versions: 1.1.0"):
        assert_replays(RECORDED, [newer])


def test_what_is_no_history_is_told() -> None:
    """As on the command line."""
    with pytest.raises(errors.HistoryUnreadableError):
        assert_replays(b"{}", [ship])


def test_each_execution_has_a_history_of_its_own() -> None:
    """The last is exported, unless told which; each is replayed for itself."""

    @orchestration("shop::orchestration::rounds")
    async def rounds(ctx: OrchestrationContext, input: int) -> int:
        await ctx.schedule_timer(60)
        if input < 3:
            ctx.continue_as_new(input + 1)
        return input

    run = simulate(rounds, 1)

    exports = [export.decode(run.export(number)) for number in (1, 2, 3)]
    assert export.decode(run.export()) == exports[2]
    assert [exported.execution for exported in exports] == [1, 2, 3]
    for exported in exports:
        assert_replays(exported, [rounds])
