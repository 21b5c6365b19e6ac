"""Progress of an engine: a line on a terminal, a bar in a notebook, alarms as log records."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from loco_stream._compiler.timing import COMPILING, is_compiling
from loco_stream.engine.beside import beside
from loco_stream.engine.notebook import cell, in_notebook, progress_html

__all__ = ["Countdown", "line", "watch"]

_LOGGER = logging.getLogger(__name__)
_ALARM_SECONDS = 0.2  # between two checks for an alarm
_COUNTS = (
    ("n_pending", "waiting for labels"),
    ("n_unused", "rows not used"),
    ("n_masked", "values masked"),
)


class Countdown:
    """Seconds a run still takes, from what it has read since the first look.

    Parameters
    ----------
    source
        Tells the share of the stream it has handed out, where it knows, and the row it has come to.
    max_samples
        Rows after which the run ends anyway.

    Examples
    --------
    >>> class Source:
    ...     share, position = 0.25, {"row": 100}
    >>> countdown = Countdown(Source, None)
    >>> countdown.left(10.0) is None
    True
    >>> Source.share = 0.5
    >>> countdown.left(15.0)
    10.0
    """

    def __init__(self, source: Any, max_samples: int | None) -> None:
        self._source = source
        self._most = max_samples
        self._first: tuple[float, float, int] | None = None

    def left(self, now: float) -> float | None:
        """Return the seconds left; None while nobody can know."""
        share = getattr(self._source, "share", None) or 0.0
        row = 0 if self._most is None else self._source.position.get("row")
        if not isinstance(row, int):  # where rows are not numbered, as over ZeroMQ
            return None
        self._first = self._first or (now, share, row)
        began, first_share, first_row = self._first
        parts = []  # of what was read so far
        if share > first_share:
            parts.append((1.0 - share) / (share - first_share))
        if self._most is not None and row > first_row:
            parts.append((first_row + self._most - row) / (row - first_row))
        return (now - began) * max(0.0, min(parts)) if parts else None


def line(status: Mapping[str, Any], since: float, left: float | None = None) -> str:
    """Return one line on how the run goes.

    `since` is the monotonic time it began, `left` the seconds it still takes.

    Examples
    --------
    >>> status = {"n_samples": 1200, "samples_per_second": 5100.0, "window_accuracy": 0.93}
    >>> line(status, 0.0, 65.2).partition("  ")[2]
    '1,200 samples  5,100/s  window accuracy 0.930  no drift  01:05 left'
    """
    elapsed = _clock(time.monotonic() - since)
    if not _begun(status):
        unused = f"  {status['n_unused']:,} not used" if status.get("n_unused") else ""
        return f"{elapsed}  waiting for the first row{unused}"
    parts = [elapsed, f"{status.get('n_samples', 0):,} samples"]
    rate = status.get("samples_per_second", math.nan)
    if not math.isnan(rate):
        parts.append(f"{rate:,.0f}/s")
    for key, name in (("window_accuracy", "window accuracy"), ("window_mae", "window error")):
        value = status.get(key, math.nan)
        if not math.isnan(value):
            parts.append(
                f"{name} {value:.3f}" if key == "window_accuracy" else f"{name} {value:.4g}"
            )
    recent = status.get("latency_minute_us", {})
    if recent and not math.isnan(recent["p50"]):
        parts.append(f"p50/p99 {recent['p50']:,.0f}/{recent['p99']:,.0f} us")
    drift = status.get("last_drift")
    parts.append("no drift" if drift is None else f"last drift at {drift:,}")
    for key, name in _COUNTS:
        if status.get(key):
            parts.append(f"{status[key]:,} {name}")
    if left is not None:
        parts.append(f"{_clock(left)} left")
    return "  ".join(parts)


def _begun(status: Mapping[str, Any]) -> bool:
    return bool(status.get("n_samples") or status.get("n_unlabelled"))


def _clock(seconds: float) -> str:
    """Return minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


@contextmanager
def watch(engine: Any, quiet: bool, max_samples: int | None = None) -> Iterator[None]:
    """Show the progress of an engine and log its alarms until the block ends.

    The engine never waits for it.

    Parameters
    ----------
    engine
        The engine.
    quiet
        Whether alarms alone are logged.
    max_samples
        Rows after which the run ends, for the time left.
    """
    began = time.monotonic()
    countdown = Countdown(engine.source, max_samples)
    over = False  # a run too short for two looks has a full bar at its end too

    def left() -> float | None:
        return countdown.left(time.monotonic()) if _begun(engine.status) else None

    def text() -> str:
        if is_compiling():
            return f"{_clock(time.monotonic() - began)}  {COMPILING}"
        return line(engine.status, began, left())

    def page() -> str:
        still = left()
        elapsed = time.monotonic() - began
        share = None if still is None else elapsed / max(elapsed + still, 1e-9)
        return progress_html(text(), 1.0 if over else share, engine.alarm)

    if not quiet and in_notebook():
        with cell(page):
            yield
            over = True
    else:
        shown = _live_line(engine, text) if not quiet and sys.stderr.isatty() else nullcontext()
        with shown, beside(partial(_log_alarms, engine), "alarms"):
            yield


def _live_line(engine: Any, text: Callable[[], str]) -> AbstractContextManager[object]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def render() -> Text:
        alarm = engine.alarm
        return Text(text()) if alarm is None else Text(f"ALARM: {alarm}", style="bold red")

    return Live(get_renderable=render, console=Console(stderr=True), refresh_per_second=8)


def _log_alarms(engine: Any, over: threading.Event) -> None:
    """Log alarms as they begin and end."""
    alarm = None
    while not over.wait(_ALARM_SECONDS):
        if engine.alarm != alarm:
            alarm = engine.alarm
            if alarm:
                _LOGGER.error("ALARM: %s", alarm)
            else:
                _LOGGER.warning("the alarm is over")
