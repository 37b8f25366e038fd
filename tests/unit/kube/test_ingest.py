"""What a resource says is read whole and the same way each time; two sides of a sweep are compared by uid."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from uuid import UUID

import pytest
from pydantic import JsonValue

from perdure._kube import ingest, nesting
from perdure._kube.api.orchestration import FINALIZER
from perdure._kube.sweep import compare
from perdure._store import connect
from perdure._store.resources import Known, Policies, Resources, Seen
from perdure._store.signal_resources import SeenSignal, SignalResources, Waiting
from perdure._store.store import Availability

UID = UUID("00000000-0000-0000-0000-00000000000a")
OTHER = UUID("00000000-0000-0000-0000-00000000000b")


def resource(**spec: JsonValue) -> dict[str, JsonValue]:
    """Give a resource as the API server would."""
    return {
        "metadata": {"uid": str(UID), "namespace": "shop", "name": "db", "generation": 2},
        "spec": {"orchestration": "greet", **spec},
    }


def test_the_request_is_read_from_the_spec() -> None:
    """Orchestration, version, input and identity; without them the defaults."""
    full = ingest.seen(resource(version="1.0.0", input={"size": 1}, serviceAccountName="runner"))
    bare = ingest.seen(resource())

    assert (full.uid, full.namespace, full.name, full.generation) == (UID, "shop", "db", 2)
    assert (full.orchestration, full.version, full.input) == ("greet", "1.0.0", b'{"size":1}')
    assert full.run_as == "system:serviceaccount:shop:runner"
    assert (bare.version, bare.input, bare.run_as) == ("", b"null", "system:serviceaccount:shop:default")
    assert (bare.refusal, bare.cancel_reason, bare.deleting, bare.gone) == (None, None, False, False)


def test_the_same_spec_in_another_order_is_the_same() -> None:
    """The store decides by the spec's bytes whether it changed."""
    one = ingest.seen(resource(input={"a": 1, "b": 2}, version="1.0.0"))
    two = ingest.seen(resource(version="1.0.0", input={"b": 2, "a": 1}))

    assert one.spec == two.spec


def test_a_cancel_may_have_no_reason() -> None:
    """An empty wish to end is a wish to end."""
    assert ingest.seen(resource(cancel={})).cancel_reason == ""
    assert ingest.seen(resource(cancel={"reason": "enough"})).cancel_reason == "enough"


def test_policies_are_read_by_their_words() -> None:
    """Each field of the spec has its place; what a newer CRD lets through is as good as not said."""
    full = resource(
        suspend=True,
        timeoutSeconds=60,
        deletionPolicy="Compensate",
        rerunPolicy="OnChange",
        updatePolicy="Signal",
        onNondeterminism="Fail",
        ttlSecondsAfterFinished=0,
        historyRetentionSeconds=5,
        readyWhen="Custom",
    )
    newer = resource(deletionPolicy="Archive", timeoutSeconds="1h", suspend="perhaps")

    assert ingest.seen(full).policies == Policies(
        suspend=True,
        timeout_seconds=60,
        deletion="Compensate",
        rerun="OnChange",
        update="Signal",
        on_nondeterminism="Fail",
        ttl_seconds=0,
        retention_seconds=5,
        ready_when="Custom",
    )
    assert ingest.seen(newer).policies == ingest.seen(resource()).policies == Policies()


def test_the_request_is_what_a_run_is_started_with() -> None:
    """Each of its fields makes another digest, policies make none; null, empty and missing are one."""
    plain = ingest.seen(resource()).request
    requests = [
        resource(version="1.0.0"),
        resource(input=1),
        resource(input={"a": 1}),
        resource(inputFrom=[{"path": "a"}]),
        resource(serviceAccountName="runner"),
        resource(orchestration="other"),
    ]

    assert len({plain, *(ingest.seen(one).request for one in requests)}) == 7
    for same in (resource(suspend=True), resource(input=None), resource(inputFrom=[]), resource(timeoutSeconds=5)):
        assert ingest.seen(same).request == plain


def test_our_finalizer_is_seen_among_others() -> None:
    """Somebody else's is not ours."""
    manifest = resource()
    assert isinstance(manifest["metadata"], dict)
    found = []
    for finalizers in (None, [], ["other/one"], ["other/one", FINALIZER]):
        manifest["metadata"]["finalizers"] = finalizers  # type: ignore[assignment]  # JSON as literals
        found.append(ingest.seen(manifest).has_finalizer)

    assert found == [False, False, False, True]


def nested(levels: int) -> JsonValue:
    """Give a value nested so deep."""
    value: JsonValue = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_an_input_nested_too_deeply_is_a_refusal() -> None:
    """However deep, it is taken in and refused, the same each time; what is deep and possible is taken as it is."""
    deepest = ingest.seen(resource(input=nested(nesting.LEVELS)))
    deeper, cut = (ingest.seen(resource(input=nested(levels))) for levels in (1_200, nesting.LEVELS + 1))

    assert (deepest.refusal, deepest.input.count(b"{")) == (None, nesting.LEVELS)
    assert deeper.refusal is not None
    refusal = json.loads(deeper.refusal)
    assert refusal["reason"] == "InputInvalid"
    assert "spec.input is nested more than 200 levels deep" in refusal["message"]
    assert (deeper, deeper.input) == (cut, b"null")


