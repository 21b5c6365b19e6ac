"""The path of an import shows what is public: docs/api.md lists every module without underscore."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

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


def documented():
    """Return every object that the page documents by name or as part of a module."""
    for kind, name in re.findall(
        r"^\.\. (automodule|autoclass):: ([\w.]+)", PAGE.read_text(), re.M
    ):
        if ".adapters." in name:  # each needs a library
            continue
        if kind == "automodule":
            module = import_module(name)
            yield from (getattr(module, each) for each in module.__all__)
        else:
            module, _, each = name.rpartition(".")
            yield getattr(import_module(module), each)


def classes_in(hint):
    """Return the classes of the package in a type."""
    own = {hint} if getattr(hint, "__module__", "").startswith("loco_stream") else set()
    return own.union(*map(classes_in, get_args(hint)))


def test_the_types_of_public_fields_are_documented():
    public = [each for each in documented() if isinstance(each, type)]
    found = set()
    for each in filter(is_dataclass, public):
        hints = get_type_hints(each)
        found = found.union(*(classes_in(hints[field.name]) for field in fields(each)))
    assert {each.__name__ for each in found} > {"ReportKey", "Tally", "Origin", "Start"}
    private = {each.__name__ for each in found - {*public}}
    assert private == {"DenseOperations"}  # of the package's own model alone
