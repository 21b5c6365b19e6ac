"""Online continual learning on live streams with an event-driven spiking network.

The public names are imported on first use, so that `import loco_stream` stays fast.
"""

import logging
from typing import TYPE_CHECKING

from loco_stream._lazy import lazy_names
from loco_stream.version import __version__

if TYPE_CHECKING:
    from loco_stream import metrics as metrics
    from loco_stream._options import AdvancedOptions
    from loco_stream._simulator.network import Network, SpikeRecord
    from loco_stream.engine import StreamEngine
    from loco_stream.estimators._classifier import LOCOClassifier
    from loco_stream.estimators._detector import DetectorScores, LOCODetector
    from loco_stream.estimators._forecaster import LOCOForecaster
    from loco_stream.estimators._multi_target import LOCOMultiTargetRegressor
    from loco_stream.estimators._regressor import LOCORegressor
    from loco_stream.estimators._saving import load, save
    from loco_stream.fleet import Fleet
    from loco_stream.monitor import TaskMonitor


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
    "save",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())

_MODULES = {
    "AdvancedOptions": "_options",
    "DetectorScores": "estimators._detector",
    "Fleet": "fleet",
    "LOCOClassifier": "estimators._classifier",
    "LOCODetector": "estimators._detector",
    "LOCOForecaster": "estimators._forecaster",
    "LOCOMultiTargetRegressor": "estimators._multi_target",
    "LOCORegressor": "estimators._regressor",
    "Network": "_simulator.network",
    "SpikeRecord": "_simulator.network",
    "StreamEngine": "engine",
    "TaskMonitor": "monitor",
    "load": "estimators._saving",
    "metrics": "",
    "save": "estimators._saving",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
