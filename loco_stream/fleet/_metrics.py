"""Metrics of a fleet, whose number does not depend on the number of keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from loco_stream.engine._readings import Instrument, Point

if TYPE_CHECKING:
    from loco_stream.fleet._runner import FleetRunner

_SECONDS = 5.0  # between two snapshots
_QUANTILES = (0.5, 0.9, 0.99, 1.0)
_ALARMS = "n_alarms"
_GAUGES = {
    "n_keys": "Keys that have a model",
    "n_resident": "Models in memory",
    "n_pending": "Rows that wait for a label",
    "n_drifted_keys": "Keys with a drift in this run",
    "n_alarmed_keys": "Keys with an alarm of their detector in this run",
}


class FleetMetrics:
    """A watcher of a `FleetRunner`, and a collector for Prometheus.

    No series is named after a key. The errors of all keys are four quantiles; the keys with the
    largest error are listed by `loco-stream fleet worst`. A scrape reads a snapshot that is at most
    a few seconds older than the last commit, so the fleet never waits for it.

    `seconds`: seconds between two snapshots.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._taken_at = -float("inf")
        self._status: Mapping[str, Any] = {}
        self._quantiles: list[float] = []

    def __call__(self, runner: FleetRunner) -> None:
        """Take a snapshot, in the runner's thread."""
        if time.monotonic() - self._taken_at < self._seconds:
            return
        self._status = runner.status()
        errors = runner.errors
        self._quantiles = np.quantile(errors, _QUANTILES).tolist() if errors else []
        self._taken_at = time.monotonic()

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of the last snapshot."""
        from loco_stream.engine._prometheus import family_of

        for one in self.instruments:
            if points := list(one.points()):
                labels = list(points[0].labels)
                yield family_of(one.name, one.description, one.is_counter, labels, points)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The metrics, for any library that reads them."""
        gauges = [
            Instrument(f"loco_fleet_{name.removeprefix('n_')}", text, False, self._one(name))
            for name, text in _GAUGES.items()
        ]
        rows = "Rows by what became of them"
        outage = "1 while the source cannot reach its broker, server or device"
        errors = "Quantiles over keys of the mean error of about the last 500 rows"
        return (
            Instrument("loco_fleet_rows", rows, True, self._rows),
            Instrument(  # of a fleet of detectors
                "loco_fleet_anomaly_alarms", "Alarms of all detectors", True, self._one(_ALARMS)
            ),
            *gauges,
            Instrument("loco_fleet_key_error", errors, False, self._errors),
            # named as the one of an engine, so that one alert suits both
            Instrument("loco_source_outage", outage, False, self._outage),
        )

    def _rows(self) -> list[Point]:
        return [
            Point(value, {"what": name.removeprefix("n_")})
            for name, value in self._status.items()
            if name.startswith("n_") and name not in (*_GAUGES, _ALARMS)
        ]

    def _one(self, name: str) -> Callable[[], list[Point]]:
        return lambda: [Point(self._status[name])] if name in self._status else []

    def _outage(self) -> list[Point]:
        return [Point(int(self._status["outage"] is not None))] if self._status else []

    def _errors(self) -> list[Point]:
        numbers = zip(_QUANTILES, self._quantiles, strict=False)
        return [Point(value, {"quantile": f"{quantile:g}"}) for quantile, value in numbers]
