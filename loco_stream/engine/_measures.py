"""Measures of a run: scores, their curve over the stream, speed and latency."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from loco_stream._checks import require, row_count
from loco_stream._persistence.content import Config, State
from loco_stream.engine._latency import LatencyHistogram, RecentLatency
from loco_stream.metrics import Prequential
from loco_stream.metrics._curve import Curve
from loco_stream.metrics._ranking import PRECISION, Ranking
from loco_stream.metrics.scores import charted
from loco_stream.metrics.scores._definition import ScoredRows

Label: TypeAlias = Any


class RunMeasures:
    """The prequential scores with their curve, and the speed and latency of this process.

    problem: as in `Prequential`
    score_window: rows in the sliding window of the scores
    waited: returns the seconds spent on waiting for rows or for the compiler; the speed leaves them
        out
    at_precision: precision at which the recall of each class is reported
    """

    def __init__(
        self,
        problem: str,
        score_window: int = 500,
        waited: Callable[[], float] = lambda: 0.0,
        at_precision: float = PRECISION,
    ) -> None:
        score_window = require("score_window", score_window, row_count)
        self.prequential = Prequential(problem, score_window)
        self.ranking = Ranking(score_window, at_precision)
        self.curve = Curve()
        self.latency = LatencyHistogram()
        self._curve_names = curve_scores(problem)
        self._recent = RecentLatency(self.latency)
        self._waited = waited
        self._began: float | None = None
        self._rows = 0
        self._most_rows = 0  # of one step
        self._first = (0, 0)  # rows and nanoseconds of the first step

    @property
    def problem(self) -> str:
        """What the stream poses: one of `PROBLEMS`."""
        return self.prequential.problem

    def score(
        self,
        y: Label,
        y_pred: Label,
        p_true: float | None = None,
        interval: tuple[float, float] | None = None,
    ) -> None:
        """Score one prediction; arguments as for `Prequential.update`."""
        self.prequential.update(y, y_pred, p_true, interval)
        self._follow(y_pred)

    def _follow(self, y_pred: Label) -> None:
        """Add a point to the curve if one is due after a row with this prediction."""
        n = self.prequential.n_scored
        if y_pred is not None and n % self.curve.stride == 0:
            self.curve.add((n, *map(self.prequential.value, self._curve_names)))

    def score_many(self, rows: ScoredRows) -> None:
        """Score rows in order: the same as `score` for each, to the last digit."""
        prequential = self.prequential
        followed, others = prequential.tallies(self._curve_names)
        for tally in others:
            tally.update_many(rows)
        begin = 0
        while begin < len(rows.y_true):  # not beyond the next point of the curve
            stride = self.curve.stride
            end = begin + stride - prequential.n_scored % stride
            part = rows.slice(begin, end)
            for tally in followed:
                tally.update_many(part)
            prequential.count_scored(part)
            self._follow(part.y_pred[-1])
            begin = end

    def add_time(self, nanoseconds: int, rows: int) -> None:
        """Count the time that one step took for `rows` rows."""
        self.latency.add(nanoseconds, rows)
        self._most_rows = max(self._most_rows, rows)
        if self._began is None:  # the first rows wait for the compiler: the clock starts after them
            self._began = time.perf_counter() - self._waited()
            self._first = (rows, nanoseconds)
        else:
            self._rows += rows

    @property
    def samples_per_second(self) -> float:
        """Rows of this process per second of work since its first ones; NaN before them."""
        if self._began is None:
            return math.nan
        if not self._rows:
            rows, nanoseconds = self._first
            return rows * 1e9 / max(nanoseconds, 1)
        return self._rows / max(time.perf_counter() - self._waited() - self._began, 1e-9)

    def report(self) -> Config:
        """Return the scores that are one number, speed and latency, as keys of the report."""
        return {
            **self.prequential.report(),
            "samples_per_second": self.samples_per_second,
            "latency_us": {
                "p50": self.latency.quantile(0.5),
                "p99": self.latency.quantile(0.99),
                "rows": self._most_rows,
            },
            "latency_minute_us": self._recent.look(time.monotonic()),
        }

    def classes(self) -> Config:
        """Return the scores that are no single number, and those of the ranking.

        They take longer to compute than those of `report`.
        """
        classes: Config = self.prequential.classes()
        if "per_class" not in classes:
            return classes
        ranked = self.ranking.per_class()
        per_class = {
            text: {**scores, **ranked.get(label, {})}
            for label, (text, scores) in zip(
                self.prequential.labels, classes["per_class"].items(), strict=True
            )
        }
        return {
            **classes,
            "per_class": per_class,
            **self.ranking.means(),
        }

    def curve_report(self) -> Config:
        """Return the curve as columns; `at` counts scored rows."""
        return self.curve.columns(("at", *self._curve_names))

    def export_state(self) -> Config:
        """Return the counts of rows as plain values; times belong to the process."""
        return {
            "prequential": self.prequential.export_state(),
            "ranking": self.ranking.export_state(),
            **self.curve.export_state(),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self.prequential.restore_state(state["prequential"])
        self.ranking.restore_state(state["ranking"])
        self.curve.restore_state(state)


def curve_scores(problem: str) -> list[str]:
    """Return the names of the scores that the curve follows: windowed, then overall."""
    return [score.key.name for score in charted(problem) if score.chart in ("window", "overall")]
