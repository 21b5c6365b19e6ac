"""All modules of the package."""

from __future__ import annotations

import importlib
import pkgutil

PACKAGES = ("loco_stream", "loco_stream.connectors", "loco_stream.demos")


def modules():
    names = set()
    for package in PACKAGES:
        root = importlib.import_module(package)
        names.add(package)
        names.update(info.name for info in pkgutil.walk_packages(root.__path__, package + "."))
    return sorted(names)
