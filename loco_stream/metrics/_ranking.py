"""How well the probability of each class ranks the rows: ROC AUC, average precision, recall.

Each class is ranked against all others. Probabilities are counted in 512 bins of log-odds, so that
memory and time per row are bounded; rows in one bin count as ties.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Array, Float64, Int64
from loco_stream._checks import require_type
from loco_stream._numbers import plain
from loco_stream.errors import ConfigError

PRECISION = 0.9  # at which the recall is reported by default

_BINS = 512
_LARGEST = 14.0  # log-odds of the last bin
# Probabilities at which the next bin begins.
_EDGES = np.array(
    [1 / (1 + math.exp(_LARGEST - 2 * _LARGEST * i / (_BINS - 2))) for i in range(_BINS - 1)]
)
_LABELS = 30  # the first ones are ranked
_FADING = 0.999  # weight of a row against the next one, as in the other fading scores
_EPOCH = 1024  # rows, after which the weights start from 1 again and all before are scaled
_TOGETHER = 64  # single rows counted together: one by one would cost several times as much

# One row of numbers per row of the stream: index of the label, then the bin of each label.
Rows: TypeAlias = NDArray[np.int16]
Bins: TypeAlias = Int64


class Ranking:
    """Rows by bin of the probability, for the rows of a label and for all others.

    window: rows of the windowed scores
    at_precision: precision at which the recall is reported, above 0 and up to 1

    Examples
    --------
    >>> ranking = Ranking(window=100)
    >>> for label, p in [("ok", 0.1), ("worn", 0.9), ("ok", 0.3), ("worn", 0.2)]:
    ...     ranking.update(label, {"ok": 1 - p, "worn": p})
    >>> ranking.means()["roc_auc"], ranking.per_class()["worn"]["average_precision"]
    (0.75, 0.8333333333333333)
    """

    def __init__(self, window: int = 500, at_precision: float = PRECISION) -> None:
        at_precision = require_type("at_precision", at_precision, "float")
        if not 0.0 < at_precision <= 1.0:
            raise ConfigError(
                f"`at_precision` must be above 0 and not above 1, got {at_precision!r}"
            )
        self.window = window
        self._at_precision = at_precision
        self._index: dict[Hashable, int] = {}
        self._n = 0
        self._all = _Tables()
        self._recent = _Tables()
        self._faded = _Tables(np.float64)  # a row weighs more than those before it
        self._rows = _LastRows(window)
        self._waiting: list[tuple[Hashable, Mapping[Any, float]]] = []

    def update(self, label: Hashable, proba: Mapping[Any, float]) -> None:
        """Count a row; a class that `proba` lacks has probability 0."""
        self._waiting.append((label, proba))
        if len(self._waiting) >= _TOGETHER:
            self._count_waiting()

    def _count_waiting(self) -> None:
        """Count the rows that came one by one."""
        if not self._waiting:
            return
        labels = [label for label, _ in self._waiting]
        names = list(dict.fromkeys([*self._index, *labels]))
        proba = np.array([[p.get(name, 0.0) for name in names] for _, p in self._waiting])
        self._waiting = []
        self._count_block(labels, _bins(proba), names)

    def update_block(
        self,
        labels: Sequence[Hashable],
        proba: Float64,
        classes: Sequence[Hashable],
        known: Sequence[int],
    ) -> None:
        """Count the rows of a block; row i was predicted when `known[i]` classes were known."""
        self._count_waiting()
        bins = _bins(proba)
        if not all(known):
            ranked = [i for i, n in enumerate(known) if n]
            bins = bins[ranked]
            labels = [labels[i] for i in ranked]
        self._count_block(labels, bins, classes)

    def _count_block(
        self, labels: Sequence[Hashable], bins: Bins, classes: Sequence[Hashable]
    ) -> None:
        begin = 0
        is_new = len(self._index) < _LABELS and not self._index.keys() >= set(labels)
        for i, label in enumerate(labels if is_new else ()):
            if label not in self._index and len(self._index) < _LABELS:
                self._count(labels[begin:i], bins[begin:i], classes)
                self._add(label)
                begin = i
        self._count(labels[begin:], bins[begin:], classes)

    def _count(self, labels: Sequence[Hashable], bins: Bins, classes: Sequence[Hashable]) -> None:
        """Count rows whose labels are known, as far as there is room for labels."""
        if not labels:
            return
        rows = self._numbered(labels, bins, classes)
        places = _places(rows)
        self._fade(places.reshape(len(labels), -1))
        self._n += len(labels)
        self._all.count(places, 1)
        self._recent.count(places, 1)
        self._recent.count(_places(self._rows.push(rows)), -1)

    def _fade(self, places: Bins) -> None:
        """Count rows in the fading tables, one line of places per row."""
        begin = 0
        while begin < len(places):
            age = (self._n + begin) % _EPOCH
            if age == 0:
                self._faded.scale(_FADING**_EPOCH)
            part = places[begin : begin + _EPOCH - age]
            weights = _FADING ** -np.arange(age, age + len(part), dtype=np.float64)
            self._faded.count(part.ravel(), np.repeat(weights, part.shape[1]))
            begin += len(part)

    def _numbered(
        self, labels: Sequence[Hashable], bins: Bins, classes: Sequence[Hashable]
    ) -> Rows:
        """Return rows whose bins have one column per class, with one per ranked label."""
        column = {label: j for j, label in enumerate(classes)}
        rows = np.full((len(labels), 1 + len(self._index)), _NONE, np.int16)
        rows[:, 0] = [self._index.get(label, -1) for label in labels]
        for i, name in enumerate(self._index, 1):
            if name in column:
                rows[:, i] = bins[:, column[name]]
        return rows

    def _add(self, label: Hashable) -> None:
        """Add a label, of which all rows before had the probability 0."""
        self._index[label] = len(self._index)
        self._all.add(self._n)
        self._recent.add(len(self._rows.rows))
        self._faded.add(self._faded.weight())
        self._rows.add_column(_NONE)

    def means(self) -> dict[str, float]:
        """Return the mean over the classes of each score: of all rows, the window, and fading."""
        self._count_waiting()
        tables = {"": self._all, "window_": self._recent, "fading_": self._faded}
        labels = self._index.values()
        scores = {}
        for kind, table in tables.items():
            scores[f"{kind}roc_auc"] = _mean(map(table.roc_auc, labels))
        for kind, table in tables.items():
            scores[f"{kind}average_precision"] = _mean(map(table.average_precision, labels))
        return scores

    def per_class(self) -> dict[Hashable, dict[str, float]]:
        """Return the scores of each label; NaN while only one kind of rows has come."""
        self._count_waiting()
        scores = {}
        for label, i in self._index.items():
            scores[label] = {
                "roc_auc": self._all.roc_auc(i),
                "average_precision": self._all.average_precision(i),
                "recall_at_precision": self._all.recall_at(i, self._at_precision),
                "window_recall_at_precision": self._recent.recall_at(i, self._at_precision),
                "fading_recall_at_precision": self._faded.recall_at(i, self._at_precision),
            }
        return scores

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        self._count_waiting()
        return {
            "window": self.window,
            "n": self._n,
            "labels": [plain(label) for label in self._index],
            "own": self._all.own.tolist(),
            "others": self._all.others.tolist(),
            "rows": [[of, bins] for of, *bins in self._rows.rows.tolist()],
            "faded": self._faded.items(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_state`.

        Nothing is changed if the state is damaged: a run that cannot be resumed still reports.
        """
        index = {label: i for i, label in enumerate(state["labels"])}
        every = _Tables(np.int64, state["own"], state["others"])
        faded = _no_rows(np.float64, len(index))
        for place, weight in state["faded"]:
            faded.count(np.array([place]), weight)
        rows = np.array([[of, *bins] for of, bins in state["rows"]], np.int16)
        rows = rows.reshape(-1, 1 + len(index))
        last = _LastRows(state["window"], len(index))
        last.push(rows)
        recent = _no_rows(np.int64, len(index))
        recent.count(_places(rows), 1)
        self.window = state["window"]
        self._n = state["n"]
        self._index = index
        self._all = every
        self._faded = faded
        self._recent = recent
        self._rows = last
        self._waiting = []


