"""The current value of every metric, for Prometheus and OpenTelemetry alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from loco_stream._persistence.content import State
from loco_stream.metrics._keys import keys_for, problem_of
from loco_stream.metrics.scores._definition import ReportKey

if TYPE_CHECKING:
    from loco_stream.engine._latency import LatencyHistogram

PREFIX = "loco_"
_LABELS = {
    "parts": ("what",),
    "shares": ("what",),
    "classes": ("label", "score"),
    "targets": ("target", "score"),
}


class Watched(Protocol):
    """An engine, or its stand-in before it exists."""

    @property
    def status(self) -> State:
        """The current numbers."""

    @property
    def latency(self) -> LatencyHistogram:
        """Time that rows took, read if the status has latencies."""


@dataclass(frozen=True, slots=True)
class Point:
    """A number of a metric, and the labels that distinguish it from the others."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric that can be read at any time; it has no points before the first number."""

    name: str
    description: str
    is_counter: bool
    points: Callable[[], Iterable[Point]]


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric: its key, its name, whether it only rises, names of labels, and its points.

    The histogram of latencies has no points; its reader asks the engine.
    """

    key: ReportKey
    name: str
    is_counter: bool
    labels: tuple[str, ...]
    points: tuple[Point, ...]


def readings(status: Mapping[str, Any]) -> Iterator[Reading]:
    """Yield the metrics in a status.

    Examples
    --------
    >>> [(one.name, one.points[0].value) for one in readings({"n_samples": 3})][:2]
    [('loco_rows_learned', 3), ('loco_alarm', False)]
    """
    for key in keys_for(problem_of(status), detector="n_alarms" in status):
        value = status.get(key.name)
        if key.prometheus and (key.kind == "flag" or value is not None):
            labels = _LABELS.get(key.kind, ())
            points = () if key.kind == "histogram" else tuple(_points(key, value, labels))
            is_counter = key.kind in ("counter", "parts")
            yield Reading(key, f"{PREFIX}{key.prometheus}", is_counter, labels, points)


def _points(key: ReportKey, value: Any, labels: tuple[str, ...]) -> Iterator[Point]:
    if len(labels) == 2:
        for group, scores in value.items():
            for score, number in scores.items():
                yield Point(number, dict(zip(labels, (group, score), strict=True)))
    elif labels:
        for what, count in value.items():
            yield Point(count, {labels[0]: str(what)})
    else:
        yield Point(bool(value) if key.kind == "flag" else value)
