"""Find the tasks of a stream and measure what is forgotten, while it runs."""

from __future__ import annotations

from loco_stream.monitor.alarm import Alarm
from loco_stream.monitor.tasks import TaskMonitor

__all__ = ["Alarm", "TaskMonitor"]