class _LastRows:
    """The last `window` rows, in the part of a buffer that moves on."""

    def __init__(self, window: int, n_labels: int = 0) -> None:
        self._window = window
        self._buffer: Rows = np.zeros((0, 1 + n_labels), np.int16)
        self._begin = 0
        self._end = 0

    @property
    def rows(self) -> Rows:
        """The rows in order, (n, 1 + labels)."""
        return self._buffer[self._begin : self._end]

    def push(self, rows: Rows) -> Rows:
        """Append rows; return those that leave the window, until the next call."""
        if self._end + len(rows) > len(self._buffer):
            self._make_room(len(rows))
        self._buffer[self._end : self._end + len(rows)] = rows
        self._end += len(rows)
        left = self.rows[: max(0, self._end - self._begin - self._window)]
        self._begin += len(left)
        return left

    def _make_room(self, n: int) -> None:
        """Move the rows into a new buffer, so long that they are copied once per window."""
        kept = self.rows
        self._buffer = np.zeros((2 * (len(kept) + n), kept.shape[1]), np.int16)
        self._buffer[: len(kept)] = kept
        self._begin = 0
        self._end = len(kept)

    def add_column(self, value: int) -> None:
        """Append a column with the same value in each row."""
        self._buffer = np.pad(self._buffer, ((0, 0), (0, 1)), constant_values=value)


