"""Whose an object is: labels that fit into Kubernetes, and refusals that name the owner.

Pure functions, examples and properties; that the API server keeps to it is tested on a real one.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.kubernetes import ownership
from perdure import Manifest, errors

LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""The syntax of a label value, at most 63 characters."""

CONFIG: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "colours", "labels": {"app": "web"}}}


def existing(instance_id: str | None) -> Manifest:
    """Give an object as the server has it, made by an instance or by nobody."""
    made = CONFIG if instance_id is None else ownership.labelled(CONFIG, instance_id)
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    return {**made, "metadata": {**metadata, "namespace": "shop", "uid": "6b1f", "resourceVersion": "42"}}


@given(st.text(min_size=1, max_size=512))
def test_every_instance_id_has_a_label(instance_id: str) -> None:
    """Whatever an instance is called, its label is one that Kubernetes takes."""
    assert LABEL_VALUE.fullmatch(ownership.instance_label(instance_id))


def test_a_label_is_readable_and_for_ever_the_same() -> None:
    """The label is part of what is stored in clusters: this very value never changes."""
    assert ownership.instance_label("shop/pg:1") == "shop.pg.1-a4c79e4a46c64ff3"


def test_ids_that_look_alike_have_different_labels() -> None:
    """Where the readable part is the same or cut, the hash tells them apart."""
    long = "shop/" + "a" * 200
    ids = ["shop/pg:1", "shop.pg.1", "shop/pg/1", f"{long}:1", f"{long}:2"]

    assert len({ownership.instance_label(instance_id) for instance_id in ids}) == len(ids)


def test_labelling_adds_to_what_is_there_and_leaves_the_original_alone() -> None:
    """The object keeps its own labels and carries the owner's label and full id beside them."""
    labelled = ownership.labelled(CONFIG, "shop/pg:1")

    assert labelled["metadata"] == {
        "name": "colours",
        "labels": {"app": "web", "perdure.dev/instance": ownership.instance_label("shop/pg:1")},
        "annotations": {"perdure.dev/instance-id": "shop/pg:1"},
    }
    assert CONFIG["metadata"] == {"name": "colours", "labels": {"app": "web"}}


def test_an_own_object_is_not_refused() -> None:
    """A run finds what it made before, and goes on."""
    ownership.require_own(existing("shop/pg:1"), "shop/pg:1")


def test_another_runs_object_is_refused_with_its_owner() -> None:
    """The refusal names the object, the instance it belongs to, and ends the retries."""
    with pytest.raises(
        errors.ObjectNotOwnedError, match=r"ConfigMap colours in namespace shop .* belongs to instance shop/pg:1;"
    ) as caught:
        ownership.require_own(existing("shop/pg:1"), "shop/pg:2")

    assert not caught.value.retryable


def test_an_object_nobody_labelled_is_refused_as_well() -> None:
    """What a person or a chart made is not taken silently."""
    with pytest.raises(errors.ObjectNotOwnedError, match="was not made by a run"):
        ownership.require_own(existing(None), "shop/pg:1")


def test_a_new_object_is_bound_to_nothing() -> None:
    """There is nothing to be bound to."""
    assert ownership.bound(CONFIG, None) == CONFIG


def test_what_is_there_is_bound_to_what_was_seen() -> None:
    """Neither another object of that name is hit, nor what somebody has changed since."""
    bound = ownership.bound(CONFIG, existing("shop/pg:1"))

    assert bound["metadata"] == {
        "name": "colours", "labels": {"app": "web"}, "uid": "6b1f", "resourceVersion": "42",
    }  # fmt: skip
