"""What a person sees while an engine runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["line", "watch"]

_PLAIN_SECONDS = 5.0


def line(status: Mapping[str, Any], since: float) -> str:
    """Return one line on how the run goes; `since` is the monotonic time it began.

    Examples
    --------
    >>> line({"n_samples": 1200, "samples_per_second": 5100.0, "window_accuracy": 0.93, "last_drift": 800}, 0.0)[5:]
    '  1,200 samples  5,100/s  window accuracy 0.930  last drift at 800'
    """
    seconds = int(time.monotonic() - since)
    if not status:
        return f"{seconds // 60 % 100:02d}:{seconds % 60:02d}  waiting for the first row"
    parts = [f"{seconds // 60 % 100:02d}:{seconds % 60:02d}", f"{status.get('n_samples', 0):,} samples"]
    rate = status.get("samples_per_second", math.nan)
    if not math.isnan(rate):
        parts.append(f"{rate:,.0f}/s")
    for key, name in (("window_accuracy", "window accuracy"), ("window_mae", "window error")):
        value = status.get(key, math.nan)
        if not math.isnan(value):
            parts.append(f"{name} {value:.3f}" if key == "window_accuracy" else f"{name} {value:.4g}")
    drift = status.get("last_drift")
    parts.append("no drift" if drift is None else f"last drift at {drift:,}")
    for key, name in (("n_pending", "waiting for labels"), ("n_rejected", "refused")):
        if status.get(key):
            parts.append(f"{status[key]:,} {name}")
    return "  ".join(parts)


@contextmanager
def watch(engine: Any, quiet: bool) -> Iterator[None]:
    """Show how an engine runs until the block ends; the engine never waits for it."""
    began = time.monotonic()
    if quiet:
        with _alarms(engine, began, period=math.inf):
            yield
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def render() -> Text:
            alarm = engine.alarm
            return Text(line(engine.status, began)) if alarm is None else Text(f"ALARM: {alarm}", style="bold red")

        with Live(get_renderable=render, console=Console(stderr=True), refresh_per_second=8):
            yield
    else:
        with _alarms(engine, began, _PLAIN_SECONDS):
            yield


@contextmanager
def _alarms(engine: Any, began: float, period: float) -> Iterator[None]:
    """Print plain lines every `period` seconds, and alarms as they come and go."""
    over = threading.Event()

    def tell() -> None:
        alarm, due = None, began + period
        while not over.wait(0.2):
            if engine.alarm != alarm:
                alarm = engine.alarm
                print(f"ALARM: {alarm}" if alarm else "ALARM is over", file=sys.stderr, flush=True)
            if time.monotonic() >= due:
                due += period
                print(line(engine.status, began), file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
