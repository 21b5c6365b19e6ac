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
    return sorted(name for name in names if not lacks_its_library(name))


def lacks_its_library(name):
    """Tell whether a name of `loco_stream.adapters.LIBRARY` needs a library that is not there."""
    _, _, rest = name.partition("loco_stream.adapters.")
    return bool(rest) and importlib.util.find_spec(rest.partition(".")[0]) is None
