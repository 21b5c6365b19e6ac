"""The registry agrees with modules and extras."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from loco_stream import connectors as package
from loco_stream.connectors._registry import SINKS, SOURCES, connectors, find
from loco_stream.stream import Sink, Source

ROOT = Path(__file__).parents[2]
BOTH = [
    pytest.param(connector, base, id=f"{base.__name__.lower()} {connector.scheme}")
    for table, base in ((SOURCES, Source), (SINKS, Sink))
    for connector in connectors(table)
]


@pytest.mark.parametrize("table", [SOURCES, SINKS])
def test_each_line_lists_the_schemes_of_its_module(table):
    for module, schemes in table.items():
        defined = {connector.scheme for connector in connectors({module: schemes})}
        assert defined == set(schemes)
    assert find(table, "nothing") is None


@pytest.mark.parametrize(("folder", "table"), [("sources", SOURCES), ("sinks", SINKS)])
def test_each_module_of_the_folder_is_registered(folder, table):
    files = Path(package.__file__).parent.joinpath(folder).glob("[!_]*.py")
    assert {f"{folder}.{file.stem}" for file in files} == set(table)


@pytest.mark.parametrize("module", SOURCES)
def test_each_source_is_run_through_its_lifecycle(module):
    name = module.partition(".")[2]
    tests = Path(__file__).parent.glob("sources/*.py")
    assert "check_source(" in "".join(file.read_text() for file in tests if name in file.stem)


@pytest.mark.parametrize(("connector", "base"), BOTH)
def test_a_connector_is_complete(connector, base):
    assert issubclass(connector.build, base)
    assert connector.summary
    assert "`" not in connector.summary
    for url, guarantee in connector.forms.items():
        assert url.startswith(f"{connector.scheme}:")
        assert re.match(r"(exactly|at most|at least) once|may lose|requests", guarantee)


def test_extras_agree_with_pyproject():
    file = ROOT / "pyproject.toml"
    if not file.is_file():
        pytest.skip("not run from a checkout")
    declared = tomllib.loads(file.read_text())["project"]["optional-dependencies"]
    every = [*connectors(SOURCES), *connectors(SINKS)]
    for extra in {entry.extra for entry in every if entry.extra is not None}:
        assert declared[extra.name] == [extra.requirement]
