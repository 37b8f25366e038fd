"""The style of this house, as a test.

Reads the tree as text and syntax, never by running it (the one exception are generated files, which are generated again
and compared). Each test is one rule; its message is the list of places that break it. What ruff, mypy and import-linter
can say is said there (`pyproject.toml`); here stands what they cannot: sizes, prose, SQL, links, reasons, and what must
never be in the tree at all.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tree import HALL, ROOT, files, none_of, places, text

FUNCTION_LINES = 60
MODULE_LINES = 600
PARAMETERS = 6
POSITIONAL_PARAMETERS = 2
ADR_LINES = 40
PROSE_CHARACTERS = {"operator": 60, "activities": 60, "workflows": 60, "tests": 30}
"""Shorter than this a module's docstring cannot say what the module is; what a test module proves, its tests say."""

API = (
    "operator/perdure/client/signalling.py",
    "operator/perdure/client/starting.py",
    "operator/perdure/_core/activity.py",
    "operator/perdure/_core/context.py",
    "operator/perdure/_core/relations.py",
)
"""Where the signatures stand that people call: what reads best in their code decides."""

WIDE_BY_DESIGN = {"schedule_activity", "schedule_sub_orchestration"}
"""Functions whose parameters are the options of the public API; all after the second are keyword-only."""

