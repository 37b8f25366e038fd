"""Which orchestration a namespace may run, and as whom: a table of rules and requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from perdure._kube.policy import Policy


@pytest.mark.parametrize(
    ("allowed", "namespace", "orchestration", "is_allowed"),
    [
        ({}, "shop", "w::order", True),
        ({"shop": ["w::order"]}, "shop", "w::order", True),
        ({"shop": ["w::order"]}, "shop", "w::orders", False),
        ({"shop": ["w::order"]}, "bank", "w::order", False),
        ({"shop": ["w::*"]}, "shop", "w::order", True),
        ({"shop": ["w::orde?"]}, "shop", "w::order", True),
        ({"shop": ["W::*"]}, "shop", "w::order", False),
        ({"*": ["w::*"]}, "bank", "w::order", True),
        ({"*": ["w::*"], "shop": ["x::*"]}, "shop", "w::order", True),
        ({"*": ["w::*"], "shop": ["x::*"]}, "shop", "x::order", True),
        ({"*": ["w::*"], "shop": ["x::*"]}, "bank", "x::order", False),
        ({"*": []}, "shop", "w::order", False),
    ],
)
def test_a_namespace_runs_what_its_patterns_and_those_of_all_name(
    allowed: Mapping[str, Sequence[str]], namespace: str, orchestration: str, *, is_allowed: bool
) -> None:
    """Without any list everything is allowed; with one, nothing but what it names."""
    refusal = Policy(allowed).refusal_or_none(namespace, orchestration, account=None)

    assert (refusal is None) is is_allowed
    if refusal is not None:
        assert (refusal.reason, refusal.waits) == ("OrchestrationNotAllowed", False)
        assert f"Namespace {namespace} may not run {orchestration}." in refusal.message


def test_a_long_list_is_shown_by_its_beginning() -> None:
    """A message stays one that can be read."""
    refusal = Policy({"shop": [f"w::{number}" for number in range(15)]}).refusal_or_none("shop", "x", account=None)

    assert refusal is not None
    assert "w::9 and 5 more" in refusal.message


@pytest.mark.parametrize(("account", "reason"), [(None, "ServiceAccountRequired"), ("runner", None)])
def test_a_run_names_its_service_account_where_that_is_asked_for(account: str | None, reason: str | None) -> None:
    """The default one of the namespace is then nobody's."""
    refusal = Policy(requires_account=True).refusal_or_none("shop", "w::order", account=account)

    assert (refusal.reason if refusal else None) == reason
    assert Policy().refusal_or_none("shop", "w::order", account=account) is None
