"""The rules of the house, read off the syntax trees of the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src" / "triage"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a module may import its own layer and those below.
LAYERS = (
    "errors",
    "tuning",
    "schema",
    "packs",
    "locating",
    "coding",
    "sums",
    "intake",
    "grouping",
    "summary",
    "report",
    "diagnosis",
    "rendering",
    "options",
    "counting",
    "shards",
    "workers",
    "engine",
    "watch",
    "live",
    "cli",
)

# Who may import what is heavy or belongs to the outside.
RESERVED = {"typer": {"cli"}, "rich": {"cli", "rendering"}, "jinja2": {"rendering"}}


def name_layer(path: Path) -> str:
    """The part of the package that a file belongs to; "" for the package's own __init__."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def walk(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8"), path.name))


def list_imports(path: Path) -> list[str]:
    found = []
    for node in walk(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: write imports in full"
            found += [f"{node.module}.{a.name}" for a in node.names] if node.module == "triage" else [str(node.module)]
    return found


def name_test(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_every_module_has_its_layer() -> None:
    assert {name_layer(path) for path in FILES} - {""} == set(LAYERS)


@pytest.mark.parametrize("path", [p for p in FILES if name_layer(p)], ids=name_test)
def test_imports_point_down(path: Path) -> None:
    layer = LAYERS.index(name_layer(path))
    ours = [name.split(".")[1] for name in list_imports(path) if name.startswith("triage.")]
    above = sorted({name for name in ours if name in LAYERS and LAYERS.index(name) > layer})
    assert not above, f"{name_test(path)} imports from above: {', '.join(above)}"


@pytest.mark.parametrize("path", FILES, ids=name_test)
def test_what_is_heavy_is_imported_only_where_it_belongs(path: Path) -> None:
    for name in list_imports(path):
        allowed = RESERVED.get(name.split(".")[0])
        assert allowed is None or name_layer(path) in allowed, f"{name_test(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if name_layer(p) == "rendering"], ids=name_test)
def test_rendering_sees_a_report_and_never_a_frame(path: Path) -> None:
    seen = {name.split(".")[1] if name.startswith("triage.") else name.split(".")[0] for name in list_imports(path)}
    assert not seen & {"polars", "summary", "grouping", "intake", "diagnosis", "schema"}


@pytest.mark.parametrize("path", [p for p in FILES if name_layer(p) != "cli"], ids=name_test)
def test_only_the_command_line_prints_exits_and_reads_the_environment(path: Path) -> None:
    for node in walk(path):
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            assert whole not in ("sys.exit", "sys.argv", "os.environ", "os.getenv"), (
                f"{path.name}:{node.lineno}: {whole}"
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "quit"), f"{path.name}:{node.lineno}: {node.func.id}()"


@pytest.mark.parametrize("path", FILES, ids=name_test)
def test_no_error_is_swallowed(path: Path) -> None:
    for node in walk(path):
        if isinstance(node, ast.ExceptHandler):
            where = f"{path.name}:{node.lineno}"
            assert node.type is not None, f"{where}: name what is caught"
            empty = all(
                isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
                for s in node.body
            )
            assert not empty, f"{where}: except ... pass"


@pytest.mark.parametrize("path", FILES, ids=name_test)
def test_every_module_begins_with_one_sentence_on_what_it_is_for(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said, f"{name_test(path)} has no docstring"
    first = said.split("\n\n")[0]
    assert "\n" not in first, f"{name_test(path)}: begin with one sentence"
    assert first.endswith("."), f"{name_test(path)}: a sentence ends with a full stop"


@pytest.mark.parametrize("path", FILES, ids=name_test)
def test_things_are_structs_and_frozen_where_others_see_them(path: Path) -> None:
    for node in walk(path):
        if not isinstance(node, ast.ClassDef):
            continue
        where = f"{path.name}:{node.lineno}: {node.name}"
        assert not any("dataclass" in ast.unparse(d) for d in node.decorator_list), f"{where}: a struct starts sooner"
        seen = name_layer(path) in ("engine", "report", "summary", "diagnosis") and not node.name.startswith("_")
        if "Struct" in [ast.unparse(base) for base in node.bases]:
            assert "frozen=True" in [f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords] or not seen, where


@pytest.mark.parametrize("path", FILES, ids=name_test)
def test_functions_are_verbs_without_get(path: Path) -> None:
    for node in walk(path):
        if isinstance(node, ast.FunctionDef):
            assert not node.name.startswith("get_"), f"{path.name}:{node.lineno}: {node.name}"
