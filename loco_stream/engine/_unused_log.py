"""Warnings about what a live source leaves out, while the stream runs."""

from __future__ import annotations

import logging
import time

from loco_stream.stream import Source

_log = logging.getLogger("loco_stream.engine.unused_log")

MALFORMED = ("malformed", "rejected")
"""Counters in `Source.stats` of messages that were not used."""

_LOOK_SECONDS = 0.5  # counts of a source are not free
_QUIET_SECONDS = 10.0


def n_unused(source: Source) -> int:
    """Return the number of rows and messages that a source has left out."""
    stats = source.stats
    return sum(stats.get(name, 0) for name in MALFORMED) + sum(source.skipped.values())


class UnusedLog:
    """Logs that a live source leaves out rows or messages: at once, then every 10 s while it does.

    The report of a recording says the same at its end, and a service may run for months.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._n_logged = 0
        self._next_look = 0.0

    def look(self) -> None:
        """Log a warning if more was left out since the last one."""
        now = time.monotonic()
        if not self._source.is_live or now < self._next_look:
            return
        n = n_unused(self._source)
        self._next_look = now + (_QUIET_SECONDS if n > self._n_logged else _LOOK_SECONDS)
        if n > self._n_logged:
            what = "row or message" if n == 1 else "rows or messages"
            _log.warning("%d %s not used; the last error: %s", n, what, self._source.last_error)
        self._n_logged = n
