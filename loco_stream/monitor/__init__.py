"""Tasks of a stream and forgetting, measured while the stream runs."""

from loco_stream.monitor._alarm import DriftAlarm
from loco_stream.monitor._holdout import Predictor
from loco_stream.monitor._row_codec import CodedRows
from loco_stream.monitor._task_monitor import TaskMonitor

__all__ = ["CodedRows", "DriftAlarm", "Predictor", "TaskMonitor"]
