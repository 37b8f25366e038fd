"""The list of the operator's rights is what the page says, and what roles are made of."""

from __future__ import annotations

import re
from pathlib import Path

from perdure._kube import rights
from tests.tree import text

PLACES = {
    "cluster": "the cluster",
    "watched": "what is watched",
    "runs": "where runs act",
    "own": "its own namespace",
    "everybody": "everybody",
}
ROW = re.compile(r"^\| ([a-z, ]+) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def named(right: rights.Right) -> str:
    """Name a resource as kubectl does, and the objects that are meant if not all are."""
    return f"{right.resource}.{right.group}".rstrip(".") + "".join(f" {name}" for name in right.names)


def test_the_page_has_every_right_with_its_reason() -> None:
    """Who installs the operator reads there all that it may do, and nothing else."""
    on_the_page = ROW.findall(text(Path("docs/identity.md")))

    assert on_the_page == [
        (", ".join(right.verbs), named(right), PLACES[right.where], right.why) for right in rights.RIGHTS
    ]


def test_no_right_is_a_wildcard_or_stands_there_twice() -> None:
    """Each verb of each resource is asked for by itself, and has one reason."""
    each = [(right.group, right.resource, verb) for right in rights.RIGHTS for verb in right.verbs]

    assert len(each) == len(set(each))
    assert "*" not in {part for one in each for part in one}


def test_a_right_is_written_as_a_rule_of_rbac() -> None:
    """By place: what is for the whole cluster does not hold the right to act as anybody."""
    verbs = {verb for rule in rights.rules("watched", "cluster") for verb in rule["verbs"]}  # type: ignore[union-attr]  # a list

    assert "impersonate" not in verbs
    assert rights.rules("runs") == [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}]
