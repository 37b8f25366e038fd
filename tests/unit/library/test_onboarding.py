"""onboard-tenant in simulations: who must agree, what is made, what is left of a run that does not get there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from activities.kubernetes.apply import apply
from activities.kubernetes.create_namespace import create_namespace
from activities.kubernetes.delete import delete
from activities.kubernetes.get import get
from activities.types import AppliedObject, ApplyOutput, DeleteOutput, GetOutput, NamespaceOutput
from perdure import errors
from perdure.testing import ActivityCall, Run, Simulation
from workflows.onboard_tenant import onboard_tenant
from workflows.owners import owner_of
from workflows.types import OnboardTenantInput, OnboardTenantOutput

NAMESPACE = AppliedObject(api_version="v1", kind="Namespace", name="shop", uid="6b1f")
POLICY = AppliedObject(
    api_version="networking.k8s.io/v1", kind="NetworkPolicy", name="default-deny", namespace="shop", uid="7c2a"
)
CLUSTER: Mapping[object, object] = {
    get: GetOutput(manifest=None),
    create_namespace: NamespaceOutput(name="shop", uid="6b1f", objects=[NAMESPACE]),
    apply: ApplyOutput(objects=[POLICY]),
    delete: DeleteOutput(deleted=True),
}
THERE = {**CLUSTER, get: GetOutput(manifest={"kind": "Namespace"})}
SHOP = OnboardTenantInput(tenant="shop", quota={"pods": "5"}, admins=["Group:shop"], approval_seconds=3600)
AT_ONCE = SHOP.model_copy(update={"require_approval": False})
BROKEN = errors.NonRetryableError("The policy is refused.")


def steps(run: Run[OnboardTenantOutput]) -> list[str]:
    """Name the activities that were asked for."""
    return [call.name.rpartition("::")[2] for call in run.activities]


def owner_in(call: ActivityCall) -> object:
    """Give the owner that an activity was asked to act for."""
    assert isinstance(call.input, dict)
    return call.input["owner"]


def test_nothing_is_made_until_somebody_agrees() -> None:
    """It says what it waits for and until when; the answer lets it go on to the end."""
    with Simulation(activities=CLUSTER) as simulation:
        run = simulation.start(onboard_tenant, SHOP, instance_id="platform/onboard-shop:2")

        assert steps(run) == []
        assert "waiting for the signal Approval until " in run.progress[-1].message
        run.signal("Approval", {"approved": True, "by": "ann"})

        assert steps(run) == ["kubernetes-get", "kubernetes-create-namespace", "kubernetes-apply"]
        assert run.output == OnboardTenantOutput(
            namespace="shop",
            uid="6b1f",
            approved_by="ann",
            objects=["Namespace shop", "NetworkPolicy default-deny in namespace shop"],
        )


def test_what_is_made_belongs_to_the_resource_and_not_to_one_of_its_runs() -> None:
    """The next run of a changed resource finds the namespace as its own."""
    with Simulation(activities=CLUSTER) as simulation:
        run = simulation.start(onboard_tenant, AT_ONCE, instance_id="platform/onboard-shop:2")

        assert [owner_in(call) for call in run.activities[1:]] == ["platform/onboard-shop"] * 2


def test_a_refusal_ends_the_run_with_its_reason() -> None:
    """Who refused and why is the error; nothing was made."""
    with Simulation(activities=CLUSTER) as simulation:
        run = simulation.start(onboard_tenant, SHOP)
        run.signal("Approval", {"approved": False, "by": "ann", "reason": "too big"})

        assert run.error is not None
        assert run.error.message == "Tenant shop was refused by ann: too big. Nothing was made."
        assert steps(run) == []


def test_nobody_who_answers_in_time_is_no_approval() -> None:
    """After the deadline the run fails, and a late yes changes nothing."""
    with Simulation(activities=CLUSTER) as simulation:
        run = simulation.start(onboard_tenant, SHOP)
        simulation.advance(3600)

        assert run.error is not None
        assert "Nobody has approved tenant shop until " in run.error.message
        assert steps(run) == []


def test_an_answer_that_says_neither_yes_nor_no_is_no_approval() -> None:
    """A word that somebody may take for a yes is an error, and nothing is made."""
    with Simulation(activities=CLUSTER) as simulation:
        run = simulation.start(onboard_tenant, SHOP)
        run.signal("Approval", {"approved": "no"})

        assert run.error is not None
        assert "approved" in run.error.message
        assert steps(run) == []


@pytest.mark.parametrize("removal", [DeleteOutput(deleted=True), errors.NonRetryableError("It stays.")], ids=str)
def test_a_namespace_that_was_begun_is_removed_and_the_first_error_stays(removal: object) -> None:
    """Also when the removal itself fails: that is a line in the log."""
    with Simulation(activities={**CLUSTER, apply: BROKEN, delete: removal}) as simulation:
        run = simulation.start(onboard_tenant, AT_ONCE, instance_id="platform/onboard-shop:1")

        assert run.error is not None
        assert run.error.message == "The policy is refused."
        assert steps(run)[-1] == "kubernetes-delete"
        assert owner_in(run.activities[-1]) == "platform/onboard-shop"


def test_a_cancelled_run_removes_what_it_made() -> None:
    """A cancel in the middle of a step leads to the same end."""
    busy = errors.ObjectTerminatingError("Namespace shop")
    with Simulation(activities={**CLUSTER, apply: busy}) as simulation:
        run = simulation.start(onboard_tenant, AT_ONCE)
        run.cancel("the team is gone")

        assert run.phase == "Cancelled"
        assert steps(run)[-1] == "kubernetes-delete"


def test_a_tenant_that_was_there_before_is_kept_whatever_happens() -> None:
    """A change that fails is no reason to remove a namespace that people work in."""
    with Simulation(activities={**THERE, apply: BROKEN}) as simulation:
        run = simulation.start(onboard_tenant, AT_ONCE)

        assert run.phase == "Failed"
        assert "kubernetes-delete" not in steps(run)


@pytest.mark.parametrize(
    ("instance_id", "owner"),
    [("platform/shop:12", "platform/shop"), ("shop", "shop"), ("a/b/c:1", "a/b/c:1"), ("nightly:1", "nightly:1")],
)
def test_the_owner_is_the_resource_where_there_is_one(instance_id: str, owner: str) -> None:
    """All runs of a resource have one owner; an instance that nobody applied is its own."""
    assert owner_of(instance_id) == owner
