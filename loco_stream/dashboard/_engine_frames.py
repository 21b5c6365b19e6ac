"""What the page shows of an engine at one moment, as plain values."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from inspect import signature
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from loco_stream.engine._report_lines import shown_steps
from loco_stream.estimators._estimator import LOCOEstimator
from loco_stream.estimators._parameters import GetSetParams
from loco_stream.metrics.scores import charted

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine._trainer import ScoredRow
    from loco_stream.engine._watching import Watcher

Point: TypeAlias = list[float | None]
Frame: TypeAlias = dict[str, Any]  # fields by name, in values that JSON can hold

_RASTER_NEURONS = 64  # rows of the raster: more are indistinguishable on a phone
_RATE_SECONDS = 2.0
_SLOW_SECONDS = 0.5  # between two updates of tasks and of scores per class
_TASK_KEYS = (
    "average_accuracy",
    "forgetting",
    "forgetting_se",
    "backward_transfer",
    "accuracy_matrix",
)
_DRIFTS = 100  # drifts kept on the page
_ALARMS = 50  # alarms of the anomaly detector
_COLUMNS = 12  # columns with a chart
_BLAMED = 20  # columns whose share of the unusual rows is shown
# bounds of what is shown of a row
_FEATURES = 60
_LABELS = 6
_LETTERS = 60
_PREDICTIONS = 80  # as many as the page draws
_SETTINGS = 200


def score_columns(task: str) -> list[dict[str, str]]:
    """Return name, label and role of the scores in a point of the course, in order.

    A role is "window", "overall" or "baseline".

    Examples
    --------
    >>> score_columns("regression")[0]["label"]
    'mean absolute error of recent rows'
    """
    shown = charted(task)
    return [
        {"name": score.key.name, "label": score.key.label, "role": score.chart} for score in shown
    ]


def changed_settings(model: Any) -> str:
    """Return the parameters of a model that differ from their defaults.

    Examples
    --------
    >>> from loco_stream import LOCOClassifier
    >>> changed_settings(LOCOClassifier(rule="frozen", seed=1))
    "rule='frozen', seed=1"
    """
    if not isinstance(model, LOCOEstimator | GetSetParams):
        return ""
    defaults = signature(type(model)).parameters
    changed = (
        f"{name}={value!r}"
        for name, value in model.get_params(deep=False).items()
        if name in defaults
        # options of which none is given are defaults too
        and repr(value) not in (repr(defaults[name].default), f"{type(value).__name__}()")
    )
    return ", ".join(changed)[:_SETTINGS]


class EngineFrames:
    """Makes frames of an engine, in the engine's thread.

    scores: names of the scores in the chart
    rivals: each returns the score of another model at this moment; None while it has none
    predictions: of the latest frames, number of rows, label, prediction, and ends of its interval
    """

    def __init__(
        self, scores: Sequence[str], rivals: Sequence[Callable[[], float | None]] = ()
    ) -> None:
        self._scores = scores
        self._rivals = rivals
        self._t = math.nan  # time of the newest row that has one
        self._counts: deque[tuple[float, int]] = deque(maxlen=64)  # times and rows, for the rate
        self.predictions: deque[list[Any]] = deque(maxlen=_PREDICTIONS)
        self._sent: Frame = {}  # the slow parts that are sent only if they changed
        self.renew()

    def renew(self) -> None:
        """Take everything into the next frame, whatever was sent shortly before."""
        self._due: dict[str, float] = {}  # when a slow part of a frame may be sent again

    def _is_due(self, part: str) -> bool:
        """Return whether a slow part of a frame was not sent for a while; it is sent now."""
        now = time.monotonic()
        is_due = now >= self._due.get(part, 0.0)
        if is_due:
            self._due[part] = now + _SLOW_SECONDS
        return is_due

    def point(self, engine: StreamEngine) -> Point:
        """Return a point of the course.

        It holds the number of rows, the time of the newest row that has one in s since 1970 or NaN,
        the scores, and the scores of the rivals.
        """
        status = engine.status
        last = engine.last_scored
        if last is not None and not math.isnan(last.row.t):
            self._t = last.row.t
        return [
            status["n_samples"],
            self._t,
            *(status.get(name) for name in self._scores),
            *(score() for score in self._rivals),
        ]

    def past(self, engine: StreamEngine) -> list[Point]:
        """Return the course of a resumed run, in which only some scores are known."""
        course = dict(engine.curve)
        rows = course.pop("at")
        known = [course.get(name, [None] * len(rows)) for name in self._scores]
        unknown: list[None] = [None] * len(self._rivals)
        return [[n, None, *(column[i] for column in known), *unknown] for i, n in enumerate(rows)]

    def frame(self, engine: StreamEngine) -> Frame:
        """Return one frame; tasks and scores per class are included only if they changed."""
        status = engine.status
        last = engine.last_scored
        self._remember(status["n_samples"], last)
        return {
            "ended": engine.stream_ended,
            "rate": self._rate(status["n_samples"]),
            "latency": status["latency_minute_us"],
            "coverage": status.get("interval_coverage"),
            "last": _last_row(last),
            "lag": engine.lag,
            "gaps": status["transport"].get("gaps"),
            "checkpoint_age": status["checkpoint_age"],
            "alarm": status["alarm"],
            "waiting_for": status.get("waiting_for"),
            "n_unused": status.get("n_unused"),
            "n_masked": status.get("n_masked"),
            "unused": status.get("unused"),
            **self._changed_classes(status),
            **_network(engine.model),
            **self._changed_tasks(engine),
            **self._watched(engine),
            **self._fan(engine),
        }

    def _remember(self, n: int, last: ScoredRow | None) -> None:
        """Keep a prediction of a number, once; those of several targets have no common axis."""
        if last is None or last.interval is None or isinstance(last.interval, Mapping):
            return
        if not self.predictions or self.predictions[-1][0] < n:
            values: tuple[Any, ...] = (last.y, last.y_pred, *last.interval)
            plain = (None if value is None else float(value) for value in values)
            self.predictions.append([n, *plain])

    def _fan(self, engine: StreamEngine) -> Frame:
        """Return the current forecast and the scores by step ahead, at most twice a second."""
        if engine.forecasts is None or not self._is_due("fan"):
            return {}
        scores = engine.forecasts.scores
        fan = {"at": scores.n_rows, **engine.forecasts.fan(), "steps": shown_steps(scores.horizon)}
        return {"fan": fan | scores.report()}

    def _watched(self, engine: StreamEngine) -> Frame:
        """Return what the anomaly detector found, at most twice a second."""
        if engine.watcher is None or not self._is_due("watch"):
            return {}
        return {"watch": _watch(engine.watcher)}

    def _changed_tasks(self, engine: StreamEngine) -> Frame:
        """Return drifts, tasks and forgetting if they changed, at most twice a second."""
        return self._if_changed("tasks", _tasks(engine)) if self._is_due("tasks") else {}

    def _changed_classes(self, status: Mapping[str, Any]) -> Frame:
        """Return the scores per class or target if they changed, at most twice a second."""
        if not self._is_due("classes"):
            return {}
        if "per_target" in status:
            return {"targets": status["per_target"]}
        if "per_class" not in status:
            return {}
        classes = {"per_class": status["per_class"], "confusion": status["confusion"]}
        return self._if_changed("classes", classes)

    def _if_changed(self, part: str, content: Frame) -> Frame:
        if content == self._sent.get(part):
            return {}
        self._sent[part] = content
        return {part: content}

    def _rate(self, n: int) -> float | None:
        """Return rows per second of the last two seconds; a mean since the start hides a stall."""
        now = time.monotonic()
        self._counts.append((now, n))
        while len(self._counts) > 2 and now - self._counts[0][0] > _RATE_SECONDS:
            self._counts.popleft()
        began, before = self._counts[0]
        return (n - before) / (now - began) if now > began else None


def _tasks(engine: StreamEngine) -> Frame:
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


def _watch(watcher: Watcher) -> Frame:
    """Return the latest rows column by column with their bands, and the latest alarms."""
    rows = list(watcher.shown)
    names = list(rows[-1]["x"]) if rows else []
    alarms = list(watcher.alarms)[-_ALARMS:]
    return {
        "at": [row["at"] for row in rows],
        "t": [row["t"] for row in rows],
        "state": [round(row["scores"][1], 2) for row in rows],
        "alarm": [row["alarm"] for row in rows],
        "blame": [str(row["column"]) for row in rows],
        "columns": [[name, *_column(rows, name)] for name in _charted(watcher, names)],
        "n_columns": len(names),
        "n_alarms": watcher.n_alarms,
        "alarms": [
            {**alarm, "column": _text(alarm["column"]), "value": _cell(alarm["value"])}
            for alarm in alarms
        ],
        "unusual": dict(islice(watcher.shares().items(), _BLAMED)),
        "curve": {
            name: [round(value, 2) for value in values]
            for name, values in watcher.curve_report().items()
        },
    }


def _charted(watcher: Watcher, names: Sequence[str]) -> list[str]:
    """Return the columns with a chart: those of the latest alarms, then the most often unusual."""
    alarmed = [str(alarm["column"]) for alarm in reversed(watcher.alarms)]
    known = set(names)
    ranked = [
        name for name in dict.fromkeys([*alarmed, *watcher.shares(), *names]) if name in known
    ]
    chosen = set(ranked[:_COLUMNS])
    return [name for name in names if name in chosen]


def _column(rows: Sequence[Frame], name: str) -> list[list[float | None]]:
    """Return value, lower and upper end of the expected band of one column in each row."""
    bands = [row["expected"].get(name, (None, None)) for row in rows]
    return [
        [row["x"].get(name) for row in rows],
        *(list(ends) for ends in zip(*bands, strict=True)),
    ]


def _last_row(answered: ScoredRow | None) -> Frame | None:
    """Return the features, label and prediction of the last row with a known label."""
    if answered is None:
        return None
    named = answered.row.named
    likeliest = sorted((answered.proba or {}).items(), key=lambda item: -item[1])[:_LABELS]
    return {
        "x": [[_text(name), _cell(value)] for name, value in islice(named.items(), _FEATURES)],
        "more": max(0, len(named) - _FEATURES),
        "y": _label_text(answered.y),
        "y_pred": _label_text(answered.y_pred),
        "right": answered.y == answered.y_pred,
        "proba": [[_text(label), p] for label, p in likeliest],
        # those of several targets have no common axis
        "interval": None if isinstance(answered.interval, Mapping) else answered.interval,
        "t": answered.row.t,
    }


def _label_text(value: Any) -> str:
    """Return a label or prediction as text; of several targets, the first ones."""
    if value is None:  # before the first label
        return "none yet"
    if not isinstance(value, Mapping):
        return _text(value)
    shown = (f"{_text(name)} {_text(number)}" for name, number in islice(value.items(), _LABELS))
    return ", ".join(shown) + (", ..." if len(value) > _LABELS else "")


def _cell(value: Hashable | None) -> str:
    """Return a value of an input as text."""
    is_missing = value is None or value != value
    return "missing" if is_missing else _text(value)


def _text(value: Hashable | None) -> str:
    """Return a value as text, numbers with six digits."""
    if hasattr(value, "item"):
        value = value.item()
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:_LETTERS]


def _mixture(weights: Mapping[Any, Any]) -> Frame:
    """Return the weight of each member; of several targets, their mean."""
    own = [target for target in weights.values() if isinstance(target, Mapping)]
    if not own:
        return dict(weights)
    return {name: sum(target[name] for target in own) / len(own) for name in own[0]}


def _network(model: Any) -> Frame:
    """Return spikes, firing rates and ensemble weights of a spiking model; nothing of others."""
    if not hasattr(model, "last_spikes_"):
        return {}
    return {
        "raster": _raster(model),
        "spikes": _rates(model),
        "mixture": _mixture(getattr(model, "mixture_", {})),
    }


def _raster(model: LOCOEstimator) -> Frame:
    """Return the spikes of the last hidden layer, of evenly spaced neurons if there are many."""
    times, neurons = model.last_spikes_
    size = model.layer_sizes[-1]
    stride = -(-size // _RASTER_NEURONS)
    shown = neurons % stride == 0
    return {
        "t": times[shown].round(1).tolist(),
        "i": (neurons[shown] // stride).tolist(),
        "rows": -(-size // stride),
        "size": size,
        "spikes": len(times),
        "window": model.advanced.window,
    }


def _rates(model: LOCOEstimator) -> list[float]:
    """Return spikes per neuron of each hidden layer."""
    counts = model.spike_counts_.tolist()
    return [count / size for count, size in zip(counts, model.layer_sizes, strict=True)]
