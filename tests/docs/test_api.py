"""The reference lists every public name, and nothing that does not exist."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from tests.helpers.modules import modules
from tests.helpers.pages import ROOT

PAGE = ROOT / "docs" / "api.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not run from a checkout")


def public_modules():
    """Return the modules that export names and have no underscore in their path."""
    public = [importlib.import_module(name) for name in modules() if "._" not in name]
    return [module for module in public if getattr(module, "__all__", ())]


def resolve(dotted):
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            thing = getattr(thing, name)
        return thing
    raise AssertionError(dotted)


def documented():
    """Return everything that a directive of the page documents."""
    found = []
    for kind, name in re.findall(r"^\.\. (?:auto|py:)(\w+):: ([\w.]+)$", PAGE.read_text(), re.M):
        if kind == "module":
            module = importlib.import_module(name)
            found += [getattr(module, exported) for exported in module.__all__]
        else:
            found.append(resolve(name))
    return found


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module):
    known = {id(thing) for thing in documented()}
    values = {name: getattr(module, name) for name in module.__all__ if name != "__version__"}
    missing = [
        name
        for name, value in values.items()
        if id(value) not in known and not inspect.ismodule(value)
    ]
    assert missing == []


def test_public_modules_are_found():
    names = {module.__name__ for module in public_modules()}
    assert {"loco_stream", "loco_stream.estimators", "loco_stream.neurons"} <= names
    assert {"loco_stream.connectors", "loco_stream.metrics.scores"} <= names
    assert {"loco_stream.errors", "loco_stream.records", "loco_stream.stream"} <= names


def test_modules_that_the_reference_names_exist():
    for name in set(re.findall(r"`(loco_stream(?:\.\w+)+)`", PAGE.read_text())):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            resolve(name)
