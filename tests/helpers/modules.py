"""All modules of the package."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

PACKAGES = ("loco_stream", "loco_stream.connectors", "loco_stream.demos")


def modules():
    names = set()
    for package in PACKAGES:
        root = importlib.import_module(package)
        names.add(package)
        names.update(info.name for info in pkgutil.walk_packages(root.__path__, package + "."))
    return sorted(name for name in names if not _lacks_its_library(name))


def _lacks_its_library(name):
    """Tell whether a module of `loco_stream.adapters` needs a library that is not installed."""
    package, _, library = name.rpartition(".")
    return package == "loco_stream.adapters" and importlib.util.find_spec(library) is None
