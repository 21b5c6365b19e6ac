"""The estimators, what they return, and how they are saved.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from loco_stream._lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
