"""Which labels are found, and what they are taken for.

Counts of label and answer, from which all of it follows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

__all__ = ["Confusion", "plain"]

# labels with counts of their own: at most 101 x 101 numbers, however many labels a stream has
_KEPT = 100
_SHOWN = 30  # labels of the matrix in a report
_OTHERS = "(others)"


class Confusion:
    """Rows by label and answer, counted for the first 100 labels.

    Those that come later are one, "(others)".

    Examples
    --------
    >>> confusion = Confusion()
    >>> for label, answer in [("ok", "ok"), ("ok", "ok"), ("fault", "ok")]:
    ...     confusion.update(label, answer)
    >>> confusion.matrix()
    {'labels': ['ok', 'fault'], 'matrix': [[2, 0], [1, 0]]}
    >>> confusion.per_class()["fault"]
    {'precision': nan, 'recall': 0.0, 'f1': 0.0, 'support': 1}
    """

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}
        self._pairs: Counter[tuple[int, int]] = Counter()

    def update(self, y_true: Hashable, y_pred: Hashable) -> None:
        """Count a row of that label and answer."""
        self._pairs[self._place(y_true), self._place(y_pred)] += 1

    def _place(self, label: Hashable) -> int:
        place = self._places.get(label)
        if place is None:
            place = len(self._places)
            if place >= _KEPT:
                return _KEPT
            self._places[label] = place
        return place

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and support (rows) of each label by its text.

        Precision is NaN of a label that was never the answer, recall of one that never came.
        """
        rows, answers = self._sums()
        scores = {}
        for name, place in zip(_texts([*self._places]), self._places.values(), strict=True):
            hits = self._pairs[place, place]
            support = rows[place]
            named = answers[place]
            scores[name] = {
                "precision": hits / named if named else math.nan,
                "recall": hits / support if support else math.nan,
                "f1": 2.0 * hits / ((named + support) or math.nan),
                "support": support,
            }
        return scores

    def matrix(self) -> dict[str, object]:
        """Return the labels as texts, and rows by label (lines) and answer (columns).

        All beyond 30 labels are one.
        """
        labels = _texts([*self._places])[:_SHOWN]
        n = len(labels) + any(max(pair) >= _SHOWN for pair in self._pairs)
        table = [[0] * n for _ in range(n)]
        for (true, predicted), count in self._pairs.items():
            table[min(true, _SHOWN)][min(predicted, _SHOWN)] += count
        return {"labels": [*labels, _OTHERS][:n], "matrix": table}

    def _sums(self) -> tuple[Counter[int], Counter[int]]:
        """Return the rows of each label, and how often each was the answer."""
        rows = Counter[int]()
        answers = Counter[int]()
        for (true, predicted), count in self._pairs.items():
            rows[true] += count
            answers[predicted] += count
        return rows, answers

    def export_state(self) -> dict[str, object]:
        """Return everything counted as plain values."""
        return {
            "labels": [plain(label) for label in self._places],
            "pairs": [[true, predicted, count] for (true, predicted), count in self._pairs.items()],
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_state`."""
        self._places = {label: place for place, label in enumerate(state["labels"])}
        self._pairs = Counter(
            {(true, predicted): count for true, predicted, count in state["pairs"]}
        )
        places = {*self._places.values(), _KEPT}
        if any(place not in places for pair in self._pairs for place in pair):
            raise ValueError("a pair of label and answer is of a label that is not there")


def _texts(labels: Sequence[Hashable]) -> list[str]:
    """Return a text for each label; 1 and "1", which have the same, are told apart."""
    texts: list[str] = []
    for place, label in enumerate(labels):
        texts.append(f"{label!r} #{place}" if str(label) in texts else str(label))
    return texts


def plain(label: Any) -> Any:
    """Return a label as a plain Python value: numpy scalars do not fit into JSON."""
    return label.item() if hasattr(label, "item") else label
