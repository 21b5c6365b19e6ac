"""The score of a stream as it runs: every answer counted once, before its label is learned."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.metrics.confusion import Confusion, plain
from loco_stream.metrics.stream import above
from loco_stream.numbers import require_number

__all__ = ["Prequential"]

# a probability below it is charged as this much, or one wrong certainty would hide all else
_LEAST = 1e-6


class Prequential:
    """Test-then-train scores in constant time a sample and memory bounded by the window and the number of classes.

    Beside the model stand the two rows without which its accuracy says little: repeating the
    previous label and predicting the most frequent one so far. All three are counted over the same
    samples, those where the model gave an answer. With delayed labels feed the prediction that was
    stored when the sample arrived.

    Parameters
    ----------
    task
        "classification" or "regression".
    window
        Samples in the sliding window; 500 shows a change within seconds at stream rates and has a
        standard error of at most .022.
    fading
        Fading factor of `fading_accuracy` and `fading_mae`, in (0, 1]; see
        `loco_stream.metrics.fading_accuracy`.

    Raises
    ------
    ConfigError
        A setting is out of its range.

    References
    ----------
    Gama, Sebastiao, Rodrigues: On Evaluating Stream Learning Algorithms. Machine Learning 90, 2013.

    Examples
    --------
    >>> from loco_stream.metrics import Prequential
    >>> score = Prequential("classification", window=2)
    >>> for y_true, y_pred in [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")]:
    ...     score.update(y_true, y_pred)
    >>> report = score.report()
    >>> report["accuracy"], report["no_change_accuracy"], report["window_accuracy"]
    (0.75, 0.5, 1.0)
    """

    def __init__(
        self, task: str = "classification", window: int = 500, fading: float = 0.999
    ) -> None:
        if task not in ("classification", "regression"):
            raise ConfigError(f"task must be classification or regression, got {task!r}.")
        if window < 1:
            raise ConfigError(f"window must be at least 1 sample, got {window}.")
        if not 0.0 < fading <= 1.0:
            raise ConfigError(f"fading must be in (0, 1], got {fading}.")
        self.task = task
        self.window = window
        self.fading = fading
        self._score: _Hits | _Errors = (
            _Hits(window, fading) if task == "classification" else _Errors(window, fading)
        )

    @property
    def n_scored(self) -> int:
        """Samples counted so far."""
        return self._score.n

    def update(
        self,
        y_true: Any,
        y_pred: Any,
        p_true: float | None = None,
        interval: tuple[float, float] | None = None,
    ) -> None:
        """Count one answer; `y_pred` None means the model gave none.

        Not scored, but the label is remembered.

        `p_true` is the probability that was given to the label, None where the model gives none,
        and in regression; `interval` is what a regression said the value lies in, None or infinite
        where it said nothing.

        Raises
        ------
        InputError
            Regression, and a value is not a finite number.
        """
        self._score.update(y_true, y_pred, p_true, interval)

    def report(self) -> dict[str, float]:
        """Return the scores so far as fractions or in units of y.

        NaN before the first scored sample.

        Returns
        -------
        dict
            Classification: accuracy, kappa, kappa_m, kappa_t, no_change_accuracy,
            majority_accuracy, window_accuracy, fading_accuracy, log_loss (nats). Regression: mae,
            rmse, r2, no_change_mae, window_mae, fading_mae, interval_coverage.
        """
        return self._score.report()

    def classes(self) -> dict[str, object]:
        """Return `per_class` and `confusion` as `metrics.confusion` has them.

        Nothing in regression.
        """
        return self._score.classes()

    def export_state(self) -> dict[str, Any]:
        """Return everything counted as plain values that JSON can carry."""
        state = {name: getattr(self._score, name) for name in self._score.scalars}
        return {
            "task": self.task,
            "window": self.window,
            "fading": self.fading,
            **state,
            **self._score.export(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `export_state` gave; the settings come from `state` too.

        Raises
        ------
        CheckpointError
            `state` is not complete.
        """
        try:
            fresh = Prequential(state["task"], state["window"], state["fading"])
            for name in fresh._score.scalars:
                setattr(fresh._score, name, state[name])
            fresh._score.restore(state)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"The saved scores are not complete: {error!r}.") from error
        self.task = fresh.task
        self.window = fresh.window
        self.fading = fresh.fading
        self._score = fresh._score


