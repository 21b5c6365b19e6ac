"""What a run measured so far: scores, their course over the stream, latency."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from loco_stream.engine.latency import LatencyHistogram, RecentLatency
from loco_stream.metrics import Prequential
from loco_stream.metrics.course import Course
from loco_stream.metrics.keys import scores_of

__all__ = ["Score"]


class Score:
    """The prequential score with its course and the latency of this process.

    Parameters
    ----------
    task
        "classification" or "regression".
    window
        Samples in the sliding window.
    waited
        Returns the seconds in which nothing came in or code was compiled: they are no part of the
        rate.
    """

    def __init__(
        self, task: str, window: int = 500, waited: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.prequential = Prequential(task, window)
        self.course = Course()
        self.latency = LatencyHistogram()
        self._names = scores_of(task)[:2]
        self._recent = RecentLatency(self.latency)
        self._waited = waited
        self._began: float | None = None
        self._rows = 0
        self._first = (0, 0)

    @property
    def task(self) -> str:
        """The task whose keys the report has."""
        return self.prequential.task

    def add(
        self,
        y: Any,
        y_pred: Any,
        p_true: float | None = None,
        interval: tuple[float, float] | None = None,
    ) -> None:
        """Count one answer, and the probability that the label was given or the interval the value was to lie in."""
        self.prequential.update(y, y_pred, p_true, interval)
        n = self.prequential.n_scored
        if y_pred is not None and n % self.course.stride == 0:
            report = self.prequential.report()
            self.course.add((n, *(report[name] for name in self._names)))

    def took(self, nanoseconds: int, rows: int) -> None:
        """Note that `rows` rows were handled in one go that took so long."""
        self.latency.add(nanoseconds, rows)
        if self._began is None:  # the first rows also wait for the compiler: they start the clock
            self._began = time.perf_counter() - self._waited()
            self._first = (rows, nanoseconds)
        else:
            self._rows += rows

    @property
    def samples_per_second(self) -> float:
        """Rows of this process over the time at work since its first ones, waiting left out.

        NaN before them.
        """
        if self._began is None:
            return math.nan
        if not self._rows:
            rows, nanoseconds = self._first
            return rows * 1e9 / max(nanoseconds, 1)
        return self._rows / max(time.perf_counter() - self._waited() - self._began, 1e-9)

    def report(self) -> dict[str, Any]:
        """Return scores, speed and latency under the report's keys."""
        return {
            **self.prequential.report(),
            **self.prequential.classes(),
            "samples_per_second": self.samples_per_second,
            "latency_us": {"p50": self.latency.quantile(0.5), "p99": self.latency.quantile(0.99)},
            "latency_minute_us": self._recent.look(time.monotonic()),
        }

    def curve_report(self) -> dict[str, Any]:
        """Return the course as columns: `at` counts scored samples."""
        columns: list[Any] = [list(column) for column in zip(*self.course.points, strict=True)] or [
            [],
            [],
            [],
        ]
        return dict(zip(("at", *self._names), columns, strict=True))

    def export_state(self) -> dict[str, Any]:
        """Return what counts samples as plain values.

        What counts time belongs to a process and stays.
        """
        points = [list(point) for point in self.course.points]
        return {
            "prequential": self.prequential.export_state(),
            "stride": self.course.stride,
            "points": points,
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Continue from `export_state`."""
        self.prequential.restore_state(state["prequential"])
        self.course.stride = state["stride"]
        self.course.points = [(n, windowed, overall) for n, windowed, overall in state["points"]]
