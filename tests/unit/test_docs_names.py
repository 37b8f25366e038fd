"""What a page calls by name is there under that name: settings, calls, errors, files of the tree."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import ActivityContext, OrchestrationContext, errors
from perdure._core import lifecycle
from perdure.client import Client
from perdure.settings import Settings
from tests import test_pages
from tests.tree import ROOT, none_of, text

ELSEWHERE = {"PERDURE_CACHE", "PERDURE_TEST_", "PERDURE_SEED"}
"""Variables of the test suite."""
FORBIDDEN = "operator/__init__.py"
"""It is named since it must not be."""
OTHERS = {"BaseExceptionGroup", "ExceptionGroup", "CancelledError", "KeyboardInterrupt"}


def is_setting(name: str) -> bool:
    """Whether a process reads it."""
    return name.removeprefix("PERDURE_").lower() in Settings.model_fields or name in ELSEWHERE


def is_call_of_a_context(name: str) -> bool:
    """Whether an orchestration or an activity can ask for it."""
    return hasattr(OrchestrationContext, name) or hasattr(ActivityContext, name) or name in ActivityContext.__slots__


def is_call_of_the_client(name: str) -> bool:
    """Whether a program can ask for it."""
    return hasattr(Client, name)


def is_error(name: str) -> bool:
    """Whether it can be raised or caught."""
    return name in errors.__all__ or hasattr(builtins, name) or name in OTHERS


def is_file(name: str) -> bool:
    """Whether it stands in the tree."""
    return (ROOT / name).exists() or name == FORBIDDEN


@pytest.mark.parametrize(
    ("named", "is_there"),
    [
        (r"\b(PERDURE_[A-Z_]+)\b", is_setting),
        (r"\bctx\.([a-z]\w*)", is_call_of_a_context),
        (r"\bclient\.([a-z]\w*)\(", is_call_of_the_client),
        (r"`([A-Z]\w+Error)\b", is_error),
        (r"`((?:tests|operator|docs|workflows|activities|crds)/[\w/.]+\.\w+)`", is_file),
    ],
    ids=["settings", "contexts", "client", "errors", "files"],
)
def test_what_a_page_names_is_there(named: str, is_there: Callable[[str], bool]) -> None:
    """A name that is gone, or was never there, is found on every page."""
    names = [(page, name) for page in test_pages.pages() for name in re.findall(named, text(page))]

    assert names
    none_of(f"{page}: {name}" for page, name in names if not is_there(name))


def shown(value: object) -> str:
    """Write the default of a setting as the page does: as one would write it in a variable, nothing for none."""
    match value:
        case None | ():
            return ""
        case tuple():
            return f"`{','.join(value)}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    """What can be set can be read about, and the page knows no other."""
    rows = re.findall(r"^\| `(PERDURE_\w+)` \| ([^|]*?) *\| .*\|$", text(Path("docs/running.md")), re.MULTILINE)

    assert dict(rows) == {f"PERDURE_{name.upper()}": shown(one.default) for name, one in Settings.model_fields.items()}
    assert len(rows) == len(Settings.model_fields)


def test_every_reason_to_hold_an_instance_stands_on_the_page() -> None:
    """Whoever reads `hold_reason` finds what to do, and the page knows no reason that is none."""
    section = text(Path("docs/cancellation.md")).partition("| reason |")[2].partition("\n\n")[0]
    on_the_page = {
        name for row in section.splitlines() for name in re.findall(r"`([A-Z]\w+)`", row.partition(" | ")[0])
    }
    code = "".join(text(Path(f"operator/perdure/_engine/{module}.py")) for module in ("committer", "departures"))
    named = set(re.findall(r'(?:return |reason=|_POISON = )"([A-Z]\w+)"', code))

    assert on_the_page == named | {lifecycle.PAYLOAD_SEALED}
