"""The estimators, what they return, and how they are saved.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from loco_stream._lazy import lazy_names

if TYPE_CHECKING:
    from loco_stream.estimators._classifier import LOCOClassifier
    from loco_stream.estimators._decision import Rule
    from loco_stream.estimators._explain.result import Explanation
    from loco_stream.estimators._regressor import LOCORegressor
    from loco_stream.estimators._saving import load, save
    from loco_stream.estimators._tickets import Origin, Ticket

__all__ = [
    "Explanation",
    "LOCOClassifier",
    "LOCORegressor",
    "Origin",
    "Rule",
    "Ticket",
    "load",
    "save",
]

_MODULES = {
    "Explanation": "_explain.result",
    "LOCOClassifier": "_classifier",
    "LOCORegressor": "_regressor",
    "Origin": "_tickets",
    "Rule": "_decision",
    "Ticket": "_tickets",
    "load": "_saving",
    "save": "_saving",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
