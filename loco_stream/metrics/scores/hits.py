"""Accuracy, kappas, and the accuracies of the two trivial predictors."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import ClassVar, TypedDict

from loco_stream._numbers import plain
from loco_stream.metrics._stream import relative_gain
from loco_stream.metrics.scores._definition import (
    Interval,
    Label,
    ReportKey,
    Score,
    ScoredRows,
    State,
    Tally,
)


class _HitCounts(TypedDict):
    n: int
    n_correct: int
    n_no_change_correct: int
    n_majority_correct: int
    n_recent_correct: int
    agreement: int
    fading_sum: float
    fading_weight: float


class _Saved(_HitCounts):
    labels: list[tuple[object, int, int]]  # label, times seen, times scored
    predicted: list[tuple[object, int]]
    previous: object
    majority: object
    recent: list[bool | int]


class Hits(Tally):
    """Counts of correct predictions, and of those of the no-change and the majority predictor."""

    name: ClassVar[str] = "hits"
    saved: ClassVar[type] = _Saved
    counters = tuple(_HitCounts.__annotations__)

    def __init__(self, window: int, fading: float) -> None:
        self.n = 0
        self.n_correct = 0
        self.n_no_change_correct = 0
        self.n_majority_correct = 0
        self.n_recent_correct = 0
        # sum over classes of (times it was the label) x (times it was predicted)
        self.agreement = 0
        self.fading_sum = 0.0
        self.fading_weight = 0.0
        self.recent: deque[bool] = deque(maxlen=window)
        self._window = window
        self._fading = fading
        self._seen: dict[Label, int] = {}  # in order of first sight; scored or not
        self._true: dict[Label, int] = {}
        self._predicted: dict[Label, int] = {}
        self._rank: dict[Label, int] = {}
        self._previous: Label = None
        self._majority: Label = None

    def update(
        self, y_true: Label, y_pred: Label, p_true: float | None, interval: Interval
    ) -> None:
        """Count a prediction, then the label; `y_pred` None counts the label alone."""
        self._count((y_true,), (y_pred,))

    def update_many(self, rows: ScoredRows) -> None:
        """Count rows in order."""
        self._count(rows.y_true, rows.y_pred)

    def _count(self, labels: Sequence[Label], predictions: Sequence[Label]) -> None:
        seen = self._seen
        rank = self._rank
        true = self._true
        predicted = self._predicted
        previous = self._previous
        majority = self._majority
        lead = seen[majority] if majority is not None else 0
        agreement = self.agreement
        n_no_change_correct = 0
        n_majority_correct = 0
        hits: list[bool] = []
        for y_true, y_pred in zip(labels, predictions, strict=True):
            if y_pred is not None:
                hits.append(bool(y_true == y_pred))
                if y_true == previous:
                    n_no_change_correct += 1
                if y_true == majority:
                    n_majority_correct += 1
                agreement += predicted.get(y_true, 0)
                true[y_true] = true.get(y_true, 0) + 1
                agreement += true.get(y_pred, 0)
                predicted[y_pred] = predicted.get(y_pred, 0) + 1
            count = seen[y_true] = seen.get(y_true, 0) + 1
            if count == 1:
                rank[y_true] = len(rank)
            if y_true == majority:
                lead = count
            elif count > lead or (count == lead and rank[y_true] < rank[majority]):
                majority = y_true
                lead = count
            previous = y_true
        self.agreement = agreement
        self.n_no_change_correct += n_no_change_correct
        self.n_majority_correct += n_majority_correct
        self._count_hits(hits)
        self._previous = previous
        self._majority = majority

    def _count_hits(self, hits: Sequence[bool]) -> None:
        """Count predictions in order, each correct or not."""
        fading = self._fading
        fading_sum = self.fading_sum
        fading_weight = self.fading_weight
        for hit in hits:
            fading_sum = fading * fading_sum + hit
            fading_weight = fading * fading_weight + 1.0
        self.fading_sum = fading_sum
        self.fading_weight = fading_weight
        self.n += len(hits)
        self.n_correct += sum(hits)
        n_dropped = max(len(self.recent) + len(hits) - self._window, 0)
        self.n_recent_correct -= sum(islice(self.recent, n_dropped))
        self.n_recent_correct += sum(hits[-self._window :])
        self.recent.extend(hits)

    def export_state(self) -> State:
        """Return the counters as plain values."""
        seen = [[plain(label), n, self._true.get(label, 0)] for label, n in self._seen.items()]
        return {
            **super().export_state(),
            "labels": seen,
            "predicted": [[plain(label), n] for label, n in self._predicted.items()],
            "previous": plain(self._previous),
            "majority": plain(self._majority),
            "recent": [int(hit) for hit in self.recent],
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        super().restore_state(state)
        self._seen = {label: seen for label, seen, _ in state["labels"]}
        self._true = {label: scored for label, _, scored in state["labels"] if scored}
        self._predicted = dict(state["predicted"])
        self._rank = {label: rank for rank, label in enumerate(self._seen)}
        self._previous = state["previous"]
        self._majority = state["majority"]
        if self._majority is not None and self._majority not in self._seen:
            raise ValueError(f"the most frequent label is {self._majority!r}, which never came")
        self.recent.extend(bool(hit) for hit in state["recent"])


def _accuracy(hits: Hits) -> float:
    return hits.n_correct / (hits.n or math.nan)


def _no_change_accuracy(hits: Hits) -> float:
    return hits.n_no_change_correct / (hits.n or math.nan)


def _majority_accuracy(hits: Hits) -> float:
    return hits.n_majority_correct / (hits.n or math.nan)


def _kappa(hits: Hits) -> float:
    return relative_gain(_accuracy(hits), hits.agreement / hits.n**2) if hits.n else math.nan


def _kappa_m(hits: Hits) -> float:
    return relative_gain(_accuracy(hits), _majority_accuracy(hits)) if hits.n else math.nan


def _kappa_t(hits: Hits) -> float:
    return relative_gain(_accuracy(hits), _no_change_accuracy(hits)) if hits.n else math.nan


def _window_accuracy(hits: Hits) -> float:
    return hits.n_recent_correct / (len(hits.recent) or math.nan)


def _fading_accuracy(hits: Hits) -> float:
    return hits.fading_sum / (hits.fading_weight or math.nan)


def _key(name: str, description: str, label: str = "") -> ReportKey:
    return ReportKey(
        name,
        description,
        "fraction",
        name,
        problem="classification",
        label=label,
        form="{:.4f}",
    )


# fmt: off
HIT_SCORES = (
    Score(_key("accuracy", "share of correct predictions", "accuracy"),
          Hits, _accuracy, "higher", "overall"),
    Score(_key("kappa", "Cohen's kappa: agreement beyond chance", "kappa"),
          Hits, _kappa, "higher"),
    Score(_key("kappa_m", "gain over predicting the most frequent label; 1 is perfect, 0 no gain",
               "kappa-m (against the most frequent label)"),
          Hits, _kappa_m, "higher"),
    Score(_key("kappa_t", "gain over repeating the previous label; 1 is perfect, 0 no gain",
               "kappa-t (against the previous label)"),
          Hits, _kappa_t, "higher"),
    Score(_key("no_change_accuracy", "accuracy of repeating the previous label",
               "accuracy of repeating the previous label"),
          Hits, _no_change_accuracy, "higher", "baseline"),
    Score(_key("majority_accuracy", "accuracy of predicting the most frequent label so far",
               "accuracy of the most frequent label"),
          Hits, _majority_accuracy, "higher", "baseline"),
    Score(_key("window_accuracy", "accuracy over the last `score_window` rows",
               "accuracy of recent rows"),
          Hits, _window_accuracy, "higher", "window"),
    Score(_key("fading_accuracy", "accuracy with weights that fall by 0.1 % per row of age"),
          Hits, _fading_accuracy, "higher"),
)
# fmt: on
