"""Errors of a regression, and of repeating the last value."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, TypedDict

from loco_stream._numbers import require_number
from loco_stream.metrics.scores._definition import (
    Interval,
    Label,
    ReportKey,
    Score,
    State,
    Tally,
)


class _ErrorSums(TypedDict):
    n: int
    sum_absolute: float
    sum_squared: float
    mean: float
    spread: float
    n_no_change: int
    sum_no_change: float
    fading_sum: float
    fading_weight: float


class _Saved(_ErrorSums):
    previous: int | float | None
    recent: list[float]


class Errors(Tally):
    """Sums of errors, of the variance of the labels, and of errors of repeating the last value."""

    name: ClassVar[str] = "errors"
    saved: ClassVar[type] = _Saved
    counters = tuple(_ErrorSums.__annotations__)

    def __init__(self, window: int, fading: float) -> None:
        self.n = 0
        self.sum_absolute = 0.0
        self.sum_squared = 0.0
        self.mean = 0.0
        self.spread = 0.0  # sum of squared deviations of the labels from their mean
        self.n_no_change = 0
        self.sum_no_change = 0.0
        self.fading_sum = 0.0
        self.fading_weight = 0.0
        self.recent: deque[float] = deque(maxlen=window)
        self._fading = fading
        self._previous: float | None = None

    def update(
        self, y_true: Label, y_pred: Label, p_true: float | None, interval: Interval
    ) -> None:
        """Count an error; `y_pred` None remembers the label alone."""
        truth = require_number("y_true", y_true)
        if y_pred is not None:
            self._count_error(truth, truth - require_number("y_pred", y_pred))
        self._previous = truth

    def _count_error(self, truth: float, error: float) -> None:
        self.n += 1
        self.sum_absolute += abs(error)
        self.sum_squared += error * error
        # Welford's update: no cancellation when labels are far from 0
        deviation = truth - self.mean
        self.mean += deviation / self.n
        self.spread += deviation * (truth - self.mean)
        if self._previous is not None:
            self.n_no_change += 1
            self.sum_no_change += abs(truth - self._previous)
        self.recent.append(abs(error))
        self.fading_sum = self._fading * self.fading_sum + abs(error)
        self.fading_weight = self._fading * self.fading_weight + 1.0

    def export_state(self) -> State:
        """Return the counters as plain values."""
        last = {"previous": self._previous, "recent": list(self.recent)}
        return {**super().export_state(), **last}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        super().restore_state(state)
        if not isinstance(state["previous"], int | float | None):
            raise ValueError(f"the last label must be a number, got {state['previous']!r}")
        self._previous = state["previous"]
        self.recent.extend(state["recent"])


def _mae(errors: Errors) -> float:
    return errors.sum_absolute / (errors.n or math.nan)


def _rmse(errors: Errors) -> float:
    return math.sqrt(errors.sum_squared / (errors.n or math.nan))


def _r2(errors: Errors) -> float:
    return 1.0 - errors.sum_squared / errors.spread if errors.spread > 0.0 else math.nan


def _no_change_mae(errors: Errors) -> float:
    return errors.sum_no_change / (errors.n_no_change or math.nan)


def _window_mae(errors: Errors) -> float:
    return math.fsum(errors.recent) / (len(errors.recent) or math.nan)


def _fading_mae(errors: Errors) -> float:
    return errors.fading_sum / (errors.fading_weight or math.nan)


def _key(name: str, description: str, prometheus: str, label: str = "") -> ReportKey:
    return ReportKey(
        name,
        description,
        "units of the label",
        prometheus,
        problem="regression",
        label=label,
        form="{:.5g}",
    )


_R2 = ReportKey(
    "r2",
    "share of the variance of the labels that is explained",
    "fraction",
    "r2",
    problem="regression",
    label="R2",
    form="{:.4f}",
)

# fmt: off
ERROR_SCORES = (
    Score(_key("mae", "mean absolute error", "mean_absolute_error", "mean absolute error"),
          Errors, _mae, "lower", "overall"),
    Score(_key("rmse", "root mean squared error", "root_mean_squared_error",
               "root mean squared error"),
          Errors, _rmse, "lower"),
    Score(_R2, Errors, _r2, "higher"),
    Score(_key("no_change_mae", "mean absolute error of repeating the last value",
               "no_change_mean_absolute_error", "error of repeating the last value"),
          Errors, _no_change_mae, "lower", "baseline"),
    Score(_key("window_mae", "mean absolute error over the last `score_window` rows",
               "window_mean_absolute_error", "mean absolute error of recent rows"),
          Errors, _window_mae, "lower", "window"),
    Score(_key("fading_mae", "mean absolute error with weights that fall by 0.1 % per row of age",
               "fading_mean_absolute_error"),
          Errors, _fading_mae, "lower"),
)
# fmt: on
