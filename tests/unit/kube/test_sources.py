"""Where parts of an input go, which paths lead nowhere, and what is said of a source that is not there."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from perdure._core.activity import Manifest
from perdure._kube import nesting, sources
from perdure._kube.sources import Source


def of_config(path: str) -> Source:
    """Give a source that is a key of a ConfigMap."""
    return Source(path, "ConfigMap", "settings", "host")


FOUND: dict[tuple[str, str], Manifest] = {
    ("ConfigMap", "settings"): {"data": {"host": "db.shop", "port": "5432"}},
    ("Secret", "mail"): {"data": {"password": "aHVudGVyMg=="}},
}
SECRET = Source("mail.password", "Secret", "mail", "password")


def test_entries_are_read_as_the_api_server_gives_them() -> None:
    """Each has one of two references; without the field there are none."""
    entries: JsonValue = [
        {"path": "db.host", "configMapKeyRef": {"name": "settings", "key": "host"}},
        {"path": "mail.password", "secretKeyRef": {"name": "mail", "key": "password"}},
    ]

    assert sources.read(entries) == [of_config("db.host"), SECRET]
    assert sources.read(None) == []


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        (None, "host", {"host": "db.shop"}),
        ({}, "db.host", {"db": {"host": "db.shop"}}),
        ({"db": {"port": 1}, "x": [1]}, "db.host", {"db": {"port": 1, "host": "db.shop"}, "x": [1]}),
        ({"db": {}}, "db.a.b", {"db": {"a": {"b": "db.shop"}}}),
    ],
    ids=str,
)
def test_a_value_goes_where_its_path_says(value: JsonValue, path: str, expected: JsonValue) -> None:
    """Objects are made on the way; what was there stays, and the spec itself is not touched."""
    before = repr(value)

    assert sources.problem_or_none(value, [of_config(path)]) is None
    assert sources.put(value, [of_config(path)], manifests=FOUND) == expected
    assert repr(value) == before


def test_of_a_secret_the_reference_is_put_in_and_never_the_value() -> None:
    """It is the JSON form of a `SecretRef`."""
    filled = sources.put({"mail": {"to": "ada"}}, [SECRET, of_config("host")], manifests=FOUND)

    assert filled == {
        "mail": {"to": "ada", "password": {"secretRef": {"name": "mail", "key": "password"}}},
        "host": "db.shop",
    }


@pytest.mark.parametrize(
    ("value", "paths", "words"),
    [
        ("text", ["a"], "spec.input is a text, and spec.inputFrom puts fields into an object"),
        ([1], ["a"], "spec.input is a list"),
        (3, ["a"], "spec.input is a number"),
        (True, ["a"], "spec.input is a truth value"),
        ({"a": 1}, ["a"], "spec.inputFrom[0].path 'a' cannot be filled: spec.input has a value there already"),
        ({"a": None}, ["a"], "has a value there already"),
        ({"a": {"b": {}}}, ["a.b"], "has a value there already"),
        ({"a": "x"}, ["a.b.c"], "spec.input.a is a text, not an object"),
        ({"a": {"b": None}}, ["a.b.c"], "spec.input.a.b is null, not an object"),
        (None, ["a", "a"], "spec.inputFrom[1].path 'a' cannot be filled: spec.inputFrom[0] goes to a"),
        (None, ["a.b", "a"], "spec.inputFrom[0] goes to a.b"),
        (None, ["a", "c", "a.b"], "spec.inputFrom[2].path 'a.b' cannot be filled: spec.inputFrom[0] goes to a"),
        (None, [""], "a field name in it is empty"),
        (None, ["a..b"], "a field name in it is empty"),
        (None, [".a"], "a field name in it is empty"),
        (None, [".".join("a" * nesting.LEVELS)], "nested 200 levels deep"),
    ],
    ids=str,
)
def test_a_path_that_leads_nowhere_is_refused_with_the_reason(value: JsonValue, paths: list[str], words: str) -> None:
    """Whatever stands in the ConfigMap: nothing of the input is ever replaced."""
    problem = sources.problem_or_none(value, [of_config(path) for path in paths])

    assert problem is not None
    assert words in problem


@pytest.mark.parametrize("value", [None, "text", [1], {"a": 1}])
def test_without_sources_any_input_will_do(value: JsonValue) -> None:
    """Only who puts fields in needs an object."""
    assert sources.problem_or_none(value, []) is None


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (None, "ConfigMap settings does not exist"),
        ({}, "ConfigMap settings has no key host in its data, only none at all"),
        ({"data": {"b": "", "a": ""}}, "ConfigMap settings has no key host in its data, only a, b"),
        (
            {"data": {f"k{n:02}": "" for n in range(12)}},
            "only k00, k01, k02, k03, k04, k05, k06, k07, k08, k09 and 2 more",
        ),
        ({"data": {"host": ""}}, None),
    ],
)
def test_what_is_missing_is_said_with_what_is_there(manifest: Manifest | None, said: str | None) -> None:
    """Object or key; keys are named, values never."""
    found = sources.missing_or_none(of_config("a"), manifest)

    assert found == said or (said is not None and found is not None and said in found)
