"""Signature of a task: the mean input of each class, by which the task is recognised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float64, Int64
from loco_stream._compiler.jit import entry, kernel
from loco_stream._numbers import plain
from loco_stream._persistence.content import Arrays

Label: TypeAlias = Any
Vector: TypeAlias = Float64
Matrix: TypeAlias = Float64

WIDTH = 64  # features compared: evenly spread ones of wider rows
MAX_CLASSES = 64  # classes of one task; later ones count as unknown
# Rows before a signature is compared with: class means of a few rows are far from every row.
_SETTLE = 50
_FAR = 9.0  # squared standard deviations at which the distance of one feature is clipped
_UNKNOWN = 4.0  # distance of a row whose class the signature does not have


def sampled_columns(n_features: int) -> Int64:
    """Return the columns that signatures compare."""
    return np.unique(np.linspace(0, n_features - 1, min(n_features, WIDTH)).astype(np.int64))


class InputScale(NamedTuple):
    """Mean and variance of the compared columns over the whole stream: the unit of distances."""

    n: Vector  # values, without the missing ones
    mean: Vector
    sum: Vector  # of squared deviations
    inverse_variance: Vector

    @classmethod
    def of_width(cls, width: int) -> InputScale:
        """Return the scale before the first row."""
        return cls(*np.zeros((4, width)))


class Signature:
    """Class means of one segment, and the distances of its own rows from them.

    Rows of the same task are as close to the mean of their class as the task's own rows were, and
    as often closest to it (nearest-class-mean; Mensink et al., PAMI 2013). No row is stored.
    """

    def __init__(self, width: int) -> None:
        self.labels: dict[Label, int] = {}
        self.counts = np.zeros(1)
        self.means = np.zeros((1, width))
        # rows taken; rows compared, the sum of their distances, and those whose nearest class was
        # their label
        self.totals = np.zeros(4)

    @property
    def n(self) -> int:
        """Rows taken."""
        return int(self.totals[0])

    def compare(self, values: Vector, y: Label, scale: InputScale) -> tuple[float, bool]:
        """Return the squared distance to the mean of class `y`, and whether no other is closer."""
        slot = self.labels.get(y, -1)
        if slot < 0:
            return _UNKNOWN, False
        distance, nearest = _compare_row(
            values, self.means, self.counts, scale.inverse_variance, slot
        )
        return distance, nearest == slot

    def update(
        self, values: Matrix, y: Sequence[Label], scale: InputScale, reference: Signature
    ) -> None:
        """Take rows in order: each into the scale, then into the mean of its class.

        Between the two it is compared with the means of `reference`, once these are settled.
        """
        known = reference.labels if reference.n >= _SETTLE else {}
        there = np.array([known.get(label, -1) for label in y])
        if not self.labels.keys() >= set(y):
            for label in y:
                self._slot(label)
        here = np.array([self.labels.get(label, -1) for label in y])
        compared = (reference.means, reference.counts)
        own = (self.means, self.counts, self.totals)
        _take_rows(values, there, here, tuple(scale), compared, own)

    def _slot(self, y: Label) -> int:
        """Return the slot of class `y`, a new one if there is room, or -1."""
        if y in self.labels:
            return self.labels[y]
        return self._add_class(y) if len(self.labels) < MAX_CLASSES else -1

    def _add_class(self, y: Label) -> int:
        slot = self.labels[y] = len(self.labels)
        if slot == len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(slot)])
            self.means = np.concatenate([self.means, np.zeros_like(self.means)])
        return slot

    @property
    def is_informative(self) -> bool:
        """Whether the class means separate classes clearly better than the most frequent label."""
        _, compared, _, nearest = self.totals.tolist()
        others = 1.0 - float(self.counts.max() / self.counts.sum())
        return compared > 0.0 and compared - nearest <= 0.7 * compared * others

    def matches(self, n: int, distance: float, accuracy: float) -> bool:
        """Return whether `n` rows with this mean distance and accuracy may be of this task.

        They may if both are within two standard errors of what its own rows had; for the distance
        the margin is at least a tenth, since means move a little while a stream runs.
        """
        _, compared, total, nearest = self.totals.tolist()
        if compared < _SETTLE:
            return False
        p = (nearest + 1.0) / (compared + 2.0)
        slack = 2.0 * math.sqrt(p * (1.0 - p) * (1.0 / n + 1.0 / compared))
        is_near = distance <= (total / compared) * (1.1 + 1.0 / math.sqrt(n))
        return accuracy >= nearest / compared - slack and is_near

    def merge(self, other: Signature) -> None:
        """Pool with another stretch of the same task."""
        for label, there in other.labels.items():
            here = self._slot(label)
            if here >= 0 and other.counts[there] > 0.0:
                self.counts[here] += other.counts[there]
                weight = other.counts[there] / self.counts[here]
                self.means[here] += (other.means[there] - self.means[here]) * weight
        self.totals += other.totals

    def export_state(self) -> tuple[list[Label], Arrays]:
        """Return the labels, and the state as arrays."""
        arrays = {
            "counts": self.counts.copy(),
            "means": self.means.copy(),
            "totals": self.totals.copy(),
        }
        return [plain(label) for label in self.labels], arrays

    @classmethod
    def restore_state(cls, labels: list[Label], arrays: Mapping[str, Array]) -> Signature:
        """Undo `export_state`."""
        if len(labels) > min(len(arrays["means"]), len(arrays["counts"])):
            raise ValueError(
                f"{len(labels)} labels of a signature have {len(arrays['means'])} means"
            )
        signature = cls(arrays["means"].shape[1])
        signature.labels = {label: slot for slot, label in enumerate(labels)}
        signature.counts = arrays["counts"].copy()
        signature.means = arrays["means"].copy()
        signature.totals = arrays["totals"].copy()
        return signature


@kernel
def _update_scale(values, n, mean, total, inverse_variance):  # type: ignore[no-untyped-def]
    """Update mean, sum of squared deviations and inverse variance with one row.

    All are float64 (width,).
    """
    for j in range(values.size):
        deviation = values[j] - mean[j]
        if not abs(deviation) < math.inf:
            continue
        n[j] += 1.0
        mean[j] += deviation / n[j]
        total[j] += deviation * (values[j] - mean[j])
        inverse_variance[j] = n[j] / total[j] if total[j] > 1e-24 else 0.0


def _compare(values, means, counts, inverse_variance, slot):  # type: ignore[no-untyped-def]
    """Return the mean squared distance to class `slot`, in deviations, and the nearest class.

    `values` and `inverse_variance` are float64 (width,), `means` float64 (classes, width), `counts`
    float64 (classes,), `slot` int64.
    """
    nearest = -1
    least = math.inf
    wanted = 0.0
    for k in range(len(counts)):
        if counts[k] == 0.0:
            continue
        distance = 0.0
        for j in range(values.size):
            difference = values[j] - means[k, j]
            if abs(difference) < math.inf:
                distance += min(_FAR, difference * difference * inverse_variance[j])
        distance /= values.size
        if distance < least:
            nearest = k
            least = distance
        if k == slot:
            wanted = distance
    return wanted, nearest


_distances = kernel(_compare)
_compare_row = entry(_compare)  # from Python


@kernel
def _move_mean(means, slot, values, n, default):  # type: ignore[no-untyped-def]
    """Move the mean of class `slot` (int64) towards `values`; missing values take the default.

    `means` is float64 (classes, width), `values` and `default` float64 (width,), `n` float64.
    """
    for j in range(values.size):
        value = values[j] if abs(values[j]) < math.inf else default[j]
        means[slot, j] += (value - means[slot, j]) / n


@kernel
def _count_distance(  # type: ignore[no-untyped-def]
    row, means, counts, inverse_variance, slot, totals
):
    """Take the distance of a row from the mean of its class into the totals, (4,) float64.

    The other parameters are those of `_compare`.
    """
    distance, nearest = _distances(row, means, counts, inverse_variance, slot)
    totals[1] += 1.0
    totals[2] += distance
    totals[3] += nearest == slot


@entry
def _take_rows(values, there, here, scale, compared, own):  # type: ignore[no-untyped-def]
    """Take rows into the scale and the means of their classes.

    Parameters
    ----------
    values
        (n, width) float64.
    there, here
        (n,) int64: slots of the classes in the signature that rows are compared with, and in their
        own; -1 where there is none.
    scale
        An `InputScale` as a plain tuple, which is passed faster.
    compared
        Means and counts of the other signature.
    own
        Means, counts and totals.
    """
    n, mean, total, inverse_variance = scale
    other_means, other_counts = compared
    means, counts, totals = own
    for i in range(len(values)):
        row = values[i]
        _update_scale(row, n, mean, total, inverse_variance)
        if there[i] >= 0:
            _count_distance(row, other_means, other_counts, inverse_variance, there[i], totals)
        totals[0] += 1.0
        slot = here[i]
        if slot >= 0:
            counts[slot] += 1.0
            _move_mean(means, slot, row, counts[slot], mean)
