"""Confusion matrix, and precision, recall and F1 of each class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import ClassVar, TypedDict

from loco_stream._numbers import plain
from loco_stream.metrics.scores._definition import (
    Interval,
    Label,
    ReportKey,
    Score,
    ScoredRows,
    State,
    Tally,
)

# Labels with counts of their own: at most 101 x 101 numbers, however many labels a stream has.
_KEPT = 100
_SHOWN = 30  # labels of the matrix in a report
_OTHERS = "(others)"


class _Saved(TypedDict):
    labels: list[object]
    pairs: list[tuple[int, int, int]]  # index of the label, index of the prediction, rows


class Confusion(Tally):
    """Rows by label and prediction, counted for the first 100 labels; later ones are pooled.

    Examples
    --------
    >>> confusion = Confusion()
    >>> for label, prediction in [("ok", "ok"), ("ok", "ok"), ("fault", "ok")]:
    ...     confusion.update(label, prediction)
    >>> confusion.matrix()
    {'labels': ['ok', 'fault'], 'matrix': [[2, 0], [1, 0]]}
    >>> confusion.per_class()["fault"]
    {'precision': nan, 'recall': 0.0, 'f1': 0.0, 'support': 1}
    """

    name: ClassVar[str] = "confusion"
    saved: ClassVar[type] = _Saved

    def __init__(self, window: int = 0, fading: float = 1.0) -> None:
        self._index: dict[Hashable, int] = {}
        self._pairs: Counter[tuple[int, int]] = Counter()

    def update(
        self,
        y_true: Label,
        y_pred: Label,
        p_true: float | None = None,
        interval: Interval = None,
    ) -> None:
        """Count a row with that label and prediction; without a prediction, nothing."""
        if y_pred is None:
            return
        known = self._index
        try:
            pair = (known[y_true], known[y_pred])
        except KeyError:
            pair = (self._index_of(y_true), self._index_of(y_pred))
        self._pairs[pair] += 1

    def update_many(self, rows: ScoredRows) -> None:
        """Count rows in order."""
        known = self._index
        pairs = zip(rows.y_true, rows.y_pred, strict=True)
        # in the order of first sight, which is that of the labels' numbers
        for (y_true, y_pred), n in Counter(pairs).items():
            if y_pred is None:
                continue
            if y_true not in known or y_pred not in known:
                pair = (self._index_of(y_true), self._index_of(y_pred))
            else:
                pair = (known[y_true], known[y_pred])
            self._pairs[pair] += n

    def _index_of(self, label: Hashable) -> int:
        """Return the index of a label, a new one while there is room."""
        if len(self._index) < _KEPT:
            return self._index.setdefault(label, len(self._index))
        return self._index.get(label, _KEPT)

    @property
    def labels(self) -> Sequence[Label]:
        """The labels with counts of their own, in the order of `per_class`."""
        return [*self._index]

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and support (rows) of each label, by the label's text.

        Precision is NaN for a label that was never predicted, recall for one that never came.
        """
        labelled, predicted = self._sums()
        scores = {}
        for name, i in zip(_texts([*self._index]), self._index.values(), strict=True):
            hits = self._pairs[i, i]
            support = labelled[i]
            scores[name] = {
                "precision": hits / predicted[i] if predicted[i] else math.nan,
                "recall": hits / support if support else math.nan,
                "f1": 2.0 * hits / ((predicted[i] + support) or math.nan),
                "support": support,
            }
        return scores

    def matrix(self) -> dict[str, object]:
        """Return the labels as texts, and rows by label (rows of the matrix) and prediction.

        Labels after the first 30 are pooled.
        """
        labels = _texts([*self._index])[:_SHOWN]
        n = len(labels) + any(max(pair) >= _SHOWN for pair in self._pairs)
        table = [[0] * n for _ in range(n)]
        for (true, predicted), count in self._pairs.items():
            table[min(true, _SHOWN)][min(predicted, _SHOWN)] += count
        return {"labels": [*labels, _OTHERS][:n], "matrix": table}

    def _sums(self) -> tuple[Counter[int], Counter[int]]:
        """Return the rows of each label, and how often each was predicted."""
        labelled = Counter[int]()
        predictions = Counter[int]()
        for (true, predicted), count in self._pairs.items():
            labelled[true] += count
            predictions[predicted] += count
        return labelled, predictions

    def export_state(self) -> State:
        """Return the counters as plain values."""
        pairs = [[true, predicted, count] for (true, predicted), count in self._pairs.items()]
        return {"labels": [plain(label) for label in self._index], "pairs": pairs}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._index = {label: index for index, label in enumerate(state["labels"])}
        self._pairs = Counter(
            {(true, predicted): count for true, predicted, count in state["pairs"]}
        )
        known = {*self._index.values(), _KEPT}
        if any(index not in known for pair in self._pairs for index in pair):
            raise ValueError("a pair of label and prediction has a label that is not there")


def _texts(labels: Sequence[Hashable]) -> list[str]:
    """Return a distinct text for each label; 1 and "1" have the same `str`."""
    texts: list[str] = []
    for index, label in enumerate(labels):
        texts.append(f"{label!r} #{index}" if str(label) in texts else str(label))
    return texts


PER_CLASS = Score(
    ReportKey(
        "per_class",
        "precision, recall, F1 and rows of each of the first 100 labels; of the first 30 also "
        "ROC AUC, average precision, and the recall at the precision `at_precision`, also over the "
        "sliding window",
        "fraction, rows",
        "class",
        "classes",
        problem="classification",
    ),
    Confusion,
    Confusion.per_class,
)
CONFUSION = Score(
    ReportKey(
        "confusion",
        "the first 30 labels, and rows by label (rows) and prediction (columns)",
        "rows",
        kind="value",
        problem="classification",
    ),
    Confusion,
    Confusion.matrix,
)
