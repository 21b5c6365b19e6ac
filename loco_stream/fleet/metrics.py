"""Metrics of a fleet for Prometheus, whose number does not depend on the number of keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from loco_stream.fleet.runner import FleetRunner

__all__ = ["FleetMetrics"]

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

    Parameters
    ----------
    seconds
        Seconds between two snapshots.
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

    def describe(self) -> Iterator[Any]:
        """Announce nothing: there are no metrics before the first commit."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of the last snapshot."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        status = self._status
        if not status:
            return
        rows = CounterMetricFamily(
            "loco_fleet_rows", "Rows by what became of them", labels=["what"]
        )
        for name, value in status.items():
            if name.startswith("n_") and name not in (*_GAUGES, _ALARMS):
                rows.add_metric([name.removeprefix("n_")], value)
        yield rows
        if _ALARMS in status:  # a fleet of detectors
            yield CounterMetricFamily(
                "loco_fleet_alarms", "Alarms of all detectors", value=status[_ALARMS]
            )
        for name in filter(status.__contains__, _GAUGES):
            yield GaugeMetricFamily(
                f"loco_fleet_{name.removeprefix('n_')}", _GAUGES[name], value=status[name]
            )
        errors = GaugeMetricFamily(
            "loco_fleet_key_error",
            "Quantiles over keys of the mean error of about the last 500 rows",
            labels=["quantile"],
        )
        for quantile, value in zip(_QUANTILES, self._quantiles, strict=False):
            errors.add_metric([f"{quantile:g}"], value)
        yield errors
