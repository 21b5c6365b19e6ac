"""Coverage of the prediction intervals of a regression."""

from __future__ import annotations

import math
from typing import ClassVar, TypedDict

from loco_stream.metrics.scores._definition import (
    Interval,
    Label,
    ReportKey,
    Score,
    Tally,
)


class _Saved(TypedDict):
    n: int
    n_inside: int


class Intervals(Tally):
    """Counts of predictions with a finite interval, and of labels inside it."""

    name: ClassVar[str] = "intervals"
    saved: ClassVar[type] = _Saved
    counters = ("n", "n_inside")

    def __init__(self, window: int, fading: float) -> None:
        self.n = 0
        self.n_inside = 0

    def update(
        self, y_true: Label, y_pred: Label, p_true: float | None, interval: Interval
    ) -> None:
        """Count a row with a prediction and a finite interval."""
        if y_pred is None or interval is None:
            return
        low, high = interval
        if math.isfinite(low) and math.isfinite(high):
            self.n += 1
            self.n_inside += low <= float(y_true) <= high  # a number: `Errors` checks it first

    def coverage(self) -> float:
        """Return the share of labels inside their interval."""
        return self.n_inside / (self.n or math.nan)


INTERVAL_COVERAGE = Score(
    ReportKey(
        "interval_coverage",
        "share of labels inside the 90 % prediction interval",
        "fraction",
        "interval_coverage",
        problem="regression",
        label="coverage of the 90 % interval",
        form="{:.4f}",
    ),
    Intervals,
    Intervals.coverage,
    "higher",
)
