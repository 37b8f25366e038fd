"""The page about activities tells the truth: its blocks run from top to bottom, and its orchestration on a worker."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re

import pytest

from tests.engine.world import SETTINGS, World
from tests.tree import ROOT

PAGE = ROOT / "docs" / "activities.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_the_blocks_of_the_page_run(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What the page defines is offered by a worker that serves its queue, and does what the page says."""
    names: dict[str, object] = {"client": world.client, "__name__": "page"}
    serving = dataclasses.replace(SETTINGS, queues=("archive",))

    for block in BLOCK.findall(PAGE.read_text("utf-8")):
        code = compile(block, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.isawaitable(ran := eval(code, names)):  # noqa: S307 - it is our own page
            await ran
    await world.worker(names["move"], names["copy"], names["compress"], settings=serving)  # type: ignore[arg-type]  # as the page has them

    assert (await world.run("archive::orchestration::move", 2_500)).output == 2_500
    assert capsys.readouterr().out == "archive 0 0 None 0\n"
    [queue] = await world.client.list_queues()
    assert (queue.max_running, queue.per_second, queue.workers) == (2, 10, 1)


async def test_there_is_no_other_code_on_the_page() -> None:
    """Nothing stands there that nobody runs."""
    text = PAGE.read_text("utf-8")

    assert len(BLOCK.findall(text)) == text.count("\n```") / 2