class _Hits:
    """Counts of right answers, and of what the two trivial predictors would have got right."""

    scalars = ("n", "n_hits", "n_repeats", "n_majority", "agreement", "n_recent", "faded", "weight")

    def __init__(self, window: int, fading: float) -> None:
        self.n = self.n_hits = self.n_repeats = self.n_majority = self.n_recent = 0
        self.agreement = (
            0  # sum over classes of (times it was the label) x (times it was the answer)
        )
        self.faded = self.weight = 0.0
        # rows with a probability, and the sum of their log-losses
        self.n_judged = 0
        self.loss = 0.0
        self.confusion = Confusion()
        self.fading = fading
        self.recent: deque[bool] = deque(maxlen=window)
        self.labels: dict[Any, int] = {}  # times seen, in order of first sight; scored or not
        self.true: dict[Any, int] = {}
        self.predicted: dict[Any, int] = {}
        self.rank: dict[Any, int] = {}
        self.previous: Any = None
        self.majority: Any = None

    def update(self, y_true: Any, y_pred: Any, p_true: float | None, interval: object) -> None:
        if y_pred is not None:
            self._score(y_true, y_pred)
            self.confusion.update(y_true, y_pred)
        if p_true is not None and p_true == p_true:
            self.n_judged += 1
            self.loss -= math.log(min(max(p_true, _LEAST), 1.0))
        count = self.labels.get(y_true, 0) + 1
        self.labels[y_true] = count
        rank = self.rank.setdefault(y_true, len(self.rank))
        lead = self.labels[self.majority] if self.majority is not None else 0
        if count > lead or (count == lead and rank < self.rank[self.majority]):
            self.majority = y_true
        self.previous = y_true

    def _score(self, y_true: Any, y_pred: Any) -> None:
        hit = bool(y_true == y_pred)
        self.n += 1
        self.n_hits += hit
        self.n_repeats += bool(y_true == self.previous)
        self.n_majority += bool(y_true == self.majority)
        if len(self.recent) == self.recent.maxlen:
            self.n_recent -= self.recent[0]
        self.recent.append(hit)
        self.n_recent += hit
        self.faded = self.fading * self.faded + hit
        self.weight = self.fading * self.weight + 1.0
        self.agreement += self.predicted.get(y_true, 0)
        self.true[y_true] = self.true.get(y_true, 0) + 1
        self.agreement += self.true.get(y_pred, 0)
        self.predicted[y_pred] = self.predicted.get(y_pred, 0) + 1

    def report(self) -> dict[str, float]:
        n = self.n or math.nan
        accuracy = self.n_hits / n
        repeats = self.n_repeats / n
        majority = self.n_majority / n
        return {
            "accuracy": accuracy,
            "kappa": above(accuracy, self.agreement / n**2) if self.n else math.nan,
            "kappa_m": above(accuracy, majority) if self.n else math.nan,
            "kappa_t": above(accuracy, repeats) if self.n else math.nan,
            "no_change_accuracy": repeats,
            "majority_accuracy": majority,
            "window_accuracy": self.n_recent / (len(self.recent) or math.nan),
            "fading_accuracy": self.faded / (self.weight or math.nan),
            "log_loss": self.loss / (self.n_judged or math.nan),
        }

    def classes(self) -> dict[str, object]:
        return {"per_class": self.confusion.per_class(), "confusion": self.confusion.matrix()}

    def export(self) -> dict[str, Any]:
        labels = [[plain(label), n, self.true.get(label, 0)] for label, n in self.labels.items()]
        return {
            "labels": labels,
            "predicted": [[plain(label), n] for label, n in self.predicted.items()],
            "previous": plain(self.previous),
            "majority": plain(self.majority),
            "recent": [int(hit) for hit in self.recent],
            "judged": [self.n_judged, self.loss],
            "confusion": self.confusion.export_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.labels = {label: n for label, n, _ in state["labels"]}
        self.true = {label: n for label, _, n in state["labels"] if n}
        self.predicted = dict(state["predicted"])
        self.rank = {label: i for i, label in enumerate(self.labels)}
        self.previous = state["previous"]
        self.majority = state["majority"]
        if self.majority is not None and self.majority not in self.labels:
            raise ValueError(f"the most frequent label is {self.majority!r}, which never came")
        self.recent.extend(bool(hit) for hit in state["recent"])
        self.n_judged, self.loss = state.get(
            "judged", (0, 0.0)
        )  # an older checkpoint has neither: they begin anew
        if "confusion" in state:
            self.confusion.restore_state(state["confusion"])


class _Errors:
    """Sums of the errors of a regression, of the labels' variance, and of the error of repeating the last value."""

    scalars = (
        "n",
        "absolute",
        "squared",
        "mean",
        "spread",
        "n_repeats",
        "repeats",
        "previous",
        "faded",
        "weight",
    )

    def __init__(self, window: int, fading: float) -> None:
        self.n = self.n_repeats = 0
        self.n_bounded = self.n_inside = (
            0  # rows with an interval, and of these with the label inside
        )
        self.absolute = self.squared = self.mean = self.spread = self.repeats = 0.0
        self.faded = self.weight = 0.0
        self.fading = fading
        self.previous: float | None = None
        self.recent: deque[float] = deque(maxlen=window)

    def update(
        self, y_true: Any, y_pred: Any, p_true: object, interval: tuple[float, float] | None
    ) -> None:
        truth = require_number("y_true", y_true)
        if y_pred is not None:
            self._score(truth, truth - require_number("y_pred", y_pred))
            if interval is not None and math.isfinite(interval[0]) and math.isfinite(interval[1]):
                self.n_bounded += 1
                self.n_inside += interval[0] <= truth <= interval[1]
        self.previous = truth

    def _score(self, truth: float, error: float) -> None:
        self.n += 1
        self.absolute += abs(error)
        self.squared += error * error
        deviation = (
            truth - self.mean
        )  # Welford's update: no cancellation when labels are far from 0
        self.mean += deviation / self.n
        self.spread += deviation * (truth - self.mean)
        if self.previous is not None:
            self.n_repeats += 1
            self.repeats += abs(truth - self.previous)
        self.recent.append(abs(error))
        self.faded = self.fading * self.faded + abs(error)
        self.weight = self.fading * self.weight + 1.0

    def report(self) -> dict[str, float]:
        n = self.n or math.nan
        return {
            "mae": self.absolute / n,
            "rmse": math.sqrt(self.squared / n),
            "r2": 1.0 - self.squared / self.spread if self.spread > 0.0 else math.nan,
            "no_change_mae": self.repeats / (self.n_repeats or math.nan),
            "window_mae": math.fsum(self.recent) / (len(self.recent) or math.nan),
            "fading_mae": self.faded / (self.weight or math.nan),
            "interval_coverage": self.n_inside / (self.n_bounded or math.nan),
        }

    def classes(self) -> dict[str, object]:
        return {}

    def export(self) -> dict[str, Any]:
        return {"recent": list(self.recent), "bounded": [self.n_bounded, self.n_inside]}

    def restore(self, state: Mapping[str, Any]) -> None:
        if not isinstance(self.previous, int | float | None):
            raise ValueError(f"the last label is {self.previous!r}; allowed is a number")
        self.recent.extend(state["recent"])
        self.n_bounded, self.n_inside = state.get(
            "bounded", (0, 0)
        )  # an older checkpoint has none: they begin anew
