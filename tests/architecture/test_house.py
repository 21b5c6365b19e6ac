"""The shape of the source: which way imports run, and how much stands in a function."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.shape import measure

ROOT = Path(__file__).parents[2]
MOST = {
    "expression nodes per function, p90": 80,
    "nesting, max": 4,
    "functions with more than 8 positional parameters": 0,
    "parallel assignments per 1,000 lines": 0,
    "Any per 1,000 lines": 13.5,
    "lines over 100 characters": 1,
    "fmt: skip": 2,
    "index constants": 0,
}


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


def test_no_large_file_is_tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not run from a checkout")
    tracked = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    large = [path for path in tracked if path.is_file() and path.stat().st_size > 1_000_000]
    assert not large


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


def test_the_shape_of_the_code(sources):
    measured = measure(sources)
    for name, most in MOST.items():
        assert measured[name] <= most, f"{name}: {measured[name]:.1f}, allowed is {most}"


def test_no_two_classes_have_one_name(sources):
    per_definition = {"State", "Scratch", "_Saved"}  # one per expert, projection or score
    places = {}
    for path, text in sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name not in per_definition:
                places.setdefault(node.name, []).append(str(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


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
        path.parts[1].removeprefix("_")
        for path in sources
        if path.parts[0] == "loco_stream" and len(path.parts) > 2
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
