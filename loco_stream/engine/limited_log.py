"""Warnings at a bounded rate."""

from __future__ import annotations

import logging
import time

__all__ = ["LimitedLog"]

_SECONDS = 10.0


class LimitedLog:
    """Logs the first warning of each message, then at most one every 10 seconds with a count.

    Parameters
    ----------
    log
        Where warnings go.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next: dict[str, float] = {}  # monotonic time from which on a message is logged
        self._suppressed: dict[str, int] = {}

    def warning(self, message: str, *args: object) -> None:
        """Log a warning, or count it if the same message was logged a moment ago."""
        now = time.monotonic()
        if now < self._next.get(message, 0.0):
            self._suppressed[message] = self._suppressed.get(message, 0) + 1
            return
        self._next[message] = now + _SECONDS
        n = self._suppressed.pop(message, 0)
        more = f" ({n} more since the last such message)" if n else ""
        self._log.warning(message + more, *args)
