"""Progress of an engine: a live line on a terminal, a bar in a notebook; alarms are logged."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from loco_stream._compiler.timing import COMPILING, is_compiling
from loco_stream._text import counted, one_line
from loco_stream.engine._background_thread import background_thread
from loco_stream.engine._notebook import cell, in_notebook, progress_html
from loco_stream.stream import Source

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine

_ALARM_SECONDS = 0.2  # between two checks for an alarm
_COUNTS = (
    ("n_pending", "waiting for labels"),
    ("n_unused", "rows not used"),
    ("n_masked", "values masked"),
)
_log = logging.getLogger("loco_stream.engine.progress")


class Countdown:
    """Estimates the remaining time of a run from what was read since the first call.

    source: its `progress` and the row number in its `position` are used, where they are known
    max_samples: number of the row after which the run ends

    Examples
    --------
    >>> class Recording:
    ...     progress, position = 0.25, {"row": 100}
    >>> countdown = Countdown(Recording, None)
    >>> countdown.left(10.0) is None
    True
    >>> Recording.progress = 0.5
    >>> countdown.left(15.0)
    10.0
    """

    def __init__(self, source: Source, max_samples: int | None) -> None:
        self._source = source
        self._max_samples = max_samples
        self._first: tuple[float, float, int] | None = None  # time, share and row of the first call

    def left(self, now: float) -> float | None:
        """Return the remaining seconds at the time `now`; None while they are not known."""
        share = self._source.progress or 0.0
        row = 0 if self._max_samples is None else self._source.position.get("row")
        if not isinstance(row, int):  # rows are not numbered
            return None
        self._first = self._first or (now, share, row)
        began, first_share, first_row = self._first
        ratios = []  # of what is left to what was read
        if share > first_share:
            ratios.append((1.0 - share) / (share - first_share))
        if self._max_samples is not None and row > first_row:
            ratios.append((self._max_samples - row) / (row - first_row))
        return (now - began) * max(0.0, min(ratios)) if ratios else None


def line(status: Mapping[str, Any], since: float, left: float | None = None) -> str:
    """Return one line of text on a run.

    status: status of the engine
    since: monotonic time of the start
    left: remaining seconds, if they are known

    Examples
    --------
    >>> status = {"n_samples": 1200, "samples_per_second": 5100.0, "window_accuracy": 0.93}
    >>> line(status, 0.0, 65.2).partition("  ")[2]
    '1,200 samples  196 us per row  window accuracy 0.930  no drift  01:05 left'
    """
    elapsed = _clock(time.monotonic() - since)
    if not _has_begun(status):
        unused = f"  {status['n_unused']:,} not used" if status.get("n_unused") else ""
        return f"{elapsed}  waiting for the first row{unused}"
    parts = [
        elapsed,
        counted(status.get("n_samples", 0), "sample"),
        *_measures(status),
        *_alarms(status),
        *(f"{status[key]:,} {name}" for key, name in _COUNTS if status.get(key)),
    ]
    if left is not None:
        parts.append(f"{_clock(left)} left")
    return "  ".join(parts)


def _measures(status: Mapping[str, Any]) -> Iterator[str]:
    rate = status.get("samples_per_second", math.nan)
    if not math.isnan(rate):
        yield f"{1e6 / rate:,.0f} us per row"  # of work: the rows of a live source come slower
    accuracy = status.get("window_accuracy", math.nan)
    if not math.isnan(accuracy):
        yield f"window accuracy {accuracy:.3f}"
    error = status.get("window_mae", math.nan)
    if not math.isnan(error):
        yield f"window error {error:.4g}"
    latency = status.get("latency_minute_us", {})
    if latency and not math.isnan(latency["p50"]):
        per = " per block" if status.get("latency_us", {}).get("rows", 1) > 1 else ""
        yield f"p50/p99 {latency['p50']:,.0f}/{latency['p99']:,.0f} us{per}"


def _alarms(status: Mapping[str, Any]) -> Iterator[str]:
    if "n_alarms" in status:
        alarm = status["last_alarm"]
        last = "" if alarm is None else f", last at {alarm:,}"
        yield f"{counted(status['n_alarms'], 'alarm')}{last}"
    drift = status.get("last_drift")
    yield "no drift" if drift is None else f"last drift at {drift:,}"


def _has_begun(status: Mapping[str, Any]) -> bool:
    return bool(status.get("n_samples") or status.get("n_unlabelled"))


def _clock(seconds: float) -> str:
    """Return minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


class _Texts:
    """Texts on a running engine."""

    def __init__(self, engine: StreamEngine, max_samples: int | None) -> None:
        self._engine = engine
        self._began = time.monotonic()
        self._countdown = Countdown(engine.source, max_samples)
        self.is_over = False

    def line(self) -> str:
        """Return the progress line."""
        if is_compiling():
            return f"{_clock(time.monotonic() - self._began)}  {COMPILING}"
        return line(self._engine.status, self._began, self._left())

    def html(self) -> str:
        """Return the progress bar of a notebook."""
        share = None
        if self.is_over:  # a run may be too short for an estimate
            share = 1.0
        elif (left := self._left()) is not None:
            elapsed = time.monotonic() - self._began
            share = elapsed / max(elapsed + left, 1e-9)
        return progress_html(self.line(), share, self._engine.alarm)

    def _left(self) -> float | None:
        if not _has_begun(self._engine.status):
            return None
        return self._countdown.left(time.monotonic())


@contextmanager
def watch(engine: StreamEngine, quiet: bool, max_samples: int | None = None) -> Iterator[None]:
    """Show the progress of an engine on a terminal or in a notebook, and log its alarms.

    This lasts until the block ends; the engine never waits for it.

    engine: the engine
    quiet: whether alarms alone are reported
    max_samples: number of rows after which the run ends
    """
    texts = _Texts(engine, max_samples)
    if not quiet and in_notebook():
        with cell(texts.html):
            yield
            texts.is_over = True
    else:
        shown = _live_line(engine, texts) if not quiet and sys.stderr.isatty() else nullcontext()
        with shown, background_thread(partial(_log_alarms, engine), "alarms"):
            yield


def _live_line(engine: StreamEngine, texts: _Texts) -> AbstractContextManager[object]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def render() -> Text:
        alarm = engine.alarm
        return (
            Text(texts.line())
            if alarm is None
            else Text(one_line(f"ALARM: {alarm}"), style="bold red")
        )

    return Live(get_renderable=render, console=Console(stderr=True), refresh_per_second=8)


def _log_alarms(engine: StreamEngine, over: threading.Event) -> None:
    """Log alarms as they begin and end."""
    alarm = None
    while not over.wait(_ALARM_SECONDS):
        if engine.alarm != alarm:
            alarm = engine.alarm
            if alarm:
                _log.error("ALARM: %s", alarm)
            else:
                _log.warning("the alarm is over")