class _Tables:
    """Rows by bin: of each label's own rows, and of all others."""

    def __init__(
        self, dtype: type = np.int64, own: Sequence[Any] = (), others: Sequence[Any] = ()
    ) -> None:
        tables: Array = np.array([others, own], dtype).reshape(2, -1, _BINS)
        self._counts = np.ascontiguousarray(tables.swapaxes(0, 1))  # (labels, others or own, bins)

    @property
    def own(self) -> Bins:
        """Rows of each label, (labels, bins)."""
        return self._counts[:, 1]

    @property
    def others(self) -> Bins:
        """Rows of other labels, (labels, bins)."""
        return self._counts[:, 0]

    def add(self, n_before: float) -> None:
        """Add a label after `n_before` rows of others."""
        empty = np.zeros((1, 2, _BINS), self._counts.dtype)
        self._counts = np.concatenate([self._counts, empty])
        self._counts[-1, 0, _NONE] = n_before

    def weight(self) -> float:
        """Return the sum of the weights of all rows; 0 without a label."""
        return float(self._counts[:1].sum())

    def scale(self, factor: float) -> None:
        """Multiply the weights of all rows."""
        self._counts *= factor

    def items(self) -> list[tuple[int, float]]:
        """Return the places that are not empty, and what they hold."""
        flat = self._counts.reshape(-1)
        places = np.flatnonzero(flat)
        return list(zip(places.tolist(), flat[places].tolist(), strict=True))

    def count(self, places: Bins, n: int | float | Float64) -> None:
        """Add rows n times."""
        if isinstance(n, int):
            flat = n * np.bincount(places, minlength=self._counts.size)
            self._counts += flat.reshape(self._counts.shape)
        else:
            np.add.at(self._counts.reshape(-1), places, n)

    def roc_auc(self, i: int) -> float:
        """Return the probability that a row of the label ranks above another one."""
        own = np.array(self.own[i], np.float64)
        others = np.array(self.others[i], np.float64)
        pairs = own.sum() * others.sum()
        if not pairs:
            return math.nan
        below = others.cumsum() - others
        return float((own * (below + 0.5 * others)).sum() / pairs)

    def average_precision(self, i: int) -> float:
        """Return the mean precision over the recall; NaN without a row of the label."""
        precision, recall = self._precision_recall(i)
        return float((np.diff(recall, prepend=0.0) * precision).sum())

    def recall_at(self, i: int, least: float) -> float:
        """Return the largest recall at a precision of `least` or more; NaN without a row."""
        precision, recall = self._precision_recall(i)
        if recall[-1] != recall[-1]:
            return math.nan
        return float(recall[precision >= least].max(initial=0.0))

    def _precision_recall(self, i: int) -> tuple[Float64, Float64]:
        """Return precision and recall by the lowest bin that counts as the label, (bins,)."""
        hits = np.array(self.own[i], np.float64)[::-1].cumsum()
        total = hits + np.array(self.others[i], np.float64)[::-1].cumsum()
        recall = hits / hits[-1] if hits[-1] else np.full(len(hits), math.nan)
        return hits / np.maximum(total, 1.0), recall


def _no_rows(dtype: type, n_labels: int) -> _Tables:
    """Return tables of so many labels without a row."""
    tables = _Tables(dtype)
    for _ in range(n_labels):
        tables.add(0.0)
    return tables


def _bins(proba: Float64) -> Bins:
    """Return the bin of each probability."""
    bins: Bins = np.searchsorted(_EDGES, proba, side="right")
    return bins


_NONE = int(_bins(np.zeros(1))[0])


def _places(rows: Rows) -> Bins:
    """Return where rows are counted in tables (labels, others or own, bins), as one line."""
    labels = np.arange(rows.shape[1] - 1)
    is_own = rows[:, :1] == labels
    places: Bins = ((2 * labels + is_own) * _BINS + rows[:, 1:]).ravel()
    return places


def _mean(values: Any) -> float:
    measured = [value for value in values if value == value]
    return sum(measured) / len(measured) if measured else math.nan
