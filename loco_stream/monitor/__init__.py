"""Tasks of a stream and forgetting, measured while the stream runs."""

from loco_stream.monitor._alarm import Alarm
from loco_stream.monitor._task_monitor import TaskMonitor

__all__ = ["Alarm", "TaskMonitor"]
