"""Checks for extensions: each runs a definition through everything that the package requires of it.

They raise `AssertionError` with a sentence on the first thing that is wrong, so that a test of an
extension is one call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loco_stream.testing.neuron import check_neuron

__all__ = ["check_neuron"]

_MODULES = {"check_neuron": "neuron"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'loco_stream.testing' has no attribute {name!r}")
    value = getattr(import_module(f"loco_stream.testing.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
