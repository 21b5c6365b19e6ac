"""Online continual learning on live streams with an event-driven spiking network.

The public names are imported on first use, so that `import loco_stream` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loco_stream import metrics
    from loco_stream.engine import StreamEngine
    from loco_stream.model import LOCOClassifier, LOCORegressor, load, save
    from loco_stream.monitor import TaskMonitor
    from loco_stream.network import Network, SpikeRecord

__version__ = "0.1.0"

__all__ = [
    "LOCOClassifier",
    "LOCORegressor",
    "Network",
    "SpikeRecord",
    "StreamEngine",
    "TaskMonitor",
    "load",
    "metrics",
    "save",
]

_HOME = {
    "LOCOClassifier": "model",
    "LOCORegressor": "model",
    "Network": "network",
    "SpikeRecord": "network",
    "StreamEngine": "engine",
    "TaskMonitor": "monitor",
    "load": "model",
    "save": "model",
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
