"""The house: folders, imports, sizes, names and docstrings, read from the source.

Imports run downwards only. A folder imports from folders below it; folders on one line never import each other:

    cli                 commands > (cli) > viewer > render
    web                 live > (web) > report
    engines             integrations: startup > (integrations) > capture          presets        testing
    logger              handler: (handler) > writing        reader: reports > (reader) > answer, retrieval > segments > sql
                                                                    > pricing > cache > lines > foreign
    usage: (usage) > wire       redaction: (redaction) > detectors > matching       maintenance       presentation
    files: (files) > spool      models: (models) > counting
    context, failure_report, hmac_keys, option_values, reach, truncation
    clock
    errors, runtime
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_logging

PACKAGE = Path(llm_logging.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the top line to the ground. Folders and modules of one line never import each other.
LINES = (
    {"__main__"},
    {"cli", "pytest_plugin"},
    {"web"},
    {"engines", "integrations", "presets", "testing"},
    {"logger", "handler", "reader"},
    {"presentation", "usage", "redaction", "maintenance"},
    {"files", "models"},
    {"context", "failure_report", "hmac_keys", "option_values", "reach", "truncation"},
    {"clock"},
    {"errors", "runtime"},
)
# The same inside a folder; "" is the folder's own modules.
INSIDE: dict[str, tuple[set[str], ...]] = {
    "web": ({"live"}, {""}, {"report"}),
    "cli": ({"commands"}, {""}, {"viewer"}, {"render"}),
    "integrations": ({"startup"}, {""}, {"capture"}),
    "handler": ({""}, {"writing"}),
    "reader": (
        {"reports"},
        {""},
        {"answer", "retrieval"},
        {"segments"},
        {"sql"},
        {"pricing"},
        {"cache"},
        {"lines"},
        {"foreign"},
    ),
    "usage": ({""}, {"wire"}),
    "redaction": ({""}, {"detectors"}, {"matching"}),
    "files": ({""}, {"spool"}),
    "models": ({""}, {"counting"}),
}
MOST_MODULES = 12
# These must be split by topic; each may shrink, and leaves this list when it is small enough.
TOO_LONG: dict[str, int] = {}
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "core", "misc", "base", "types"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def unit_of(dotted: tuple[str, ...]) -> str:
    return dotted[0] if dotted else ""


def folder_of(dotted: tuple[str, ...]) -> str:
    """Return the folder inside the top folder; "" for its own modules."""
    return dotted[1] if len(dotted) > 2 or PACKAGE.joinpath(*dotted).is_dir() and len(dotted) > 1 else ""


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Say which modules of the package a module imports, wherever in it, as paths below the package."""
    here = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = tuple(alias.name.split("."))
                if parts[0] == "llm_logging":
                    yield parts[1:]
        elif isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = here[: len(here) - node.level]
            elif module[:1] == ("llm_logging",):
                base, module = (), module[1:]
            else:
                continue
            for alias in node.names:
                target = (*base, *module)
                inner = PACKAGE.joinpath(*target, alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield (*target, alias.name) if is_module else target


def line_of(unit: str, lines: tuple[set[str], ...]) -> int:
    return next(number for number, units in enumerate(lines) if unit in units)


def runs_downwards(own: tuple[str, ...], other: tuple[str, ...]) -> bool:
    top, target = unit_of(own), unit_of(other)
    if top != target:
        return line_of(target, LINES) > line_of(top, LINES)
    if top not in INSIDE:
        return True
    here, there = folder_of(own), folder_of(other)
    return here == there or line_of(there, INSIDE[top]) > line_of(here, INSIDE[top])


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts
    if own == ("__init__",):
        return
    for target in imported(path):
        assert target, f"{name_of(path)} imports the package root"
        assert runs_downwards(own, target), f"{name_of(path)} imports {'.'.join(target)}"


def test_the_check_of_imports_can_fail() -> None:
    assert runs_downwards(("reader", "sql", "fold"), ("reader", "lines", "columns"))
    assert not runs_downwards(("reader", "lines", "columns"), ("reader", "sql", "fold"))
    assert not runs_downwards(("reader", "stats"), ("handler", "writing", "writer"))
    assert not runs_downwards(("models", "entry"), ("files", "layout"))
    seen = {
        (unit_of(path.relative_to(PACKAGE).parts), unit_of(target))
        for path in MODULES
        for target in imported(path)
    }
    assert {("handler", "models"), ("logger", "models"), ("reader", "files")} <= seen


def test_every_folder_has_its_line() -> None:
    units = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in MODULES} - {"__init__"}
    assert units == set().union(*LINES)
    for top, lines in INSIDE.items():
        inner = {
            folder_of(path.relative_to(PACKAGE).with_suffix("").parts)
            for path in (PACKAGE / top).rglob("*.py")
        }
        assert inner == set().union(*lines), top


def test_a_folder_is_seen_at_a_glance() -> None:
    modules = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert not {folder: count for folder, count in modules.items() if count > MOST_MODULES}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_too_long_or_gathers_everything(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= TOO_LONG.get(name_of(path), 600)
    assert path.stem not in FORBIDDEN
    assert path.parent.name not in FORBIDDEN


def test_the_list_of_what_is_too_long_holds_nothing_else() -> None:
    for name in TOO_LONG:
        path = PACKAGE / name
        assert path.is_file(), name
        assert len(path.read_text().splitlines()) > 600, f"{name} can leave the list"


def test_tests_import_builders_and_never_each_other() -> None:
    tests = Path(__file__).parent
    for path in sorted(tests.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                found = [name for name in names if name.startswith("test_") and "tests" in names[:1]]
                assert not found, f"{path.relative_to(tests)} imports {found[0]}"


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Return functions of a module and methods of its classes, by qualified name."""

    def below(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from below(child, f"{prefix}{child.name}.")
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{prefix}{child.name}", child

    return below(ast.parse(path.read_text()), "")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_everything_public_has_its_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name != "__main__.py":
        assert ast.get_docstring(tree), f"{name_of(path)} says nothing about itself"
    missing = [
        name
        for name, function in functions(path)
        if not any(part.startswith("_") for part in name.split("."))
        and not ast.get_docstring(function)
        and not any("overload" in ast.unparse(decorator) for decorator in function.decorator_list)
        and not any("setter" in ast.unparse(decorator) for decorator in function.decorator_list)
    ]
    missing += [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not missing


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_read_in_one_screen(path: Path) -> None:
    for name, function in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        if body:
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1
            # Options are checked and pre-computed in `__init__`, one after the other.
            most = 85 if name.endswith("__init__") else 70
            assert length <= most, f"{name_of(path)}: {name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_docstrings_begin_with_a_sentence(path: Path) -> None:
    for name, function in functions(path):
        text = ast.get_docstring(function)
        if text:
            first = text.splitlines()[0]
            assert first[0].isupper() or first[0] in "<`0123456789", f"{name_of(path)}: {name}"
            assert first.rstrip().endswith((".", ":", "?")) or len(text.splitlines()) > 1, (
                f"{name_of(path)}: {name}"
            )
