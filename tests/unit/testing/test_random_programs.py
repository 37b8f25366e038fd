"""Random programs in simulations: whatever is built of the whole API comes to its end, or waits for somebody."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from perdure import ActivityContext
from perdure.testing import Simulation, assert_replays
from tests.unit.core.test_programs import Program, interpreter, programs


def moody(ctx: ActivityContext) -> str:
    """Fail now and then, by the number of the activity."""
    if ctx.info.seq % 5 == 0:
        raise ValueError(ctx.info.seq)
    return f"result {ctx.info.seq}"


@given(programs, st.booleans())
def test_every_program_ends_or_waits_for_somebody(program: Program, is_cancelled: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Nothing hangs and nothing is left behind; every history of every execution replays from its file."""
    with Simulation(activities={"step": moody}, orchestrations={"child": "grown"}) as simulation:
        run = simulation.start(interpreter, json.loads(json.dumps(program)))
        for _ in range(20):
            simulation.run()
            for name in run.waits:
                run.signal(name, "at last")
        if is_cancelled:
            run.cancel()
            simulation.run()

        assert run.phase != "Running" or run.waits
        assert [call.name for call in run.activities if call.state == "Running"] == []
        for execution in range(1, run.executions + 1):
            exported = run.export(execution)
            assert json.loads(exported)["execution"] == execution
            assert_replays(exported, [interpreter])
