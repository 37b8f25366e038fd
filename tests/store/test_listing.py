"""Looking at many instances: filters and pages in one query, trees, executions, and who waits for whom."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from perdure import errors
from perdure.client import ExecutionInfo, InstanceFilter, Page
from tests.store.desk import Desk

NOW = datetime.datetime.now(datetime.UTC)


async def listed(desk: Desk, filter: InstanceFilter) -> list[str]:
    """Give the ids that fit."""
    return [info.instance_id for info in (await desk.client.list_instances(filter)).items]


async def cast(desk: Desk) -> None:
    """Put on stage: `old` (Completed long ago), `new` (Failed), `held`, `child` of held, `fresh`."""
    await desk.start("old", "new", "fresh")
    await desk.start("held", name="other")
    await desk.child("held", "child")
    await desk.ended("old", seconds_ago=86_400)
    await desk.ended("new", phase="Failed")
    await desk.fetch("update instances set created_at = now() - interval '2 days' where instance_id = 'old'")
    await desk.fetch(
        "update instances set phase = 'Suspended', hold_reason = 'Nondeterministic', version = '2.0.0' "
        "where instance_id = 'held'"
    )


def given(filter: InstanceFilter) -> list[str]:
    """Name the fields of a filter that say something."""
    return [field.name for field in dataclasses.fields(filter) if getattr(filter, field.name) is not None]


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        (InstanceFilter(), ["child", "fresh", "held", "new", "old"]),
        (InstanceFilter(phase="Failed"), ["new"]),
        (InstanceFilter(phases=["Failed", "Completed"]), ["new", "old"]),
        (InstanceFilter(phase="Failed", phases=["Completed"]), []),
        (InstanceFilter(phases=[]), []),
        (InstanceFilter(name="other"), ["held"]),
        (InstanceFilter(version="2.0.0"), ["held"]),
        (InstanceFilter(version=""), ["child", "fresh", "new", "old"]),
        (InstanceFilter(id_prefix="f"), ["fresh"]),
        (InstanceFilter(parent_id="held"), ["child"]),
        (InstanceFilter(ids=["old", "new", "nobody"]), ["new", "old"]),
        (InstanceFilter(created_before=NOW - datetime.timedelta(hours=12)), ["old"]),
        (InstanceFilter(created_after=NOW - datetime.timedelta(hours=12)), ["child", "fresh", "held", "new"]),
        (InstanceFilter(finished_before=NOW - datetime.timedelta(hours=12)), ["old"]),
        (InstanceFilter(finished_after=NOW - datetime.timedelta(hours=12)), ["new"]),
        (InstanceFilter(hold="Nondeterministic"), ["held"]),
        (InstanceFilter(roots=True), ["fresh", "held", "new", "old"]),
        (InstanceFilter(roots=False), ["child"]),
        (InstanceFilter(phase="Pending", id_prefix="f", name="flow"), ["fresh"]),
    ],
    ids=lambda value: "-".join(given(value)) if isinstance(value, InstanceFilter) else str(value),
)
async def test_a_filter_gives_what_fits_all_of_it(desk: Desk, filter: InstanceFilter, ids: list[str]) -> None:
    """Each field narrows; what is not given does not."""
    await cast(desk)

    assert await listed(desk, filter) == ids


def any_of(value: object) -> Any:
    """Give what the types would refuse already."""
    return value


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: InstanceFilter(phase="completed"), "phase of a filter is 'completed'; there are Pending, Running"),
        (lambda: InstanceFilter(phases=["Running", "Done"]), "phase of a filter is 'Done'; there are"),
        (lambda: InstanceFilter(phases="Running"), "phases of a filter is 'Running'; expected a list"),
        (lambda: InstanceFilter(ids="old"), "ids of a filter is 'old'; expected a list"),
        (lambda: InstanceFilter(created_before=NOW.replace(tzinfo=None)), "created_before .* with a zone"),
        (lambda: InstanceFilter(created_before=any_of("now")), "created_before of a filter is now; expected a time"),
        (lambda: InstanceFilter(name=any_of(5)), "name of a filter is 5; expected text"),
        (lambda: InstanceFilter(id_prefix="a\0"), "id_prefix of a filter is .*; expected text"),
        (lambda: InstanceFilter(ids=["\ud800"]), "an id of a filter is .*; expected text"),
        (lambda: Page(size=0), "size of a page is 0; expected a whole number of 1 or more"),
        (lambda: Page(size=2**31), "expected a whole number of 1 or more"),
        (lambda: Page(after="\0"), "after of a page is"),
    ],
)
def test_what_could_fit_nothing_by_mistake_is_refused(make: Callable[[], object], said: str) -> None:
    """An empty list, or a clean-up that removes nothing, is no answer to a misspelled question."""
    with pytest.raises(errors.DefinitionError, match=said):
        make()


async def test_a_number_that_no_database_takes_is_the_callers(desk: Desk) -> None:
    """A value out of range is an error of the call, not of the driver."""
    await desk.start("a")

    with pytest.raises(errors.DefinitionError, match="a value that the database does not take"):
        await desk.client.get_history("a", execution=2**40)


async def test_what_becomes_of_a_start_is_one_of_two_words(desk: Desk) -> None:
    """The caller is told which, not the database."""
    with pytest.raises(errors.DefinitionError, match="on_nondeterminism of a is 'Explode'; expected 'Hold' or 'Fail'"):
        await desk.client.start_orchestration("a", "flow", on_nondeterminism="Explode")  # type: ignore[arg-type]  # the point of the test


async def test_every_field_of_a_filter_is_tried(desk: Desk) -> None:
    """The test above leaves none out, nor does the order of the parameters."""
    fields = {field.name for field in dataclasses.fields(InstanceFilter)}
    [mark] = [m for m in test_a_filter_gives_what_fits_all_of_it.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]  # pytest puts it there

    tried = {name for filter, _ in mark.args[1] for name in fields if getattr(filter, name) is not None}

    assert tried == fields
    assert len(InstanceFilter().arguments()) == len(fields) - 1


def test_the_filter_is_the_same_wherever_there_is_one() -> None:
    """The statements that take a filter say it in the same words: what is listed is what is cancelled or removed."""
    texts = {
        name: (resources.files("perdure._store") / "queries" / f"{name}.sql").read_text("utf-8")
        for name in ("instance_list", "instance_cancel_many", "tree_removable")
    }

    conditions = {name: re.findall(r"\(\$\d+::\S+ is null or \(?i\.\S+.*", text)[:11] for name, text in texts.items()}

    assert len(conditions["instance_list"]) == 11  # and the prefix, which is a call
    assert conditions == dict.fromkeys(texts, conditions["instance_list"])
    assert all("starts_with(i.instance_id, $4::text)" in text for text in texts.values())


async def test_pages_follow_one_another_without_gap_or_overlap(desk: Desk) -> None:
    """By id: what is started meanwhile moves nothing."""
    await desk.start(*(f"i-{number}" for number in range(10)))

    first = await desk.client.list_instances(page=Page(size=4))
    await desk.start("i-00")
    second = await desk.client.list_instances(page=Page(first.after or "", 4))
    third = await desk.client.list_instances(page=Page(second.after or "", 4))

    ids = [[info.instance_id for info in page.items] for page in (first, second, third)]
    assert ids == [["i-0", "i-1", "i-2", "i-3"], ["i-4", "i-5", "i-6", "i-7"], ["i-8", "i-9"]]
    assert third.after is None


async def test_cancelling_by_filter_asks_all_that_fit_and_have_not_ended(desk: Desk) -> None:
    """More than a portion, each once; what has ended or does not fit is left alone."""
    await desk.start(*(f"a-{number:04}" for number in range(600)), "b")
    await desk.ended("a-0003")
    await desk.client.suspend_instance("a-0004")

    count = await desk.client.cancel_instances(InstanceFilter(id_prefix="a-"), "clearing up")
    again = await desk.client.cancel_instances(InstanceFilter(id_prefix="a-"), "clearing up")

    assert (count, again) == (599, 599)
    messages = await desk.fetch("select count(*) as n, count(distinct instance_id) as ids from inbox")
    assert [tuple(row) for row in messages] == [(599, 599)]
    assert (await desk.client.get_instance_info("a-0004")).phase == "Pending"
    assert await desk.messages("b") == []


async def test_a_tree_is_given_parents_first(desk: Desk) -> None:
    """The instance that was asked for and all below it, not what is above or beside."""
    await desk.start("root")
    await desk.child("root", "a", "b")
    await desk.child("a", "a-2", "a-1")

    tree = await desk.client.get_tree("root")
    branch = await desk.client.get_tree("a")

    assert [(info.instance_id, info.parent_id) for info in tree] == [
        ("root", None),
        ("a", "root"),
        ("a-1", "a"),
        ("a-2", "a"),
        ("b", "root"),
    ]
    assert [info.instance_id for info in branch] == ["a", "a-1", "a-2"]
    with pytest.raises(errors.InstanceNotFoundError):
        await desk.client.get_tree("nobody")


async def test_executions_are_listed_with_what_became_of_them(desk: Desk) -> None:
    """Those before the last continued as new; the last is what its instance is, and has an end when that has."""
    await desk.start("a", "new")
    await desk.asleep("a")
    await desk.fetch("update instances set execution = 2 where instance_id = 'a'")
    moments = [NOW + datetime.timedelta(seconds=number) for number in range(4)]
    for turn, (execution, at) in enumerate(zip((1, 1, 2, 2), moments, strict=True)):
        await desk.fetch("insert into history values ('a', $1, $2, $3, '{}')", execution, turn, at)

    first, second = await desk.client.list_executions("a")
    await desk.ended("a", phase="Failed")
    ended = (await desk.client.list_executions("a"))[1]

    assert first == ExecutionInfo(1, 2, moments[0], moments[1], "ContinuedAsNew")
    assert second == ExecutionInfo(2, 2, moments[2], None, "Running")
    assert (ended.ended_at, ended.outcome) == (moments[3], "Failed")
    assert await desk.client.list_executions("new") == []
    with pytest.raises(errors.InstanceNotFoundError):
        await desk.client.list_executions("nobody")


async def test_instances_are_counted(desk: Desk) -> None:
    """By orchestration, version and phase."""
    await cast(desk)

    counts = [dataclasses.astuple(count) for count in await desk.client.count_instances()]

    assert counts == [
        ("flow", "", "Completed", 1),
        ("flow", "", "Failed", 1),
        ("flow", "", "Pending", 2),
        ("other", "2.0.0", "Suspended", 1),
    ]


async def test_what_nobody_offers_is_named(desk: Desk) -> None:
    """Which orchestration and version, and how many wait; the dead offer nothing, who is paused does not count."""
    await desk.start("any", "pinned-1", "pinned-2", "served", "paused", "asleep")
    await desk.start("alien", name="alien")
    await desk.claimed()
    await desk.asleep("asleep")
    await desk.client.suspend_instance("paused")
    for instance_id, version in (
        ("pinned-1", "2.0.0"),
        ("pinned-2", "2.0.0"),
        ("served", "1.0.0"),
        ("asleep", "9.0.0"),
    ):
        await desk.fetch("update instances set version = $2 where instance_id = $1", instance_id, version)

    waiting = await desk.client.list_unoffered()
    await desk.fetch("update workers set lease_until = now() - interval '1 second'")
    alone = await desk.client.list_unoffered()

    assert [(each.name, each.version, each.instances) for each in waiting] == [("alien", "", 1), ("flow", "2.0.0", 2)]
    assert all(each.due_at.tzinfo is not None for each in waiting)
    assert [(each.name, each.version) for each in alone] == [
        ("alien", ""),
        ("flow", ""),
        ("flow", "1.0.0"),
        ("flow", "2.0.0"),
    ]


async def test_ten_thousand_instances_are_gone_through_by_page_and_filter(desk: Desk) -> None:
    """Every one that fits comes once, in order, however many do not."""
    await desk.fetch(
        "insert into instances (instance_id, name, input, phase, finished_at) "
        "select format('i-%s', lpad(n::text, 5, '0')), 'flow', 'null', "
        "case when n % 3 = 0 then 'Failed' else 'Pending' end, case when n % 3 = 0 then now() end "
        "from generate_series(1, 10000) as n"
    )
    wanted = InstanceFilter(phase="Failed", name="flow", finished_after=NOW - datetime.timedelta(hours=1))

    ids: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await desk.client.list_instances(wanted, Page(after, 1_000))
        ids += [info.instance_id for info in page.items]
        after = page.after

    assert ids == [f"i-{number:05}" for number in range(3, 10_001, 3)]
