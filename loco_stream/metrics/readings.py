"""The current value of every metric, for Prometheus and OpenTelemetry alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loco_stream.metrics.keys import keys_for
from loco_stream.metrics.scores.definition import ReportKey

__all__ = ["PREFIX", "Point", "Reading", "readings"]

PREFIX = "loco_"


@dataclass(frozen=True, slots=True)
class Point:
    """A number of a metric, and the labels that tell it from the others."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric: its key, its name, whether it only rises, and its points.

    The histogram of latencies has no points; its reader asks the engine.
    """

    key: ReportKey
    name: str
    is_counter: bool
    points: tuple[Point, ...]


def readings(status: Mapping[str, Any]) -> Iterator[Reading]:
    """Yield the metrics in a status.

    Examples
    --------
    >>> [(one.name, one.points[0].value) for one in readings({"n_samples": 3, "alarm": None})]
    [('loco_rows_learned', 3), ('loco_alarm', False)]
    """
    problem = "regression" if "mae" in status else "classification"
    for key in keys_for(problem, detector="n_alarms" in status):
        value = status.get(key.name)
        if key.prometheus and (key.kind == "flag" or value is not None):
            points = () if key.kind == "histogram" else tuple(_points(key, value))
            yield Reading(
                key, f"{PREFIX}{key.prometheus}", key.kind in ("counter", "parts"), points
            )


def _points(key: ReportKey, value: Any) -> Iterator[Point]:
    if key.kind == "classes":
        for label, scores in value.items():
            for score, number in scores.items():
                yield _point(key, number, label, score)
    elif key.labels:
        for what, count in value.items():
            yield _point(key, count, str(what))
    else:
        yield _point(key, bool(value) if key.kind == "flag" else value)


def _point(key: ReportKey, value: float, *labels: str) -> Point:
    return Point(value, dict(zip(key.labels, labels, strict=True)))
