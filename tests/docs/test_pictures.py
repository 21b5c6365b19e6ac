"""A picture of the guide is drawn by the code as it stands, and is used."""

from __future__ import annotations

import importlib.util
import re
import shutil

import pytest

from tests.helpers.pages import ROOT, pages

DOCS = ROOT / "docs"
EXPLAINED = (
    "when",
    "concepts",
    "inputs",
    "joins",
    "parameters",
    "modes",
    "probabilities",
    "time",
    "forecasting",
    "watching",
    "scale",
    "security",
)
pytestmark = pytest.mark.skipif(not (DOCS / "drawn.py").is_file(), reason="not from a checkout")


def load(folder):
    spec = importlib.util.spec_from_file_location("docs_drawn", folder / "drawn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path):
    """A copy of what the record reads, to change it."""
    shutil.copytree(DOCS, tmp_path / "docs")
    drawn = load(DOCS)
    others = [file for own, code in drawn.DRAWN_BY_THE_PACKAGE.values() for file in (own, *code)]
    for file in ("benchmarks/RESULTS.md", *others):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    copied = load(tmp_path / "docs")
    copied.record(copied.changed())  # so that only what a test changes differs
    return tmp_path / "docs"


def test_no_picture_is_older_than_its_code():
    assert load(DOCS).changed() == [], (
        "python docs/pictures.py; for the page, run, events: make pictures"
    )


def test_every_picture_is_on_a_page_and_is_drawn():
    drawn = load(DOCS)
    shown = {
        name for page in pages() for name in re.findall(r"images/(\w+)\.svg", page.read_text())
    }
    assert shown == set(drawn.names())
    assert set(drawn.recorded()) == {*shown, *drawn.DRAWN_BY_THE_PACKAGE}
    assert {file.stem for file in (DOCS / "images").glob("*.svg")} == shown


@pytest.mark.parametrize("page", EXPLAINED)
def test_a_page_that_explains_has_a_picture_with_words_for_it(page):
    alternatives = re.findall(r"!\[([^]]*)\]\(images/", (DOCS / f"{page}.md").read_text())
    assert alternatives
    assert all(len(text.split()) > 4 for text in alternatives)


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_change_of_the_code_is_noticed(copy):
    replace(copy / "pictures.py", "sizes = (8, 16, 32", "sizes = (8, 16, 33")
    assert load(copy).changed() == ["sizes"]


def test_a_change_of_a_function_that_pictures_share_is_noticed(copy):
    replace(copy / "pictures.py", "0.1, 0.3, n))", "0.1, 0.2, n))")
    assert load(copy).changed() == ["memory"]


def test_a_change_of_an_input_is_noticed(copy):
    table = (copy / "results.md").read_text().split("## Twelve streams")[1]
    row = next(line for line in table.splitlines() if line.startswith("| **loco_stream"))
    mean = row.split("|")[-3]
    replace(copy / "results.md", row, row.replace(mean, " 12.34 "))
    assert load(copy).changed() == ["speed"]


def test_a_change_of_the_page_is_noticed(copy):
    static = copy.parent / "loco_stream" / "dashboard" / "static"
    (static / "page.css").write_text((static / "page.css").read_text() + "\n")
    pictures = ["page", "page_unlabelled", "page_phone", "page_compare"]
    assert load(copy).changed() == pictures


def test_a_change_of_the_file_is_noticed(copy):
    replace(copy / "images" / "late.svg", "<svg", "<svg ")
    (copy / "images" / "fleet.svg").unlink()
    assert load(copy).changed() == ["late", "fleet"]


def test_a_drawn_picture_is_recorded(copy):
    replace(copy / "pictures.py", "sizes = (8, 16, 32", "sizes = (8, 16, 33")
    drawn = load(copy)
    drawn.record(["sizes"])
    assert drawn.changed() == []
