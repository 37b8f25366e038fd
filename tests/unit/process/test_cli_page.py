"""The page about the command line tells the truth: what it lists is what there is, what it shows can be typed."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
from pathlib import Path

import pytest
import typer.core
import typer.main

from perdure import cli
from perdure.cli.application import Exit

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
SHOWN = re.findall(
    r"^perdure (.+)$", "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)), re.MULTILINE
)


def commands() -> dict[str, typer.core.TyperCommand]:
    """Give the commands there are."""
    group = typer.main.get_command(cli.application)
    assert isinstance(group, typer.core.TyperGroup)
    return {name: command for name, command in group.commands.items() if isinstance(command, typer.core.TyperCommand)}


def test_the_page_lists_every_command() -> None:
    """A row for each, and none for what is not there."""
    rows = re.search(r"^\| command \| does \|\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert rows is not None

    named = re.findall(r"`([a-z-]+)`", "".join(line.split("|")[1] for line in rows[1].splitlines()))

    assert sorted(named) == sorted(commands())


@pytest.mark.parametrize("line", SHOWN)
def test_what_the_page_shows_can_be_typed(line: str) -> None:
    """Every option and argument of every example is understood."""
    name, *words = shlex.split(line.partition(" > ")[0])

    with commands()[name].make_context(name, words) as context:
        assert not context.args


def test_the_page_has_every_exit_code() -> None:
    """A row for each."""
    rows = re.search(r"^\| code \| means \|\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert rows is not None

    assert [int(code) for code in re.findall(r"^\| (\d+) \|", rows[1], re.MULTILINE)] == [code.value for code in Exit]


def test_it_says_which_release_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """`perdure --version` prints the version that is installed, and nothing else."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == Exit.DONE
    assert capsys.readouterr().out == f"{importlib.metadata.version('perdure')}\n"
