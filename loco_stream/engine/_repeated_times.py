"""Finds senders whose rows keep one time: a clock or gateway that stands still."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from loco_stream._joins import n_rows
from loco_stream.stream import Block, Sample

_ROWS = 100  # with one time, which a message of many rows may have
_SECONDS = 60.0
_HOUR = 3600.0  # dates and hours repeat by themselves
_MAX_SENDERS = 1000

_log = logging.getLogger("loco_stream.engine.repeated_times")


@dataclass(slots=True)
class _Run:
    """Rows of one sender that have one time.

    since: when the first of them came, in seconds of the monotonic clock
    """

    t: float
    since: float
    n: int
    is_logged: bool = False


class RepeatedTimes:
    """Warns once when a sender repeats one time for a minute and a hundred rows.

    Whole hours are left out: times that are dates repeat. The time 0 is one of a clock that was
    never set.

    is_live: whether rows come when they happen; those of a recording are not counted
    """

    def __init__(self, is_live: bool) -> None:
        self._is_live = is_live
        self._runs: dict[str, _Run] = {}

    def add(self, event: Sample | Block) -> None:
        """Count the rows of an event."""
        if not self._is_live:
            return
        first = event.t
        last = event.t
        if isinstance(event, Block) and event.times is not None and len(event.X):
            first = float(np.min(event.row_times))
            last = float(event.row_times[-1])
        run = self._runs.get(event.source)
        now = time.monotonic()
        if run is None or run.t != last or first != last:
            n = 1 if first != last else n_rows(event)
            if last == last and (run is not None or len(self._runs) < _MAX_SENDERS):
                self._runs[event.source] = _Run(last, now, n)
            return
        run.n += n_rows(event)
        is_coarse = last % _HOUR == 0 and last != 0
        if run.is_logged or is_coarse or run.n < _ROWS or now - run.since < _SECONDS:
            return
        run.is_logged = True
        _log.warning("%s", _sentence(event.source, run))

    def sentences(self) -> Iterator[str]:
        """Yield a sentence per sender that repeats a time at the moment."""
        for sender, run in list(self._runs.items()):
            if run.is_logged:
                yield _sentence(sender, run)


def _sentence(sender: str, run: _Run) -> str:
    who = f"source {sender!r}: " if sender else ""
    return f"{who}the last {run.n:,} rows have one time, {run.t:.3f}: does a clock stand still?"
