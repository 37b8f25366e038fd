"""What history keeps of an error: facts, bounded, without values of variables; and who may be tried again."""

from __future__ import annotations

import asyncio
import json

import pydantic
import pytest

from perdure import ActivityError, NonRetryableError, OrchestrationContext, errors, orchestration
from perdure._core import failure, frames, lifecycle, limits
from perdure.errors import InputInvalidError
from tests.unit.core.author import Failing, RefusedError, fall, fall_behind, fall_deep, fall_grouped
from tests.unit.core.runs import Run


def caught(raises: object, *arguments: object) -> BaseException:
    """Give the error that this function of an author's raises."""
    try:
        raises(*arguments)  # type: ignore[operator]  # a function, whatever its parameters
    except BaseException as error:  # noqa: BLE001 - it is what the test looks at
        return error
    pytest.fail("nothing was raised")


# --- whether another try could help ----------------------------------------------------------------------------------


class PassingError(errors.PerdureError):
    """Somebody's own, of the tree, that passes."""

    retryable = True


@pytest.mark.parametrize(
    ("error", "is_retryable"),
    [
        (NonRetryableError("no"), False),
        (RefusedError("no"), False),
        (InputInvalidError("no"), False),
        (errors.PayloadTooLargeError("no"), False),
        (PassingError("later"), True),
        (errors.ServiceAccountMissingError("shop", "runner"), True),
        (ActivityError("inner", retryable=True), True),
        (ActivityError("inner", retryable=False), False),
        (ValueError("?"), True),
        (TimeoutError(), True),
        (SystemExit(1), True),
        (KeyboardInterrupt(), True),
        (asyncio.CancelledError(), True),
        (ExceptionGroup("some", [ValueError("?"), KeyError("k")]), True),
        (ExceptionGroup("some", [ValueError("?"), NonRetryableError("no")]), False),
        (ExceptionGroup("some", [ExceptionGroup("inner", [NonRetryableError("no")])]), False),
    ],
    ids=lambda value: value if isinstance(value, bool) else type(value).__name__,
)
def test_whether_another_try_could_help_is_said_by_the_class(error: BaseException, *, is_retryable: bool) -> None:
    """Retryable is what may pass: everything but what says that it does not, alone or in a group."""
    assert failure.of(error, activity="step").retryable is is_retryable


def test_a_group_says_what_it_is_made_of() -> None:
    """A task group's own sentence names nothing; the errors in it do."""
    told = failure.of(ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("bad port"), KeyError("host")]))

    assert told.type == "ExceptionGroup"
    assert told.message.endswith("ValueError: bad port; KeyError: 'host'")


class HeadstrongError(errors.PerdureError):
    """Somebody's own, that does without the constructor of the tree."""

    def __init__(self) -> None:
        Exception.__init__(self, "my way")

    def __str__(self) -> str:
        return "my way"


def test_an_error_of_the_tree_speaks_without_its_code_and_one_that_broke_with_it_as_it_likes() -> None:
    """The code has a field of its own; an author's class may have forgotten to call its parent."""
    assert failure.of(errors.InstanceNotFoundError("There is none.")).message == "There is none."
    assert failure.of(HeadstrongError()).message == "my way"


# --- details ---------------------------------------------------------------------------------------------------------


def test_details_of_an_error_reach_the_orchestration() -> None:
    """What the author's error carries for code to decide by is there again at the await, of a parent's too."""
    told = failure.of(NonRetryableError("no room", details={"zone": "b", "free": [1, 2]}), activity="step")

    stored = lifecycle.decode_failure(lifecycle.encode_failure(told))
    error = failure.to_exception(stored)

    assert error.details == {"zone": "b", "free": [1, 2]}
    assert failure.to_child_exception(failure.of(error), name="move", instance_id="move-1").details == error.details


class CarryingError(Exception):
    """Somebody's own, with something in `details`."""

    def __init__(self, details: object) -> None:
        self.details = details


@pytest.mark.parametrize(
    "odd",
    [object(), len, {"x": object()}, float("nan"), None],
    ids=["an object", "a function", "one inside", "nan", "None"],
)
def test_what_is_no_json_value_is_no_details(odd: object) -> None:
    """An error of somebody's may have any attribute of that name; the failure is kept all the same."""
    told = failure.of(CarryingError(odd))

    assert (told.type, told.details) == ("CarryingError", None)


def test_details_over_their_limit_say_that_they_were_left_out() -> None:
    """Nothing is cut in silence."""
    whole = failure.of(CarryingError("x" * (limits.ERROR_DETAILS_BYTES - 2)))
    large = failure.of(CarryingError("x" * (limits.ERROR_DETAILS_BYTES - 1)))

    assert whole.details == "x" * (limits.ERROR_DETAILS_BYTES - 2)
    assert large.details == "(left out: more than 4096 bytes)"