CONTRADICTIONS = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")
ADDRESSES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|proxy[.]golang|docker[.]io|ghcr[.]io|quay[.]io|gcr[.]io|registry[.]k8s"
    r"|registry[.]npmjs|--(?:extra-)?index-[u]rl"
)
MACHINE_PATHS = re.compile(r"(?<![\w.~}-])/(?:root|home|Users|work)/\w")
SQL = re.compile(
    r"^\s*(?:select\s.*\sfrom|insert\s+into|update\s+\w+\s+(?:as\s+\w+\s+)?set|delete\s+from|with\s+\w+\s+as\s*\("
    r"|create\s+(?:table|index|function)|alter\s+table|drop\s+table|truncate\s)",
    re.IGNORECASE | re.DOTALL,
)
SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore)\b(?P<rest>[^#]*)(?P<more>.*)")
REASON = re.compile(r"^(?::\s*[A-Z]+[0-9]+(?:[, ]+[A-Z]+[0-9]+)*|\[[a-z, -]+\])\s*-?\s*\S+")


# --- reading the tree ------------------------------------------------------------------------------------------------


@functools.cache
def tree(path: Path) -> ast.Module:
    """Parse one module of the house."""
    return ast.parse(text(path), filename=str(path))


def modules(*folders: str) -> list[Path]:
    """Name the Python modules in these folders, or in all."""
    chosen = folders or ("operator", "workflows", "activities", "tests")
    return [path for path in files() if path.suffix == ".py" and path.as_posix().startswith(chosen)]


type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module, nested ones and methods too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, type_of_function):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[list[str], list[str]]:
    """Name the positional and all parameters of a function, `self` and `cls` left out."""
    positional = [
        arg.arg for arg in (*function.args.posonlyargs, *function.args.args) if arg.arg not in {"self", "cls"}
    ]
    return positional, [*positional, *(arg.arg for arg in function.args.kwonlyargs)]


def docstrings(path: Path) -> set[int]:
    """Say on which lines docstrings begin, those of constants included."""
    return {
        node.value.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module that are values, not prose; of an f-string its fixed parts in one."""
    prose = docstrings(path)
    inside: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            inside.update(id(part) for part in parts)
            yield node.lineno, "x".join(str(part.value) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from [(node.lineno, node.value)] if id(node) not in inside and node.lineno not in prose else []


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_no_function_is_longer_than_sixty_lines() -> None:
    """Every function fits on one screen."""
    broken = [
        f"{path}:{function.lineno}: {function.name} has {lines} lines"
        for path in modules()
        for function in functions(path)
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > FUNCTION_LINES
    ]

    none_of(broken)


def test_no_module_is_longer_than_six_hundred_lines() -> None:
    """Every module can be read in one sitting."""
    broken = [f"{path}: {lines} lines" for path in modules() if (lines := len(text(path).splitlines())) > MODULE_LINES]

    none_of(broken)


def test_no_function_takes_more_than_six_parameters() -> None:
    """Who needs more than six values passes one value that holds them.

    Exempt are the commands of the command line: their parameters are the options that people type, by name.
    """
    broken = [
        f"{path}:{function.lineno}: {function.name} takes {len(parameters(function)[1])}"
        for path in modules()
        for function in functions(path)
        if len(parameters(function)[1]) > PARAMETERS and function.name not in WIDE_BY_DESIGN
        if not (path.is_relative_to("operator/perdure/cli") and function.decorator_list)
    ]

    none_of(broken)


def test_parameters_after_the_second_are_named_by_the_caller() -> None:
    """A call reads without looking up the signature: positional are the first two parameters, no more.

    Exempt are private functions, which are called beside where they stand; what a decorator calls, like the commands of
    the command line; and the API and its implementations: `set_progress(3, 5, "copying")` reads by itself.
    """
    api = {function.name for path in API for function in functions(Path(path))}

    broken = [
        f"{path}:{function.lineno}: {function.name}({', '.join(parameters(function)[0])})"
        for path in modules("operator", "workflows", "activities")
        for function in functions(path)
        if len(parameters(function)[0]) > POSITIONAL_PARAMETERS
        if function.name not in api and not function.name.startswith("_") and not function.decorator_list
    ]

    none_of(broken)


# --- prose -----------------------------------------------------------------------------------------------------------


def test_every_module_opens_with_prose() -> None:
    """A module says what it is and what it must not know before it says anything else."""
    broken = [
        f"{path}: {len(prose)} characters of prose"
        for path in modules()
        if len(prose := ast.get_docstring(tree(path)) or "") < PROSE_CHARACTERS[path.parts[0]]
    ]

    none_of(broken)


def test_every_public_function_and_every_test_has_a_docstring() -> None:
    """The first sentence of a public function is its contract, that of a test the truth it proves."""
    broken = [
        f"{path}:{node.lineno}: {node.name}"
        for path in modules()
        for node in tree(path).body
        if isinstance(node, (*type_of_function, ast.ClassDef)) and not node.name.startswith("_")
        if not ast.get_docstring(node)
    ]

    none_of(broken)


def test_every_silenced_check_says_why() -> None:
    """A lint or type exception names its rule and its reason on its line."""
    broken = [
        f"{path}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(text(path).splitlines(), 1)
        if (found := SILENCED.search(line)) and path != Path("tests/test_tidy.py")
        if not (REASON.match(found["rest"].strip()) or (REASON.match(f"{found['rest'].strip()} {found['more']}")))
    ]

    none_of(broken)


def test_every_ignored_rule_says_why() -> None:
    """A rule that is off for the whole house has its reason on its line of pyproject.toml."""
    broken = [
        f"pyproject.toml:{number}: {line.strip()}"
        for number, line in enumerate(text(Path("pyproject.toml")).splitlines(), 1)
        if re.match(r'^\s+"[A-Z]+[0-9]+",', line) and not re.search(r"#\s+\S+ \S+", line)
    ]

    none_of(broken)


def test_decision_records_are_short_and_ask_answer_and_follow_through() -> None:
    """An ADR has at most forty lines: a context that asks a question, a decision, its consequences."""
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))

    broken = [f"{record.name}: {complaint}" for record in records for complaint in _complaints(record)]

    assert records
    none_of(broken)


def _complaints(record: Path) -> Iterator[str]:
    content = record.read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0].strip(): part for part in content.split("\n## ")[1:]}
    if not re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", record.name):
        yield "is not named NNNN-words.md"
    if len(content.splitlines()) > ADR_LINES:
        yield f"has {len(content.splitlines())} lines"
    if list(sections) != ["Context", "Decision", "Consequences"]:
        yield f"has the sections {list(sections)}"
    elif "?" not in sections["Context"]:
        yield "asks no question"


# --- rooms -----------------------------------------------------------------------------------------------------------


def test_operator_is_a_source_root_and_never_a_package() -> None:
    """`operator/__init__.py` would shadow the module of the standard library that half of Python imports."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_sql_lives_in_files() -> None:
    """No string of a module is a statement, but in the store: SQL is in files, reviewed as code."""
    chosen = [path for path in modules("operator", "workflows", "activities") if "_store" not in path.parts]

    broken = [
        f"{path}:{line}: {' '.join(value.split())[:60]}"
        for path in chosen
        for line, value in literals(path)
        if SQL.match(value)
    ]

    none_of(broken)


def test_every_query_file_holds_one_statement_under_a_head_comment() -> None:
    """A query says its purpose before it begins, and `psql -f` runs exactly one statement."""
    queries = [path for path in files() if path.suffix == ".sql" and path.parent.name == "queries"]

    headless = [f"{path}: begins without a comment" for path in queries if not text(path).startswith("-- ")]
    crowded = [f"{path}: {count} statements" for path in queries if (count := _statements(text(path))) != 1]

    assert {path.parent.parent.name for path in queries} == {"_store", "inventory", "postgres"}
    none_of([*headless, *crowded])


def test_a_migration_says_what_it_brings() -> None:
    """The first line of a migration is prose."""
    migrations = [path for path in files() if path.suffix == ".sql" and path.parent.name == "migrations"]

    assert {path.parent.parent.name for path in migrations} == {"_store", "inventory"}
    none_of([str(path) for path in migrations if not text(path).startswith("-- ")])


def _statements(sql: str) -> int:
    bare = re.sub(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", "''", sql, flags=re.DOTALL)
    return sum(1 for statement in bare.split(";") if statement.replace("''", "").strip())


@pytest.mark.parametrize("folder", ["operator/perdure/_core", "workflows"])
def test_replayed_code_asks_no_clock(folder: str) -> None:
    """Neither the core nor a workflow calls `datetime.now` or one of its sisters, silenced or not."""
    broken = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path in modules(folder)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
        if ast.unparse(node.value).rpartition(".")[2] in {"datetime", "date", "dt"}
    ]

    none_of(broken)


def test_all_is_true() -> None:
    """`__all__` names what is there and is complete: all public functions and classes of the house are in it.

    Complete it need not be in a test, nor for a function that its decorator offers.
    """
    broken = [
        f"{path}: {complaint}"
        for path in modules()
        for complaint in _all_complaints(tree(path))
        if path.parts[0] != "tests" or complaint.startswith("offers")
    ]

    none_of(broken)


def _all_complaints(module: ast.Module) -> Iterator[str]:
    defined: set[str] = set()
    public: set[str] = set()
    offered: list[str] | None = None
    for node in module.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
                by_decorator = isinstance(node, type_of_function) and node.decorator_list
                public.update(set() if name.startswith("_") or by_decorator else {name})
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                defined.update((alias.asname or alias.name).partition(".")[0] for alias in names)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                offered = ast.literal_eval(value)
            case ast.Assign(targets=targets):
                defined.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                defined.add(name)
            case _:
                pass
    if offered is not None:
        yield from (f"offers {name}, which is not there" for name in offered if name not in defined)
        yield from (f"hides {name}" for name in sorted(public - set(offered)))


def test_every_error_code_has_one_error() -> None:
    """A code found in a log leads to exactly one class."""
    codes = [
        str(node.value.value)
        for module in modules("operator/perdure/errors/")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if any(isinstance(target, ast.Name) and target.id == "code" for target in node.targets)
    ]

    assert all(re.fullmatch(r"PERDURE-\d{4}", code) for code in codes)
    none_of(sorted(code for code in set(codes) if codes.count(code) > 1))


# --- the hall --------------------------------------------------------------------------------------------------------


def test_the_hall_is_clean() -> None:
    """Only what belongs there stands at the top of the tree: no reports, logs, dumps or notes."""
    none_of(sorted({path.parts[0] for path in files()} - HALL))


def test_every_file_is_text() -> None:
    """No binaries: what is generated is generated, what is downloaded is downloaded."""
    broken = [str(path) for path in files() if b"\0" in (ROOT / path).read_bytes()]

    none_of(broken)


def test_no_file_names_a_registry_or_a_package_index() -> None:
    """Where packages, modules and images come from is the choice of whoever builds, not of this tree."""
    none_of(places(ADDRESSES, files()))


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No path of anybody's home is in the tree."""
    none_of(places(MACHINE_PATHS, files()))


def test_nothing_is_left_for_later() -> None:
    """What is not done is not promised in a comment; what is planned is an issue."""
    none_of(places(CONTRADICTIONS, files()))


# --- generated files -------------------------------------------------------------------------------------------------


def test_the_crds_are_what_the_models_say() -> None:
    """`crds/` holds exactly what the resource models generate: `make crds` would change nothing."""
    from perdure._kube import crds  # noqa: PLC0415 - the rest of this file runs without importing the house

    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "crds").glob("*.yaml")}

    assert committed == crds.render_all()
