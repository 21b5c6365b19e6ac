"""What a task looks like, in a few numbers: the mean input of each class.

Enough to recognise it when it returns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import entry
from loco_stream.monitor.arrays import Arrays, plain

__all__ = ["MAX_CLASSES", "Scale", "Signature", "columns_of"]

WIDTH = 64  # features looked at: evenly spread ones if there are more
MAX_CLASSES = 64  # classes of one task that are kept; later ones count as unknown
# samples before a signature judges itself: class means of a few samples are far from everything
_SETTLE = 50
_FAR = 9.0  # squared standard deviations at which one feature stops counting
_UNKNOWN = 4.0  # distance of a sample whose class the signature does not have


def columns_of(n_features: int) -> NDArray[np.int64]:
    """Return the columns that signatures look at."""
    return np.unique(np.linspace(0, n_features - 1, min(n_features, WIDTH)).astype(np.int64))


class Scale:
    """Mean and variance of the chosen columns over the whole stream: the unit of distances."""

    def __init__(self, width: int) -> None:
        self.n = np.zeros(1)
        self.mean = np.zeros(width)
        self.inverse_variance = np.zeros(width)
        self._sum = np.zeros(width)

    def update(self, values: NDArray[np.float64]) -> None:
        """Take one vector (NaN: missing)."""
        _rescale(values, self.n, self.mean, self._sum, self.inverse_variance)

    def export_state(self) -> dict[str, NDArray[np.float64]]:
        """Return all numbers."""
        return {
            "n": self.n,
            "mean": self.mean,
            "sum": self._sum,
            "inverse_variance": self.inverse_variance,
        }

    def restore_state(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Continue from `export_state`."""
        self.n, self.mean = arrays["n"].copy(), arrays["mean"].copy()
        self._sum, self.inverse_variance = arrays["sum"].copy(), arrays["inverse_variance"].copy()


class Signature:
    """Class means of one segment, and how far its own samples are from them.

    A sample of the same task is as near to the mean of its class as the task's own samples were,
    and is nearest to it as often (nearest-class-mean; Mensink et al., PAMI 2013). No sample is
    kept.
    """

    def __init__(self, width: int) -> None:
        self.labels: dict[Any, int] = {}
        self.counts = np.zeros(1)
        self.means = np.zeros((1, width))
        # samples taken, samples judged, sum of the distances of these, times the nearest class was
        # the right one
        self.own = np.zeros(4)

    def compare(self, values: NDArray[np.float64], y: Any, scale: Scale) -> tuple[float, bool]:
        """Return the squared distance to the mean of class `y`, and whether no other class is nearer."""
        slot = self.labels.get(y, -1)
        if slot < 0:
            return _UNKNOWN, False
        distance, nearest = _distances(
            values, self.means, self.counts, scale.inverse_variance, slot
        )
        return distance, nearest == slot

    @property
    def n(self) -> int:
        """Samples taken."""
        return int(self.own[0])

    def update(self, values: NDArray[np.float64], y: Any, scale: Scale, by: Signature) -> None:
        """Take in one sample, after judging it with the means of `by`, once these are of enough samples."""
        known = by.labels.get(y, -1)
        if known >= 0 and by.n >= _SETTLE:
            distance, nearest = _distances(
                values, by.means, by.counts, scale.inverse_variance, known
            )
            self.own[1] += 1.0
            self.own[2] += distance
            self.own[3] += nearest == known
        self.own[0] += 1.0
        slot = self._slot(y)
        if slot >= 0:
            self.counts[slot] += 1.0
            _move(self.means, slot, values, self.counts[slot], scale.mean)

    def _slot(self, y: Any) -> int:
        """Return the slot of class `y`, a new one if there is room, or -1."""
        if y in self.labels:
            return self.labels[y]
        return self._new_class(y) if len(self.labels) < MAX_CLASSES else -1

    def _new_class(self, y: Any) -> int:
        slot = self.labels[y] = len(self.labels)
        if slot == len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(slot)])
            self.means = np.concatenate([self.means, np.zeros_like(self.means)])
        return slot

    @property
    def informative(self) -> bool:
        """Whether the class means tell classes apart clearly better than naming the most frequent one."""
        _, judged, _, right = self.own.tolist()
        return judged > 0.0 and judged - right <= 0.7 * judged * (
            1.0 - float(self.counts.max() / self.counts.sum())
        )

    def matches(self, n: int, distance: float, accuracy: float) -> bool:
        """Return whether `n` samples at this mean distance and accuracy may be of this task.

        Within two standard errors of what its own samples had (at least a tenth of the distance:
        means move a little while a stream runs).
        """
        _, judged, total, right = self.own.tolist()
        if judged < _SETTLE:
            return False
        own_accuracy = right / judged
        own_distance = total / judged
        p = (right + 1.0) / (judged + 2.0)
        slack = 2.0 * math.sqrt(p * (1.0 - p) * (1.0 / n + 1.0 / judged))
        return accuracy >= own_accuracy - slack and distance <= own_distance * (
            1.1 + 1.0 / math.sqrt(n)
        )

    def absorb(self, other: Signature) -> None:
        """Pool with another stretch of the same task."""
        for label, there in other.labels.items():
            here = self._slot(label)
            if here >= 0 and other.counts[there] > 0.0:
                self.counts[here] += other.counts[there]
                self.means[here] += (other.means[there] - self.means[here]) * (
                    other.counts[there] / self.counts[here]
                )
        self.own += other.own

    def export(self) -> tuple[list[Any], Arrays]:
        """Return its labels and its numbers."""
        arrays = {name: getattr(self, name).copy() for name in ("counts", "means", "own")}
        return [plain(label) for label in self.labels], arrays

    @classmethod
    def restore(cls, labels: list[Any], arrays: Mapping[str, NDArray[Any]]) -> Signature:
        """Undo `export`."""
        if len(labels) > min(len(arrays["means"]), len(arrays["counts"])):
            raise ValueError(
                f"{len(labels)} labels of a signature have {len(arrays['means'])} means"
            )
        signature = cls(arrays["means"].shape[1])
        signature.labels = {label: slot for slot, label in enumerate(labels)}
        signature.counts, signature.means, signature.own = (
            arrays[name].copy() for name in ("counts", "means", "own")
        )
        return signature


@entry
def _rescale(values, n, mean, total, inverse_variance):  # type: ignore[no-untyped-def]
    n[0] += 1.0
    for j in range(values.size):
        deviation = values[j] - mean[j]
        if abs(deviation) < math.inf:
            mean[j] += deviation / n[0]
            total[j] += deviation * (values[j] - mean[j])
        inverse_variance[j] = n[0] / total[j] if total[j] > 1e-24 else 0.0


@entry
def _distances(values, means, counts, inverse_variance, slot):  # type: ignore[no-untyped-def]
    """Return the mean squared distance to the mean of `slot`, in deviations, and the nearest class."""
    nearest = -1
    least = math.inf
    asked = 0.0
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
            asked = distance
    return asked, nearest


@entry
def _move(means, slot, values, n, default):  # type: ignore[no-untyped-def]
    for j in range(values.size):
        value = values[j] if abs(values[j]) < math.inf else default[j]
        means[slot, j] += (value - means[slot, j]) / n