# --- where it came from ----------------------------------------------------------------------------------------------


def test_a_failure_leads_to_the_line_that_raised_it() -> None:
    """The places stand in the order in which they were called, those of the engine are not among them."""
    places = failure.of(caught(fall, "secret-value")).traceback.splitlines()

    assert [place.rpartition(", in ")[2] for place in places][-2:] == ["fall", "_trip"]
    assert all(", line " in place for place in places)


def test_no_value_of_a_variable_is_in_a_traceback() -> None:
    """A password that the failing function was given stays out of what is kept."""
    told = failure.of(caught(fall, "secret-value"))

    assert b"secret-value" not in lifecycle.encode_failure(told)


def test_what_pydantic_found_wrong_is_kept_without_the_values_that_it_found() -> None:
    """Its own sentence quotes them, and they may be anything: a password where a number belongs."""
    error = caught(pydantic.TypeAdapter(dict[str, int]).validate_python, {"port": "secret-value"})
    behind = InputInvalidError("The value does not fit.")
    behind.__cause__ = error

    direct, chained = failure.of(error), failure.of(behind)

    assert direct.message.startswith("dict[str,int]: port: Input should be a valid integer")
    assert "port: Input should be a valid integer" in chained.traceback
    assert b"secret-value" not in lifecycle.encode_failure(direct) + lifecycle.encode_failure(chained)


def test_the_errors_behind_an_error_are_named_with_their_places() -> None:
    """`raise ... from` is followed: what went wrong first is nearly always the one that matters."""
    lines = failure.of(caught(fall_behind)).traceback.splitlines()

    assert "caused by ValueError: no such port" in lines
    assert lines[-1].endswith(", in _connect")


def test_the_members_of_a_group_are_named_with_their_places() -> None:
    """Each error of a task group leads to its own line."""
    told = failure.of(caught(fall_grouped)).traceback

    assert "1 of 2: ValueError: no such port" in told
    assert "2 of 2: KeyError" in told


def test_of_a_deep_fall_the_last_places_are_kept() -> None:
    """A recursion that never ends fills no row; where it ended is what is kept."""
    told = failure.of(caught(fall_deep)).traceback

    assert len(told.splitlines()) <= limits.ERROR_TRACEBACK_FRAMES + 1
    assert "more)" in told.splitlines()[0]
    assert told.endswith("in fall_deep")


def test_a_long_chain_of_long_sentences_is_bounded() -> None:
    """Whatever was behind an error, what is kept of it has a limit, and ends with the first cause."""
    error: Exception = ValueError("the first")
    for number in range(50):
        outer = RuntimeError(f"{number} " + "x" * 3_000)
        outer.__cause__, error = error, outer

    kept = failure.of(error).traceback

    assert len(kept) <= limits.ERROR_TRACEBACK_CHARACTERS
    assert kept.startswith("(cut)")


def test_errors_that_cause_each_other_end() -> None:
    """A chain that bites its tail is followed once around."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert frames.of(one) == "caused by ValueError: other"


def test_an_error_that_cannot_be_printed_is_still_behind_another() -> None:
    """A `__str__` that raises hides nothing."""
    error = RuntimeError("outer")
    error.__cause__ = Failing()

    assert frames.of(error) == "caused by Failing: (the message of this Failing cannot be read: its __str__ raises)"


@orchestration("doomed", version="1.0.0")
async def doomed(ctx: OrchestrationContext) -> None:
    """Fail in a function of the author's, on the line that the history says."""
    fall("secret-value")


@orchestration("doomed", version="1.0.0")
async def doomed_elsewhere(ctx: OrchestrationContext) -> None:
    """Fail in the same way, from another line."""
    fall("secret-value")


def test_where_an_orchestration_failed_is_in_its_history_and_no_replay_minds() -> None:
    """The traceback is for people: the same error from another line is the same outcome."""
    run = Run(doomed)

    assert ", in doomed\n" in run.failure.traceback
    assert run.failure.traceback.endswith(", in _trip")
    run.replayed(doomed_elsewhere).close()


def test_failures_recorded_before_there_were_tracebacks_are_read() -> None:
    """Fields are added with defaults: what an earlier release wrote is read, and what is empty is not written."""
    old = b'{"code":"PERDURE-1301","type":"ValueError","message":"broken"}'

    read = lifecycle.decode_failure(old)

    assert (read.traceback, read.details) == ("", None)
    assert json.loads(lifecycle.encode_failure(read)) == json.loads(old)
