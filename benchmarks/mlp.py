"""A compiled ReLU network with one hidden layer, trained by backpropagation.

It is the strongest of the cheap peers: batch size 1, plain SGD, softmax cross-entropy, and running
scaling within the compiled step.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.learner import WIDE, CompiledLearner
from loco_stream._rng import derive_key, normals

__all__ = ["BackpropMLP", "ReplayMLP", "backward", "first_weights", "forward"]


@njit(cache=True)
def _scale(x, n, mean, m2, out):
    """Standardise `x` by running moments after `n` samples; a constant feature gives 0."""
    if mean.size == 0:
        out[:] = x
    for j in range(mean.size):
        spread = np.sqrt(m2[j] / n) if n > 0.0 else 0.0
        out[j] = (x[j] - mean[j]) / spread if spread > 0.0 else 0.0


@njit(cache=True)
def forward(z, w1, b1, w2, b2, hidden, out):
    """Fill `hidden` with ReLU activations and `out` with logits."""
    hidden[:] = b1
    for j in range(z.size):
        if z[j] != 0.0:
            hidden += z[j] * w1[j]
    out[:] = b2
    for i in range(hidden.size):
        if hidden[i] > 0.0:
            out += hidden[i] * w2[i]
        else:
            hidden[i] = 0.0


@njit(cache=True)
def backward(z, target, rate, w1, b1, w2, b2, hidden, out):
    """Take one SGD step on the softmax cross-entropy; `out` turns from logits into gradients."""
    out -= out.max()
    for c in range(out.size):
        out[c] = np.exp(out[c])
    out /= out.sum()
    out[target] -= 1.0
    for i in range(hidden.size):
        if hidden[i] > 0.0:
            delta = 0.0
            for c in range(out.size):
                delta += w2[i, c] * out[c]
                w2[i, c] -= rate * hidden[i] * out[c]
            hidden[i] = delta
    # hidden now holds the error of the active units and 0 elsewhere
    for j in range(z.size):
        if z[j] != 0.0:
            w1[j] -= (rate * z[j]) * hidden
    b1 -= rate * hidden
    b2 -= rate * out


@njit(cache=True)
def _sgd_run(X, y, predict, learn, rate, seen, mean, m2, w1, b1, w2, b2, result):
    """Predict and/or learn each row in order.

    `seen` holds one number, the count of samples learned.
    """
    z = np.empty(X.shape[1])
    hidden = np.empty(b1.size)
    out = np.empty(b2.size)
    for t in range(X.shape[0]):
        if predict:
            _scale(X[t], seen[0], mean, m2, z)
            forward(z, w1, b1, w2, b2, hidden, out)
            result[t] = np.argmax(out) if seen[0] > 0.0 else -1
        if learn:
            seen[0] += 1.0
            for j in range(mean.size):
                step = X[t, j] - mean[j]
                mean[j] += step / seen[0]
                m2[j] += step * (X[t, j] - mean[j])
            _scale(X[t], seen[0], mean, m2, z)
            forward(z, w1, b1, w2, b2, hidden, out)
            backward(z, y[t], rate, w1, b1, w2, b2, hidden, out)


def first_weights(
    n_features: int, n_hidden: int, n_classes: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return input and output weights.

    They are normal with the standard deviation sqrt(2 / (fan-in + fan-out)) (Glorot & Bengio,
    AISTATS 2010).
    """
    draw = normals(derive_key(seed, 0), 0, (n_features + n_classes) * n_hidden)
    w1, w2 = np.split(draw, [n_features * n_hidden])
    return (
        w1.reshape(n_features, n_hidden) * np.sqrt(2.0 / (n_features + n_hidden)),
        w2.reshape(n_hidden, n_classes) * np.sqrt(2.0 / (n_hidden + n_classes)),
    )


class BackpropMLP(CompiledLearner):
    """A ReLU network with one hidden layer, learned sample by sample with backpropagation.

    Parameters
    ----------
    n_features, n_classes
        Widths of input and output; labels are codes 0..n_classes-1.
    n_hidden
        Hidden units.
    learning_rate
        Step of SGD. Over the streams of `benchmarks.data` .03 is best; .05 adapts faster on some.
    standardise
        Scale each feature by its running mean and deviation. None does so up to 256 features; wider
        rows are taken for images with pixels in [0, 1], where standardising would inflate pixels
        that are almost always 0.
    seed
        Draws the first weights.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        n_hidden: int = 64,
        learning_rate: float = 0.05,
        standardise: bool | None = None,
        seed: int = 0,
    ) -> None:
        self.learning_rate = learning_rate
        w1, w2 = first_weights(n_features, n_hidden, n_classes, seed)
        n_scaled = n_features * (n_features <= WIDE if standardise is None else standardise)
        self._state = (
            np.zeros(1),
            np.zeros(n_scaled),
            np.zeros(n_scaled),
            w1,
            np.zeros(n_hidden),
            w2,
            np.zeros(n_classes),
        )

    def _run(
        self,
        X: NDArray[np.float64],
        y: NDArray[np.int64],
        predict: bool,
        learn: bool,
        result: NDArray[np.int64],
    ) -> None:
        _sgd_run(X, y, predict, learn, self.learning_rate, *self._state, result)


class ReplayMLP(BackpropMLP):
    """The same network, which also learns rows that it has kept (experience replay).

    Rows are kept by reservoir sampling, so each row so far is kept with the same probability. With
    every new row, as many kept rows as `n_replayed` are learned once more.

    Parameters
    ----------
    n_features, n_classes
        As for `BackpropMLP`.
    n_kept
        Rows kept.
    n_replayed
        Kept rows learned with each new one.
    seed
        Draws the weights, and the rows that are kept and replayed.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        n_kept: int = 300,
        n_replayed: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(n_features, n_classes, seed=seed)
        self._kept_X = np.zeros((n_kept, n_features))
        self._kept_y = np.zeros(n_kept, np.int64)
        self._n_seen = 0
        self._n_replayed = n_replayed
        self._random = np.random.RandomState(seed)

    def _run(
        self,
        X: NDArray[np.float64],
        y: NDArray[np.int64],
        predict: bool,
        learn: bool,
        result: NDArray[np.int64],
    ) -> None:
        for t in range(len(X)):
            row = slice(t, t + 1)
            super()._run(X[row], y[row], predict, learn, result[row])
            if learn:
                self._replay(X[t], y[t])

    def _replay(self, x: NDArray[np.float64], label: int) -> None:
        """Learn kept rows once more; then a new row may take a place among them."""
        n_kept = min(self._n_seen, len(self._kept_y))
        if n_kept:
            drawn = self._random.randint(n_kept, size=self._n_replayed)
            super()._run(
                self._kept_X[drawn],
                self._kept_y[drawn],
                False,
                True,
                np.zeros(len(drawn), np.int64),
            )
        self._n_seen += 1
        place = self._random.randint(self._n_seen)
        if self._n_seen <= len(self._kept_y):
            place = self._n_seen - 1
        if place < len(self._kept_y):
            self._kept_X[place] = x
            self._kept_y[place] = label
