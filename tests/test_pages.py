"""What the pages say is true: their links lead somewhere, their commands exist, their examples are the real thing.

A page that quotes code quotes a file that the tests run; a page that shows a resource shows one that would run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from perdure._core import payload
from perdure._kube.api.orchestration import OrchestrationSpec
from perdure._kube.api.orchestration_schedule import OrchestrationScheduleSpec
from perdure._kube.api.orchestration_signal import OrchestrationSignalSpec
from shop import registry as sample
from tests.tree import ROOT, files, none_of, text
from workflows import registry

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"(?:`|^)(?:[A-Z_]+=\S+ )*make ([a-z0-9-]+)", re.MULTILINE)
TEST = re.compile(r"\[`(test_\w+)`\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELISION = re.compile(r"^\s*\.\.\.$\n?", re.MULTILINE)

RUN_BY_THEMSELVES = {
    Path("docs/activities.md"),
    Path("docs/cancellation.md"),
    Path("docs/children.md"),
    Path("docs/client.md"),
    Path("docs/continue-as-new.md"),
    Path("docs/determinism.md"),
    Path("docs/errors-and-retries.md"),
    Path("docs/secrets.md"),
    Path("docs/signals.md"),
    Path("docs/status.md"),
    Path("docs/testing.md"),
    Path("docs/timers-and-races.md"),
    Path("docs/tutorial.md"),
    Path("docs/versions.md"),
    Path("docs/writing-workflows.md"),
}
"""The code of these pages stands by itself; the tests `test_docs*.py` and `test_*_page.py` take it from there."""


def pages() -> list[Path]:
    """Name every page."""
    return [path for path in files() if path.suffix == ".md"]


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    """Yield the examples in this language, each with its page."""
    for page in pages():
        for found, content in BLOCK.findall(text(page)):
            if found == language:
                yield page, content


def test_links_lead_somewhere() -> None:
    """Every relative link of every page leads to a file."""
    none_of(
        f"{page}: {target}"
        for page in pages()
        for target in LINK.findall(text(page))
        if "://" not in target and not target.startswith(("#", "mailto:"))
        if not (ROOT / page.parent / target.partition("#")[0]).exists()
    )


def anchors(page: Path) -> set[str]:
    """Give what may stand behind the `#` of a link to this page: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_a_heading() -> None:
    """Where a link names a place of a page, the page has a heading of that name."""
    none_of(
        f"{page}: {target}"
        for page in pages()
        for target in LINK.findall(text(page))
        if "://" not in target and "#" in target
        if (there := ROOT / page.parent / path if (path := target.partition("#")[0]) else ROOT / page).suffix == ".md"
        if target.partition("#")[2] not in anchors(there.resolve().relative_to(ROOT))
    )


def test_every_decision_is_listed() -> None:
    """Whoever looks for a decision finds it on the index page, under its own title."""
    index = text(Path("docs/index.md"))
    decisions = [path for path in pages() if path.parent == Path("docs/adr")]

    none_of(
        f"{path}: {title}"
        for path in decisions
        if f"(adr/{path.name}) | {(title := text(path).splitlines()[0].partition(' ')[2].partition(' ')[2])} |"
        not in index
    )


def test_named_tests_exist() -> None:
    """Where a page says that a test proves something, the test is in the file it links to."""
    named = [(page, name, page.parent / target) for page in pages() for name, target in TEST.findall(text(page))]

    assert named
    none_of(f"{page}: {name}" for page, name, target in named if f"def {name}(" not in text(target))


def test_commands_exist() -> None:
    """Every `make` that a page tells people to type is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", text(Path("Makefile")), flags=re.MULTILINE))

    none_of(
        f"{page}: make {target}" for page in pages() for target in MAKE.findall(text(page)) if target not in targets
    )


def test_quoted_code_is_the_code_that_runs() -> None:
    """Every Python example is quoted from something offered, or from a page that is run; `...` is what is left out."""
    homes = ("activities/", "docs/examples/", "workflows/")
    offered = [text(path) for path in files() if path.suffix == ".py" and path.as_posix().startswith(homes)]
    offered += [text(page) for page in RUN_BY_THEMSELVES]

    none_of(
        f"{page}: {content.splitlines()[0]}"
        for page, content in blocks("python")
        if page not in RUN_BY_THEMSELVES
        if not any(all(part in source for part in ELISION.split(content)) for source in offered)
    )


def test_shown_resources_would_run() -> None:
    """Every Orchestration that a page shows is valid, names an offered workflow, and has an input that fits."""
    known = registry.create_orchestration_registry()
    known.merge(sample.create_orchestration_registry())
    shown = [document for _, content in blocks("yaml") for document in yaml.safe_load_all(content)]

    asked = [one["spec"] for one in shown if one.get("kind") == "Orchestration"]
    schedules = [one["spec"] for one in shown if one.get("kind") == "OrchestrationSchedule"]
    asked += [schedule["orchestrationTemplate"]["spec"] for schedule in schedules]
    specs = [OrchestrationSpec.model_validate(spec) for spec in asked]

    assert specs
    assert [OrchestrationScheduleSpec.model_validate(schedule) for schedule in schedules]
    for spec in specs:
        definition = known.latest_or_none(spec.orchestration)
        assert definition is not None
        payload.decoder(definition.signature.input_type)(payload.encode(spec.input, "input"))


def test_shown_signals_would_be_taken() -> None:
    """Every OrchestrationSignal that a page or an example shows is valid, and has no field that does not exist."""
    texts = [content for _, content in blocks("yaml")]
    texts += [text(path) for path in files() if path.parent == Path("docs/examples")]
    shown = [
        one for content in texts for one in yaml.safe_load_all(content) if one.get("kind") == "OrchestrationSignal"
    ]

    assert len(shown) > 1
    for one in shown:
        spec = OrchestrationSignalSpec.model_validate(one["spec"])
        assert spec.model_dump(by_alias=True, exclude_unset=True) == one["spec"]


def test_shown_health_checks_are_of_our_kinds() -> None:
    """What Flux shall wait for is a kind that there is, in the version that is served."""
    shown = [document for _, content in blocks("yaml") for document in yaml.safe_load_all(content)]
    kustomizations = [one["spec"] for one in shown if one.get("kind") == "Kustomization"]
    definitions = [yaml.safe_load(text(path))["spec"] for path in files() if path.parent == Path("crds")]
    served = {
        (f"{one['group']}/{version['name']}", one["names"]["kind"])
        for one in definitions
        for version in one["versions"]
    }

    assert any(spec.get("wait") for spec in kustomizations)
    checks = [check for spec in kustomizations for check in spec.get("healthChecks", [])]
    assert checks
    assert {(check["apiVersion"], check["kind"]) for check in checks} <= served
