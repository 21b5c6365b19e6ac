"""The shape of the source: which way imports run, and how long modules and functions are."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES = 400
MEDIAN_LINES = 130
FUNCTION_LINES = 25
ANY = 1500  # times the type that says nothing is named; lower it when there are fewer


@pytest.fixture(scope="module")
def sources():
    """Text of every module of the package by its path."""
    if not (ROOT / "connectors").is_dir():
        pytest.skip("not run from a checkout")
    links = {ROOT / "loco_stream" / name for name in ("connectors", "demos")}
    paths = [
        path
        for name in ("loco_stream", "connectors", "demos")
        for path in (ROOT / name).rglob("*.py")
    ]
    return {
        path.relative_to(ROOT): path.read_text() for path in paths if not links & set(path.parents)
    }


@pytest.fixture(scope="module")
def trees(sources):
    return {path: ast.parse(text) for path, text in sources.items()}


def test_imports_run_one_way(sources):
    pytest.importorskip("importlinter")
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_modules_import_each_other_in_a_circle(sources):
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("loco_stream", exclude_type_checking_imports=True, cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    lazy = "loco_stream"  # names its public classes when they are asked for
    for module in needs:
        needs[module].discard(lazy)
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


def test_modules_are_short(sources):
    lines = {path: text.count("\n") for path, text in sources.items()}
    assert {path: n for path, n in lines.items() if n > MODULE_LINES} == {}
    assert statistics.median(lines.values()) <= MEDIAN_LINES


def test_functions_are_short(trees):
    functions = [
        node
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    lengths = [node.end_lineno - node.lineno + 1 for node in functions]
    assert statistics.quantiles(lengths, n=10)[-1] <= FUNCTION_LINES


def test_the_type_that_says_nothing_is_rare(trees):
    named = [
        node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Name)
    ]
    assert sum(node.id == "Any" for node in named) <= ANY


def test_tests_use_the_benches_only_for_the_benches(sources):
    own = ROOT / "tests" / "benchmarks"
    others = [path for path in (ROOT / "tests").rglob("*.py") if own not in path.parents]
    strays = [
        path
        for path in others
        if re.search(r"^\s*(from|import) benchmarks\b", path.read_text(), re.M)
    ]
    assert strays == []


def test_tests_lie_where_the_package_does(sources):
    rooms = {
        path.parts[1] for path in sources if path.parts[0] == "loco_stream" and len(path.parts) > 2
    }
    rooms |= {
        "connectors",
        "demos",
        "benchmarks",
        "architecture",
        "helpers",
        "data",
        "docs",
        "fuzz",
    }
    folders = {
        path.name
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders <= rooms
