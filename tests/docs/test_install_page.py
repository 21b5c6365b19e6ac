"""The table of extras names every extra of pyproject.toml and what it brings."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.helpers.pages import ROOT

PAGE = ROOT / "docs" / "install.md"
FOR_DEVELOPERS = {"test", "check", "docs", "bench"}
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not run from a checkout")


def test_every_extra_is_in_the_table():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        name: {re.split("[<>=]", line)[0] for line in lines}
        for name, lines in project["optional-dependencies"].items()
        if name not in FOR_DEVELOPERS
    }
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| [\d.]+ \|$", PAGE.read_text(), re.M)
    assert {name: set(brings.split(", ")) for name, brings in rows} == declared


def test_what_builds_the_guide_is_little():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split("[<>=]", line)[0] for line in project["optional-dependencies"]["docs"]}
    assert needed == {"sphinx", "furo", "myst-parser"}
    recipe = re.search(r"^docs: (.*?) ##", (ROOT / "Makefile").read_text(), re.M)
    assert recipe[1] == "$(VENV)/.installed-docs"
