"""The page of the guide about the live page has the words of the page itself."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.helpers.pages import ROOT

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (DOCS / "panels.py").is_file(), reason="not from a checkout")


@pytest.fixture(scope="module")
def guide():
    spec = importlib.util.spec_from_file_location("docs_panels", DOCS / "panels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(guide):
    assert guide.page() == (DOCS / "page.md").read_text(), "python docs/panels.py"


def test_each_part_has_a_title_one_sentence_of_help_and_a_page_to_see(guide):
    static = ROOT / "loco_stream" / "dashboard" / "static"
    pages = "".join((static / name).read_text() for name in ("index.html", "fleet.html"))
    used = set(re.findall(r'data-panel="(\w+)"', pages))
    panels = guide.panels()
    assert {panel["id"] for panel in panels} == used
    for panel in panels:
        assert (DOCS / panel["see"]).is_file()
        assert re.fullmatch(r"[A-Z][^.]*\.", panel["help"].replace(".js", "")), panel["help"]
        assert len(panel["help"]) < 130
