"""How well the probability of each class ranks the rows: ROC AUC, average precision, recall.

Each class is ranked against all others. Probabilities are counted in 512 bins of log-odds, so that
memory and time per row are bounded; rows in one bin count as ties.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream.numbers import plain

__all__ = ["PRECISION", "Ranking"]

PRECISION = 0.9  # at which the recall is reported

_BINS = 512
_LARGEST = 14.0  # log-odds of the last bin
# Probabilities at which the next bin begins.
_EDGES = [1 / (1 + math.exp(_LARGEST - 2 * _LARGEST * i / (_BINS - 2))) for i in range(_BINS - 1)]
_LABELS = 30  # the first ones are ranked

Counts: TypeAlias = list[list[int]]  # per label, rows per bin
Row: TypeAlias = tuple[int, tuple[int, ...]]  # index of the label, bin of each label


class Ranking:
    """Rows by bin of the probability, for the rows of a label and for all others.

    Parameters
    ----------
    window
        Rows of the windowed scores.

    Examples
    --------
    >>> ranking = Ranking(window=100)
    >>> for label, p in [("ok", 0.1), ("worn", 0.9), ("ok", 0.3), ("worn", 0.2)]:
    ...     ranking.update(label, {"ok": 1 - p, "worn": p})
    >>> ranking.roc_auc(), ranking.per_class()["worn"]["average_precision"]
    (0.75, 0.8333333333333333)
    """

    def __init__(self, window: int = 500) -> None:
        self.window = window
        self._index: dict[Hashable, int] = {}
        self._n = 0
        self._all = _Tables()
        self._recent = _Tables()
        self._rows: deque[Row] = deque()

    def update(self, label: Hashable, proba: Mapping[Any, float]) -> None:
        """Count a row with its probabilities; a class without one has probability 0."""
        known = self._index
        if label not in known and len(known) < _LABELS:
            self._add(label)
        self._count(label, tuple(_bin(proba.get(name, 0.0)) for name in known))

    def _count(self, label: Hashable, bins: tuple[int, ...]) -> None:
        row = (self._index.get(label, -1), bins)
        self._n += 1
        self._all.count(row, 1)
        self._recent.count(row, 1)
        self._rows.append(row)
        if len(self._rows) > self.window:
            self._recent.count(self._rows.popleft(), -1)

    def update_block(
        self,
        labels: Sequence[Hashable],
        proba: NDArray[np.float64],
        classes: Sequence[Hashable],
        known: Sequence[int],
    ) -> None:
        """Count the rows of a block; row i was predicted when `known[i]` classes were known."""
        table = np.searchsorted(_EDGES, proba, side="right").tolist()
        column = {label: j for j, label in enumerate(classes)}
        columns = [column.get(name, -1) for name in self._index]
        for label, bins, n in zip(labels, table, known, strict=True):
            if not n:
                continue
            if label not in self._index and len(self._index) < _LABELS:
                self._add(label)
                columns.append(column.get(label, -1))
            self._count(label, tuple(bins[j] if j >= 0 else _NONE for j in columns))

    def _add(self, label: Hashable) -> None:
        """Add a label, of which all rows before had the probability 0."""
        self._index[label] = len(self._index)
        self._all.add(self._n)
        self._recent.add(len(self._rows))
        self._rows = deque((of, (*bins, _NONE)) for of, bins in self._rows)

    def roc_auc(self) -> float:
        """Return the mean over the classes of the area under the ROC curve."""
        return _mean(self._all.roc_auc(i) for i in self._index.values())

    def window_roc_auc(self) -> float:
        """Return the same over the last rows."""
        return _mean(self._recent.roc_auc(i) for i in self._index.values())

    def average_precision(self) -> float:
        """Return the mean over the classes of the average precision."""
        return _mean(self._all.precision(i)[0] for i in self._index.values())

    def per_class(self) -> dict[Hashable, dict[str, float]]:
        """Return the scores of each label; NaN while only one kind of rows has come."""
        found = {}
        for label, i in self._index.items():
            average, recall = self._all.precision(i)
            found[label] = {
                "roc_auc": self._all.roc_auc(i),
                "average_precision": average,
                "recall_at_precision": recall,
            }
        return found

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "window": self.window,
            "n": self._n,
            "labels": [plain(label) for label in self._index],
            "own": self._all.own,
            "others": self._all.others,
            "rows": [[of, list(bins)] for of, bins in self._rows],
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_state`."""
        self.window = state["window"]
        self._n = state["n"]
        self._index = {label: i for i, label in enumerate(state["labels"])}
        self._all = _Tables(state["own"], state["others"])
        self._recent = _Tables()
        for _ in self._index:
            self._recent.add(0)
        self._rows = deque((of, tuple(bins)) for of, bins in state["rows"])
        for row in self._rows:
            self._recent.count(row, 1)


class _Tables:
    """Rows by bin: of each label's own rows, and of all others."""

    def __init__(self, own: Counts | None = None, others: Counts | None = None) -> None:
        self.own: Counts = [list(counts) for counts in own or ()]
        self.others: Counts = [list(counts) for counts in others or ()]

    def add(self, n_before: int) -> None:
        """Add a label after `n_before` rows of others."""
        self.own.append([0] * _BINS)
        self.others.append([0] * _BINS)
        self.others[-1][_NONE] = n_before

    def count(self, row: Row, n: int) -> None:
        """Add a row n times."""
        of, bins = row
        for i, at in enumerate(bins):
            (self.own if i == of else self.others)[i][at] += n

    def roc_auc(self, i: int) -> float:
        """Return the probability that a row of the label ranks above another one."""
        own = np.array(self.own[i], np.float64)
        others = np.array(self.others[i], np.float64)
        pairs = own.sum() * others.sum()
        if not pairs:
            return math.nan
        below = others.cumsum() - others
        return float((own * (below + 0.5 * others)).sum() / pairs)

    def precision(self, i: int) -> tuple[float, float]:
        """Return the average precision, and the recall at the precision `PRECISION`."""
        hits = np.array(self.own[i], np.float64)[::-1].cumsum()
        total = hits + np.array(self.others[i], np.float64)[::-1].cumsum()
        if not hits[-1]:
            return math.nan, math.nan
        precision = hits / np.maximum(total, 1.0)
        recall = hits / hits[-1]
        average = float((np.diff(recall, prepend=0.0) * precision).sum())
        reached = recall[(precision >= PRECISION) & (total > 0)]
        return average, float(reached.max(initial=0.0))


def _bin(p: float) -> int:
    """Return the bin of a probability."""
    return bisect_right(_EDGES, p)


_NONE = _bin(0.0)


def _mean(values: Any) -> float:
    measured = [value for value in values if value == value]
    return sum(measured) / len(measured) if measured else math.nan
