"""What the page shows of an engine at one moment, as plain values."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from loco_stream.metrics.scores import charted

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine.trainer import ScoredRow

__all__ = ["Probe", "score_columns"]

_NEURONS = 64  # rows of the raster: more cannot be told apart on a phone
_RATE_SECONDS = 2.0
_TASK_SECONDS = 0.5
_TASK_KEYS = (
    "average_accuracy",
    "forgetting",
    "forgetting_se",
    "backward_transfer",
    "accuracy_matrix",
)
_DRIFTS = 100  # marks kept on the page
# of the last row, most shown
_FEATURES = 60
_LABELS = 6
_LETTERS = 60


class Probe:
    """Reads an engine in the engine's own thread, so that nothing changes meanwhile.

    Parameters
    ----------
    rivals
        Each returns the score of another model at this moment; None while there is none.
    """

    def __init__(self, rivals: Mapping[str, Callable[[], float | None]]) -> None:
        self._rivals = list(rivals.values())
        self._pace: deque[tuple[float, int]] = deque(maxlen=64)
        self._tasks: dict[str, Any] = {}
        self._tasks_due = self._classes_due = 0.0
        self._classes: dict[str, Any] = {}

    def score(self, engine: StreamEngine) -> list[Any]:
        """Return a point of the curve.

        It is rows seen; the row's time, s since 1970, or NaN; the scores in the order of
        `score_columns`; and the scores of the rivals.
        """
        status = engine.status
        last = engine.last_scored
        return [
            status["n_samples"],
            math.nan if last is None else last.row.t,
            *(status[column["name"]] for column in score_columns(engine)),
            *(say() for say in self._rivals),
        ]

    def look(self, engine: StreamEngine) -> dict[str, Any]:
        """Return one frame; tasks and drifts are in it only when they changed."""
        status = engine.status
        frame = {
            "score": self.score(engine),
            "ended": engine.stream_ended,
            "rate": self._rate(status["n_samples"]),
            "latency": status["latency_minute_us"],
            "coverage": status.get("interval_coverage"),
            "last": _last(engine.last_scored),
            "lag": engine.lag,
            "gaps": status["transport"].get("gaps"),
            "checkpoint_age": status["checkpoint_age"],
            "alarm": status["alarm"],
            "pending": status["n_pending"],
            "rejected": status["n_rejected"],
            "unused": status.get("n_unused"),
            "masked": status.get("n_masked"),
            "said": status.get("unused"),
            **self._changed_classes(status),
            **_network(engine.model),
        }
        tasks = self._changed_tasks(engine)
        return {**frame, "tasks": tasks} if tasks else frame

    def tasks(self, engine: StreamEngine) -> dict[str, Any]:
        """Return drifts, tasks and the accuracy matrix with its measures."""
        report = engine.monitor.report()
        tasks = [
            {name: task[name] for name in ("task", "start", "end", "returned", "accuracy")}
            for task in report["tasks"]
        ]
        return {
            "drifts": report["drifts"][-_DRIFTS:],
            "tasks": tasks,
            **{name: report[name] for name in _TASK_KEYS},
        }

    def _changed_tasks(self, engine: StreamEngine) -> dict[str, Any]:
        now = time.monotonic()
        if now < self._tasks_due:
            return {}
        self._tasks_due = now + _TASK_SECONDS
        tasks = self.tasks(engine)
        if tasks == self._tasks:
            return {}
        self._tasks = tasks
        return tasks

    def _changed_classes(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """Return how each label is found, at most twice a second and only if that changed."""
        now = time.monotonic()
        if "per_class" not in status or now < self._classes_due:
            return {}
        self._classes_due = now + _TASK_SECONDS
        classes = {"per_class": status["per_class"], "confusion": status["confusion"]}
        if classes == self._classes:
            return {}
        self._classes = classes
        return {"classes": classes}

    def _rate(self, n: int) -> float | None:
        """Rows a second over the last two seconds: the mean since the start would hide a stall."""
        now = time.monotonic()
        self._pace.append((now, n))
        while len(self._pace) > 2 and now - self._pace[0][0] > _RATE_SECONDS:
            self._pace.popleft()
        began, before = self._pace[0]
        return (n - before) / (now - began) if now > began else None


def score_columns(engine: StreamEngine) -> list[dict[str, str]]:
    """Return name, label and role of the scores in a point of the curve, in order."""
    shown = charted("regression" if "mae" in engine.status else "classification")
    return [
        {"name": score.key.name, "label": score.key.label, "role": score.chart} for score in shown
    ]


def _last(answered: ScoredRow | None) -> dict[str, Any] | None:
    """Return the last row whose label is known: its features, and what was said of it before."""
    if answered is None:
        return None
    named = answered.row.named
    proba = answered.proba
    likeliest = sorted((proba or {}).items(), key=lambda item: -item[1])[:_LABELS]
    return {
        "x": [[_text(name), _text(value)] for name, value in islice(named.items(), _FEATURES)],
        "more": max(0, len(named) - _FEATURES),
        "y": _text(answered.y),
        "y_pred": _text(answered.y_pred),
        "right": answered.y == answered.y_pred,
        "proba": [[_text(label), p] for label, p in likeliest],
        "interval": answered.interval,
        "t": answered.row.t,
    }


def _text(value: Hashable | None) -> str:
    """Return a value for people; numbers to six digits."""
    if hasattr(value, "item"):
        value = value.item()
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:_LETTERS]


def _network(model: Any) -> dict[str, Any]:
    """Return what a spiking model tells of itself; nothing for any other model."""
    if not hasattr(model, "last_spikes_"):
        return {}
    times, neurons = model.last_spikes_
    size = model.layer_sizes[-1]
    stride = -(-size // _NEURONS)
    shown = neurons % stride == 0
    counts = model.spike_counts_
    return {
        "raster": {
            "t": times[shown].round(1).tolist(),
            "i": (neurons[shown] // stride).tolist(),
            "rows": -(-size // stride),
            "size": size,
            "spikes": len(times),
            "window": model.window,
        },
        "spikes": [
            count / size for count, size in zip(counts.tolist(), model.layer_sizes, strict=True)
        ],
        "mixture": dict(getattr(model, "mixture_", {})),
    }
