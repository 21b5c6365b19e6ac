"""The reference of the command is what docs/commands.py writes."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.helpers.pages import ROOT

PAGE = ROOT / "docs" / "cli.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not run from a checkout")


@pytest.fixture(scope="module")
def commands():
    name = "docs_commands"
    spec = importlib.util.spec_from_file_location(name, PAGE.with_name("commands.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(commands):
    assert PAGE.read_text() == commands.page(), "python docs/commands.py"


def test_every_subcommand_and_option_is_on_it(commands):
    from loco_stream._cli.main import _COMMANDS

    text = PAGE.read_text()
    for name in _COMMANDS:
        assert f"\n## loco-stream {name}\n" in text
    for option in ("--durability MODE", "--every N", "--token, --http-token FILE"):
        assert f"| `{option}` |" in text


def test_text_of_a_cell_is_not_markup(commands):
    assert commands._cell("a|b [x] `c[0]`\n  d") == r"a\|b \[x\] `c[0]` d"