def test_a_deletion_mark_is_seen() -> None:
    """Somebody's finalizer holds it: it is being deleted all the same."""
    manifest = resource()
    assert isinstance(manifest["metadata"], dict)
    manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert ingest.seen(manifest).deleting


async def test_a_sight_that_comes_late_replaces_no_newer_one(dsn: str) -> None:
    """The watch tells generation 2, then a late answer of generation 1 arrives: 2 is taken in; gone is the last."""
    pool = await connect.create_pool(dsn)
    resources = Resources(pool)
    queue = ingest.Ingest(resources, availability=Availability(), on_news=lambda _: None)
    newer, older = (Seen(UID, "shop", "db", generation, b"{}", orchestration="greet") for generation in (2, 1))
    deleting = dataclasses.replace(newer, generation=3, deleting=True)
    running = asyncio.create_task(queue.run())
    found = []
    for sights in ((newer, older), (deleting, newer), (ingest.gone(UID, namespace="shop", name="db"), deleting)):
        for sight in sights:
            queue.add(sight)
        await queue.wait_idle()
        found.append(await resources.known([]))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await pool.close()

    assert found == [{UID: Known("shop", "db", 2, deleting=False)}, {UID: Known("shop", "db", 3, deleting=True)}, {}]


class Unanswered(SignalResources):
    """Takes in, and loses its first answer."""

    has_lost = False

    async def ingest(self, batch: Sequence[SeenSignal]) -> list[Waiting]:
        """Take in, and let the first caller not know."""
        waiting = await super().ingest(batch)
        if not self.has_lost:
            self.has_lost = True
            raise ConnectionResetError
        return waiting


async def test_news_whose_answer_was_lost_are_told_without_what_they_were(dsn: str) -> None:
    """The repetition finds none: whoever acts on news is called all the same, and looks."""
    pool = await connect.create_pool(dsn)
    told: list[Sequence[Waiting]] = []
    queue = ingest.Ingest(Unanswered(pool), availability=Availability(), on_news=told.append)
    running = asyncio.create_task(queue.run())

    queue.add(SeenSignal(UID, "shop", "go", 1, target="db", message=b"{}", signal="go"))
    await queue.wait_idle()

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await pool.close()
    assert told == [[]]


async def test_a_change_after_a_restore_counts_also_when_it_is_told_beside_a_sweep(dsn: str) -> None:
    """The sweep has read generation 1 instead of 5, and before that is taken in the watch tells of 2."""
    pool = await connect.create_pool(dsn)
    resources = Resources(pool)
    queue = ingest.Ingest(resources, availability=Availability(), on_news=lambda _: None)
    before, swept, changed = (Seen(UID, "shop", "db", generation, b"{}") for generation in (5, 1, 2))
    await resources.ingest([before])

    queue.add(dataclasses.replace(swept, instead_of=5))
    queue.add(changed)
    running = asyncio.create_task(queue.run())
    await queue.wait_idle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert (await resources.known([]))[UID].generation == 2
    await pool.close()


def test_a_sweep_finds_what_is_missing_and_what_has_changed() -> None:
    """By uid, generation and deletion mark; what is equal is left alone."""
    known = {UID: Known("shop", "db", 2, deleting=False), OTHER: Known("shop", "old", 1, deleting=False)}
    new = UUID(int=7)

    missing, changed = compare({UID: {"generation": 2}, new: {"generation": 1}}, known)
    _, again = compare({UID: {"generation": 3}, OTHER: {"generation": 1, "deletionTimestamp": "x"}}, known)

    assert (missing, changed) == ([OTHER], [new])
    assert again == [UID, OTHER]


@pytest.mark.parametrize(
    ("status", "run", "is_over"),
    [
        ({"instanceId": "shop/db:3", "phase": "Completed"}, 3, True),
        ({"instanceId": "shop/db:3", "phase": "Failed"}, 3, True),
        ({"instanceId": "shop/db:3", "phase": "Cancelled"}, 3, True),
        ({"instanceId": "shop/db:3", "phase": "Running"}, 3, False),
        ({"instanceId": "shop/db:3", "phase": "Suspended"}, 3, False),
        ({"instanceId": "shop/db:3"}, 3, False),
        ({"instanceId": "shop/other:3", "phase": "Completed"}, None, False),  # of another resource
        ({"instanceId": "shop/db", "phase": "Completed"}, None, False),
        ({"instanceId": "shop/db:0", "phase": "Completed"}, None, False),
        ({"instanceId": "shop/db:9999999999", "phase": "Completed"}, None, False),
        ({"instanceId": None, "phase": "Completed"}, None, False),
        ({"phase": "Pending"}, None, False),  # the default of the CRD, or a refused one: there is no run
        (None, None, False),
    ],
)
def test_a_status_says_which_run_a_resource_has_had(status: JsonValue, run: int | None, *, is_over: bool) -> None:
    """Only one of the resource's own name counts; the whole of it is kept when the run is over."""
    sight = ingest.seen({**resource(), "status": status})
    earlier = sight.earlier

    assert (earlier.run if earlier else None, bool(earlier and earlier.is_over)) == (run, is_over)
    assert earlier is None or json.loads(earlier.status or b"null") == (status if is_over else None)
