"""The list of numba's internals is the list of what the package uses, and all of it exists."""

from __future__ import annotations

import ast
import re
from importlib.metadata import requires
from pathlib import Path

import loco_stream
from loco_stream._compiler import internals

PACKAGE = Path(loco_stream.__file__).parent
COMPILER = PACKAGE / "_compiler"
PUBLIC = {"numba"}  # njit, config, types and the like


def imported_names(path):
    """Yield the module and the name of each import of numba's or llvmlite's parts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.partition(".")[0] in ("numba", "llvmlite"):
                yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (
                (alias.name, "")
                for alias in node.names
                if alias.name.partition(".")[0] in ("numba", "llvmlite")
            )


def used_in(folder):
    """Return the names used of each internal module; names of imported modules are resolved."""
    used = {}
    for path in folder.rglob("*.py"):
        text = path.read_text()
        for module, name in imported_names(path):
            if module in PUBLIC and name != "core":
                continue
            inner = f"{module}.{name}"
            attributes = re.findall(rf"(?<![\w.]){name}\.(\w+)", text)
            if inner in internals.NAMES and attributes:
                used.setdefault(inner, set()).update(attributes)
            else:
                used.setdefault(module, set()).add(name)
    return used


def test_every_internal_that_is_used_is_listed():
    unlisted = {
        (module, name)
        for module, names in used_in(COMPILER).items()
        for name in names
        if name not in internals.NAMES.get(module, ())
    }
    assert unlisted == set()


def test_every_internal_that_is_listed_is_used():
    used = used_in(PACKAGE)
    unused = {
        (module, name)
        for module, names in internals.NAMES.items()
        for name in names
        if name not in used.get(module, ())
    }
    assert unused == set()
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    names = {name for names in internals.ATTRIBUTES.values() for name in names}
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_nothing_else_uses_internals():
    others = [path for path in PACKAGE.rglob("*.py") if COMPILER not in path.parents]
    users = [
        (path.relative_to(PACKAGE).as_posix(), module)
        for path in others
        for module, _ in imported_names(path)
        if module not in PUBLIC
    ]
    assert users == []


def test_the_internals_of_this_numba_are_as_expected():
    assert internals.missing() == ""


def test_the_tested_range_is_the_declared_one():
    (declared,) = (line for line in requires("loco-stream") if re.match(r"numba\b", line))
    low, high = internals.TESTED
    assert f">={low[0]}.{low[1]}" in declared
    assert f"<{high[0]}.{high[1] + 1}" in declared
