"""The page about the client tells the truth: its blocks run beside a worker, in order, and what they assert holds.

Nothing is added but the address of the database, and a pause before each block until the worker has taken up what was
started: a reader is slower than a test.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from perdure._core.definition import OrchestrationDefinition
from tests.engine.world import World

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = '"postgresql://perdure@localhost/perdure"'


async def test_the_blocks_of_the_page_run_from_top_to_bottom(world: World) -> None:
    """Every block of code of the page is Python, and all of it runs in one go."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = [found["code"] for found in BLOCK.finditer(text)]
    names: dict[str, object] = {}

    for number, block in enumerate(blocks):
        await world.until("select 1 where not exists (select from instances where finished_at is null and turn = 0)")
        line = text[: text.index(block)].count("\n")
        code = compile(
            "\n" * line + block.replace(ADDRESS, repr(world.dsn)),
            str(PAGE),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        running = eval(code, names)  # noqa: S307 - the page is ours, and this is the test of it
        if inspect.isawaitable(running):
            await running
        if number == 0:
            order = names["order"]
            assert isinstance(order, OrchestrationDefinition)
            await world.worker(order)

    assert len(blocks) > 8
    assert text.count("\n```") == 2 * len(blocks)


@pytest.mark.parametrize("name", ["get_tree", "list_executions", "get_history", "export_history", "list_unoffered"])
def test_the_calls_that_the_page_only_names_exist(name: str) -> None:
    """What stands in its table can be called."""
    from perdure.client import Client  # noqa: PLC0415 - only here is it asked for its names

    assert f"`{name}(" in PAGE.read_text(encoding="utf-8")
    assert callable(getattr(Client, name))
