"""What CONTRIBUTING.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
RECIPES = (
    "neuron model",
    "source",
    "sink",
    "metric",
    "drift detector",
    "expert",
    "credit rule",
    "projection",
    "checkpoint field",
    "width rule",
    "subcommand",
)
SCREEN = 40  # lines

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not run from a checkout")


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text()


def test_every_recipe_is_one_screen(page):
    recipes = re.findall(r"^## (.*)\n([\s\S]*?)(?=^## |\Z)", page, re.M)
    titles = [re.sub("^Add an? ", "", title) for title, _ in recipes]
    assert titles == list(RECIPES)
    assert all(text.count("\n") < SCREEN for _, text in recipes)


def test_every_file_that_is_named_exists(page):
    named = set(re.findall(r"`([\w.]+/[\w./-]*|[\w-]+\.(?:py|md|toml))`", page))
    assert len(named) > 25
    known = {"loco_stream/_cli/NAME.py"}
    assert {name for name in named - known if not (ROOT / name).exists()} == set()


def test_every_name_is_in_the_file_it_is_said_to_be_in(page):
    pairs = re.findall(r"`(\w+)`\s+(?:in|of)\s+(?:the\s+same\s+file|`([\w./]+\.py)`)", page)
    pairs = [(name, path) for name, path in pairs if path]
    assert len(pairs) >= 8
    missing = [
        (name, path)
        for name, path in pairs
        if not re.search(rf"\b{name}\b\s*[:=(]", (ROOT / path).read_text())
    ]
    assert missing == []


def test_every_make_target_exists(page):
    targets = re.findall(r"^    make ([\w-]+)", page, re.M)
    assert len(targets) >= 4
    makefile = (ROOT / "Makefile").read_text()
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.M)] == []


def test_every_bench_exists(page):
    names = set(re.findall(r"python -m benchmarks (\w+)", page))
    assert names
    assert {name for name in names if not (ROOT / "benchmarks" / f"{name}.py").is_file()} == set()


def test_every_subcommand_is_where_the_recipe_puts_it():
    from loco_stream._cli.main import main

    for name in main.list_commands(None):
        assert main.get_command(None, name).callback.__module__ == f"loco_stream._cli.{name}"


def test_other_modules_of_the_command_are_private():
    from loco_stream._cli.main import main

    commands = set(main.list_commands(None))
    modules = {path.stem for path in (ROOT / "loco_stream" / "_cli").glob("*.py")}
    public = {name for name in modules if not name.startswith("_")}
    assert public == commands | {"main"}
