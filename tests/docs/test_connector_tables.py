"""The tables of sources and sinks are what docs/connectors.py writes."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys

import pytest

from loco_stream.connectors._registry import SINKS, SOURCES, connectors
from tests.helpers.pages import ROOT

SCRIPT = ROOT / "docs" / "connectors.py"
PAGES = {
    "sources.md": {"sources", "source options"},
    "outlets.md": {"sinks", "sink secrets", "sink options"},
}
EVERY = [
    pytest.param(connector, id=f"{kind} {connector.scheme}")
    for kind, table in (("source", SOURCES), ("sink", SINKS))
    for connector in connectors(table)
]
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="not run from a checkout")


@pytest.fixture(scope="module")
def script():
    name = "docs_connectors"
    spec = importlib.util.spec_from_file_location(name, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_current(script, page):
    text = SCRIPT.with_name(page).read_text()
    assert script.renewed(text) == text, "python docs/connectors.py"
    assert set(re.findall(r"<!-- generated: (.+) -->", text)) == PAGES[page]


def test_a_page_with_other_content_is_renewed(script):
    text = script.renewed("before\n<!-- generated: sinks -->\nold\n<!-- end -->\nafter\n")
    assert text.startswith("before\n<!-- generated: sinks -->\n| URL |")
    assert "| `jsonl:PATH` |" in text
    assert text.endswith("<!-- end -->\nafter\n")


@pytest.mark.parametrize("connector", EVERY)
def test_each_parameter_and_option_is_documented(script, connector):
    texts = script.parameter_help(connector.build)
    parameters = inspect.signature(connector.build).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    assert [name for name in names if not texts.get(name)] == []
    of_limits = connector.limit_options
    options = [name for name in connector.options if name not in of_limits]
    assert [name for name in options if not script.described(connector, name)[1]] == []
