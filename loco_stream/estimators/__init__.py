"""The estimators, what they return, and how they are saved.

The public names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loco_stream.estimators.classifier import LOCOClassifier
    from loco_stream.estimators.explain.result import Explanation
    from loco_stream.estimators.regressor import LOCORegressor
    from loco_stream.estimators.saving import load, save
    from loco_stream.estimators.tickets import Ticket

__all__ = ["Explanation", "LOCOClassifier", "LOCORegressor", "Ticket", "load", "save"]

_MODULES = {
    "Explanation": "explain.result",
    "LOCOClassifier": "classifier",
    "LOCORegressor": "regressor",
    "Ticket": "tickets",
    "load": "saving",
    "save": "saving",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'loco_stream.estimators' has no attribute {name!r}")
    value = getattr(import_module(f"loco_stream.estimators.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
