"""Log-loss: how well the predicted probabilities fit the labels."""

from __future__ import annotations

import math
from typing import ClassVar, TypedDict

from loco_stream.metrics.scores._definition import (
    Interval,
    Label,
    ReportKey,
    Score,
    ScoredRows,
    Tally,
)

# Probabilities below it count as this much: one confident error would dominate the mean.
_LEAST = 1e-6


class _Saved(TypedDict):
    n: int
    loss: float


class LogLoss(Tally):
    """Sum of the log-losses of the rows with a probability."""

    name: ClassVar[str] = "log_loss"
    saved: ClassVar[type] = _Saved
    counters = ("n", "loss")

    def __init__(self, window: int, fading: float) -> None:
        self.n = 0
        self.loss = 0.0

    def update(
        self, y_true: Label, y_pred: Label, p_true: float | None, interval: Interval
    ) -> None:
        """Count the probability of the label, unless it is None or NaN."""
        if p_true is not None and p_true == p_true:
            self.n += 1
            self.loss -= math.log(min(max(p_true, _LEAST), 1.0))

    def update_many(self, rows: ScoredRows) -> None:
        """Count rows in order."""
        loss = self.loss
        known = [p for p in rows.p_true if p is not None and p == p]
        for p in known:
            loss -= math.log(p if _LEAST <= p <= 1.0 else min(max(p, _LEAST), 1.0))
        self.n += len(known)
        self.loss = loss

    def mean(self) -> float:
        """Return the mean log-loss."""
        return self.loss / (self.n or math.nan)


LOG_LOSS = Score(
    ReportKey(
        "log_loss",
        "mean log-loss of the label's probability, which counts as 1e-6 at least",
        "nats",
        "log_loss",
        problem="classification",
        label="log-loss",
        form="{:.4f}",
    ),
    LogLoss,
    LogLoss.mean,
    "lower",
)
