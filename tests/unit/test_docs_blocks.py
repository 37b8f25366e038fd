"""No page has a block of code that nobody checks, nor names a command or an option that is not there.

How a block is checked follows from its language. Python is run by the test of its page or quoted from code that runs
(`test_pages.py`); here stands what holds for the others, and that every page that says it is run has a test.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.core
import typer.exceptions
import yaml

from perdure import cli
from perdure._kube import crds
from perdure._kube.api.orchestration import OrchestrationSpec
from tests import test_pages
from tests.tree import files, none_of, text

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(perdure [a-z][^`]*)`")
COMMENT = re.compile(r"(?:^|\s)#\s.*$")
OTHERS = {
    "cat", "cp", "docker", "exec", "export", "grep", "helm", "kill", "kind", "kubectl", "mkdir", "openssl", "python",
    "sh", "touch", "wait",
}  # fmt: skip
"""Commands of the machine of whoever reads."""
OUR_KINDS = {yaml.safe_load(definition)["spec"]["names"]["kind"] for definition in crds.render_all().values()}
TARGETS = set(re.findall(r"^([a-z0-9-]+):", text(Path("Makefile")), flags=re.MULTILINE))


def blocks() -> Iterator[tuple[Path, str, str]]:
    """Give every block of every page: page, language, content."""
    for page in test_pages.pages():
        for _, language, content in BLOCK.findall(text(page)):
            yield page, language, content


@functools.cache
def group() -> typer.core.TyperGroup:
    """Give the command line as the parser sees it."""
    found = typer.main.get_command(cli.application)
    assert isinstance(found, typer.core.TyperGroup)
    return found


def options_or_none(words: list[str]) -> set[str] | None:
    """Give the options of the command that these words begin with, also in a group; None when there is none."""
    command = group().commands.get(words[0])
    if isinstance(command, typer.core.TyperGroup) and words[1:]:
        command = command.commands.get(words[1])
    return None if command is None else {option for parameter in command.params for option in parameter.opts}


def typed(content: str) -> list[str]:
    """Give the commands of a block: the lines after `$`, or all where there is none."""
    lines = [line.strip() for line in content.splitlines()]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    without = [COMMENT.sub("", line) for line in prompted or lines]
    return [line for line in without if line]


def complaint_about_command(line: str) -> str | None:
    """Say what is wrong with a typed line; None for nothing."""
    words = shlex.split(line.partition(" >")[0])
    match words:
        case ["perdure", name, *arguments]:
            command = group().commands.get(name)
            if command is None:
                return f"there is no perdure {name}"
            try:
                command.make_context(name, arguments)
            except typer.exceptions.TyperException as error:
                return f"{type(error).__name__}: {error}"
            return None
        case ["make", target, *_]:
            return None if target in TARGETS else f"there is no make {target}"
        case _:
            return None if words[0] in OTHERS else f"what is {words[0]}?"


def check_typed(content: str) -> list[str]:
    """Every command exists, takes these options and arguments."""
    return [f"{line}: {wrong}" for line in typed(content) if (wrong := complaint_about_command(line))]


def check_yaml(content: str) -> list[str]:
    """A resource is of a kind that exists (for its fields see `test_pages.py`); a piece of one has its fields."""
    if content.startswith("# values of the chart\n"):
        return []  # rendered by `tests/chart/test_install_page.py`
    fields = {field.alias or name for name, field in OrchestrationSpec.model_fields.items()}
    wrong: list[str] = []
    for document in yaml.safe_load_all(content):
        if "kind" not in document:
            wrong += [f"{key} is no field of an Orchestration's spec" for key in document.keys() - fields]
        elif document["apiVersion"].startswith("perdure.dev/") and document["kind"] not in OUR_KINDS:
            wrong.append(f"{document['kind']} is no kind of ours")
    return wrong


def check_output(content: str) -> list[str]:
    """What is only shown is not to be typed."""
    return [line for line in content.splitlines() if line.startswith(("$ ", "perdure ", "make ", "kubectl "))]


def check_elsewhere(_: str) -> list[str]:
    """Python is run by the test of its page, or quoted: see `test_quoted_code_is_the_code_that_runs`.

    Images are built by `tests/kind/test_image.py`.
    """
    return []


CHECKS: dict[str, Callable[[str], list[str]]] = {
    "": check_output,
    "text": check_output,
    "console": check_typed,
    "dockerfile": check_elsewhere,
    "sh": check_typed,
    "yaml": check_yaml,
    "python": check_elsewhere,
}


def test_every_block_is_of_a_language_that_somebody_checks() -> None:
    """A block in another language would be one that nobody runs."""
    none_of(f"{page}: {language}" for page, language, _ in blocks() if language not in CHECKS)


def test_no_block_is_overlooked() -> None:
    """Each fence of each page belongs to a block that was found."""
    none_of(
        f"{page}: {fences} fences, {found} blocks"
        for page in test_pages.pages()
        if (fences := len(re.findall(r"^ *```", text(page), re.MULTILINE)))
        != 2 * (found := len(BLOCK.findall(text(page))))
    )


@pytest.mark.parametrize("language", CHECKS, ids=lambda language: language or "none")
def test_every_block_says_what_is_true(language: str) -> None:
    """Commands, options and arguments exist; resources are ours; what is shown is not to be typed."""
    none_of(
        f"{page}: {wrong}" for page, found, content in blocks() if found == language for wrong in CHECKS[found](content)
    )


def test_a_page_that_says_it_is_run_has_a_test() -> None:
    """Some test of the tree names the page, and every page on that list is one."""
    tests = [text(path) for path in files() if path.suffix == ".py" and path.name.startswith("test_docs")]
    tests += [text(path) for path in files() if path.name.endswith("_page.py")]

    none_of(f"{page}" for page in test_pages.RUN_BY_THEMSELVES if not any(f'"{page.name}"' in test for test in tests))


def test_commands_in_the_text_exist() -> None:
    """Also where a sentence names a command with an option, both exist."""
    none_of(
        f"{page}: {line}"
        for page in test_pages.pages()
        for line in INLINE.findall(text(page))
        if (words := line.split())
        if (options := options_or_none(words[1:])) is None
        or {word.partition("=")[0] for word in words if word.startswith("--")} - options - {"--help"}
    )


@pytest.mark.parametrize(
    "line", ["perdure fly", "perdure get", "perdure get a --fast", "perdure start a --timeout soon", "make tea", "fly"]
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    """The check can fail."""
    assert complaint_about_command(line)
