"""The error tree and its page: every error has one code of its range, a sentence, and a row that says what to do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import errors

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| (PERDURE-\d{4}) \| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
RANGES = {
    "base": {"10"},
    "runs": {"10", "11", "12"},
    "management": {"12"},
    "activities": {"13"},
    "store": {"14"},
    "kubernetes": {"15"},
    "process": {"16"},
    "testing": {"17"},
    "secrecy": {"18"},
}


def tree(root: type[errors.PerdureError] = errors.PerdureError) -> Iterator[type[errors.PerdureError]]:
    """Give every class of the tree; those that tests make are not of it."""
    if root.__module__.startswith("perdure."):
        yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


def again(kind: type[errors.PerdureError]) -> str:
    """Say what the page says of trying again."""
    if "retryable" in inspect.signature(kind).parameters:
        return "it says"
    return "yes" if kind.retryable else "no"


def meaning(kind: type[errors.PerdureError]) -> str:
    """Give the first paragraph of a docstring as one line."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def test_the_page_has_every_error_and_no_other() -> None:
    """Codes, classes, whether another try helps and what it means stand there as in the code, each once, in order."""
    rows = [tuple(part.strip() for part in row[:4]) for row in ROW.findall(PAGE.read_text("utf-8"))]

    said = [(kind.code, kind.__name__, again(kind), meaning(kind)) for kind in tree()]

    assert rows == sorted(set(said))


def test_the_page_says_of_every_error_what_to_do() -> None:
    """A reader at three in the morning gets from the code to the next step."""
    rows = ROW.findall(PAGE.read_text("utf-8"))

    assert rows
    assert [code for code, *_, advice in rows if not re.fullmatch(r"[A-Z].{15,}\.", advice.strip())] == []


@pytest.mark.parametrize("kind", list(dict.fromkeys(tree())), ids=lambda kind: kind.code)
def test_every_error_is_offered_and_in_its_range(kind: type[errors.PerdureError]) -> None:
    """One tree under one name; the first digits of a code say what it is about."""
    assert getattr(errors, kind.__name__) is kind
    assert kind.__name__ in errors.__all__
    assert kind.code[8:10] in RANGES[kind.__module__.rpartition(".")[2]]


@pytest.mark.parametrize("kind", [errors.CancelGraceEndedError, errors.NonRetryableError, errors.PayloadError])
def test_an_error_without_a_sentence_says_what_its_class_says(kind: type[errors.PerdureError]) -> None:
    """In one line, as it stands in a status: no paragraphs, no indents."""
    assert kind().message == " ".join((inspect.getdoc(kind) or "").split())


def test_no_two_errors_have_one_code() -> None:
    """A class that forgot its own code would speak under that of its parent."""
    codes = [kind.code for kind in set(tree())]

    assert sorted(code for code in codes if codes.count(code) > 1) == []
