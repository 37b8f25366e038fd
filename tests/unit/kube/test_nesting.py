"""What is too deep to be read is cut off, and nothing else."""

from __future__ import annotations

import json

import pytest

from perdure._kube import nesting


@pytest.mark.parametrize("levels", [1_200, 9_900])
def test_what_is_cut_can_be_read_and_is_still_too_deep(levels: int) -> None:
    """The neighbours of the deep value stay, brackets in texts are no levels."""
    text = b'{"a":"{[\\\\\\"{","deep":' + b'[{"b":' * (levels // 2) + b"1" + b"}]" * (levels // 2) + b',"z":[1,{}]}'

    found = json.loads(nesting.cut(text))

    assert nesting.may_be_unreadable(text)
    assert (found["a"], found["z"]) == ('{[\\"{', [1, {}])
    assert nesting.is_deeper(found["deep"], nesting.LEVELS + 50)
    assert not nesting.is_deeper(found, nesting.READABLE_LEVELS // 2)


def test_what_is_not_too_deep_stays_as_it_is() -> None:
    """Byte by byte, however much of it there is."""
    text = json.dumps([{"a": [1]}] * 1_000).encode()

    assert nesting.cut(text) == text
    assert not nesting.may_be_unreadable(b"[1]")
    assert [nesting.is_deeper([[1]], levels) for levels in (1, 2)] == [True, False]
