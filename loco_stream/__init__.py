"""Online continual learning on live streams with an event-driven spiking network.

The public names are imported on first use, so that `import loco_stream` stays fast.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from loco_stream.version import __version__

if TYPE_CHECKING:
    from loco_stream import metrics
    from loco_stream.engine import StreamEngine
    from loco_stream.estimators.classifier import LOCOClassifier
    from loco_stream.estimators.detector import DetectorScores, LOCODetector
    from loco_stream.estimators.forecaster import LOCOForecaster
    from loco_stream.estimators.multi_target import LOCOMultiTargetRegressor
    from loco_stream.estimators.regressor import LOCORegressor
    from loco_stream.estimators.saving import load, save
    from loco_stream.fleet import Fleet
    from loco_stream.monitor import TaskMonitor
    from loco_stream.options import AdvancedOptions
    from loco_stream.simulator.network import Network, SpikeRecord


__all__ = [
    "AdvancedOptions",
    "DetectorScores",
    "Fleet",
    "LOCOClassifier",
    "LOCODetector",
    "LOCOForecaster",
    "LOCOMultiTargetRegressor",
    "LOCORegressor",
    "Network",
    "SpikeRecord",
    "StreamEngine",
    "TaskMonitor",
    "__version__",
    "load",
    "metrics",
    "save",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOME = {
    "AdvancedOptions": "options",
    "DetectorScores": "estimators.detector",
    "Fleet": "fleet",
    "LOCOClassifier": "estimators.classifier",
    "LOCODetector": "estimators.detector",
    "LOCOForecaster": "estimators.forecaster",
    "LOCOMultiTargetRegressor": "estimators.multi_target",
    "LOCORegressor": "estimators.regressor",
    "Network": "simulator.network",
    "SpikeRecord": "simulator.network",
    "StreamEngine": "engine",
    "TaskMonitor": "monitor",
    "load": "estimators.saving",
    "save": "estimators.saving",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"loco_stream.{_HOME[name]}"), name)
    elif name == "metrics":
        value = import_module("loco_stream.metrics")
    else:
        raise AttributeError(f"module 'loco_stream' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
