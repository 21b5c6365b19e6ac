"""The path of an import shows what is public: docs/api.md lists every module without underscore."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.shape import sources

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
# Folders whose files hold what a user chooses by name, and the line that defines it.
DEFINITIONS = {
    "loco_stream.connectors.sinks": r"^CONNECTORS\b",
    "loco_stream.connectors.sources": r"^CONNECTORS\b",
    "loco_stream.demos": r"^def command\(",
    "loco_stream.drift.detectors": r"^\w+ = DetectorDefinition\(",
    "loco_stream.metrics.scores": r"^(\w+ =|   ) Score\(",
    "loco_stream.neurons": r"^MODEL\b",
}

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not run from a checkout")


def dotted(path):
    """Return the import path of a file."""
    folder = () if path.parts[0] == "loco_stream" else ("loco_stream",)
    return ".".join((*folder, *path.with_suffix("").parts)).removesuffix(".__init__")


def mentioned():
    """Return every name of the package on the page."""
    return set(re.findall(r"\bloco_stream(?:\.\w+)*", PAGE.read_text()))


def is_definition(module, text):
    form = DEFINITIONS.get(module.rpartition(".")[0])
    return form is not None and re.search(form, text, re.M) is not None


def test_every_module_without_an_underscore_is_listed():
    modules = {dotted(path): text for path, text in sources(ROOT).items()}
    places = {
        ".".join(parts[:length])
        for parts in (name.split(".") for name in mentioned())
        for length in range(1, len(parts) + 1)
    }
    assert places >= DEFINITIONS.keys()
    assert len(modules) > 400
    unlisted = [
        module
        for module, text in modules.items()
        if "._" not in module and module not in places and not is_definition(module, text)
    ]
    assert unlisted == [], "private: begin the name with an underscore; public: docs/api.md"


def test_no_name_with_an_underscore_is_listed():
    assert {name for name in mentioned() if re.search(r"\._(?!_)", name)} == set()
