"""Warnings at a bounded rate, and alarms of which one that lasts is logged once."""

from __future__ import annotations

import logging
import time
from collections import Counter

from loco_stream.monitor._alarm import DriftAlarm

_SECONDS = 10.0
_QUIET_ROWS = 500


class LimitedLog:
    """Logs the first warning of each message, then at most one every 10 seconds with a count."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next: dict[str, float] = {}  # monotonic time from which on a message is logged
        self._suppressed: Counter[str] = Counter()

    def warning(self, message: str, *args: object) -> None:
        """Log a warning, or count it if the same message was logged a moment ago."""
        now = time.monotonic()
        if now < self._next.get(message, 0.0):
            self._suppressed[message] += 1
            return
        self._next[message] = now + _SECONDS
        n = self._suppressed.pop(message, 0)
        more = f" ({n} more since the last such message)" if n else ""
        self._log.warning(message + more, *args)


class AlarmLines:
    """Logs the alarms of a monitor, and a warning of a detector once while it lasts.

    Errors near the threshold of a detector raise the same warning many times. It is over after a
    drift of the detector, or after 500 rows without a warning.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._warned_at: dict[tuple[str, str], int] = {}  # last warning by kind and detector

    def add(self, alarm: DriftAlarm, source: str = "") -> None:
        """Log an alarm, after `source` if that is given, unless it is a warning that lasts."""
        which = (alarm.kind, alarm.detector)
        before = None
        if alarm.state == "warning":
            before = self._warned_at.get(which)
            self._warned_at[which] = alarm.at
        else:
            self._warned_at.pop(which, None)
        if before is None or alarm.at - before >= _QUIET_ROWS:
            self._log.info("%s%s", f"{source}: " if source else "", alarm)
