"""The tour (`docs/tour.md`) shows what the demo does: its resource is the one applied, its acts are those played."""

from __future__ import annotations

import re

from tests.demo import story
from tests.tree import ROOT

PAGE = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")


def test_the_resource_on_the_page_is_the_one_applied() -> None:
    """The quotation stands in the file, to the letter."""
    quoted = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)

    applied = (story.MANIFESTS / "runs.yaml").read_text(encoding="utf-8")

    assert quoted
    assert all(resource in applied for resource in quoted)


def test_the_acts_on_the_page_are_those_of_the_play() -> None:
    """Each act that the page quotes is announced by the story under that name."""
    played = re.findall(r'show\.act\("(.+)"\)', (ROOT / "tests/demo/story.py").read_text(encoding="utf-8"))

    quoted = re.findall(r"^(\d)  (.+)$", PAGE, flags=re.MULTILINE)

    assert quoted
    assert all(played[int(number) - 1] == name for number, name in quoted)
