"""A compiled ReLU network with one hidden layer that predicts classes.

It learns by continual backpropagation (Dohare et al. 2024, Nature 632): SGD with batch size 1, and
now and then the mature hidden unit with the smallest utility begins anew.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.learner import CompiledLearner
from benchmarks.mlp import backward, forward
from benchmarks.regression_net import MATURE, UTILITY_KEPT, replace_unit
from loco_stream._rng import derive_key

__all__ = ["ContinualMLP"]

Floats: TypeAlias = NDArray[np.float64]


@njit(cache=True)
def _output_sizes(w2: Floats, sizes: Floats) -> None:
    """Fill `sizes` with the L1 norm of each hidden unit's output weights."""
    for i in range(sizes.size):
        sizes[i] = np.abs(w2[i]).sum()


@njit(cache=True)
def _continual_run(
    X: Floats,
    y: NDArray[np.int64],
    predict: bool,
    learn: bool,
    rates: tuple[float, float],
    key: int,
    weights: tuple[Floats, Floats, Floats, Floats],
    utility: Floats,
    age: Floats,
    counts: Floats,
    result: NDArray[np.int64],
) -> None:
    """Predict and/or learn each row in order.

    `rates` holds the step, and the mature units that are replaced per row and unit. `utility` and
    `age` (rows) are of the hidden units. `counts` holds the random numbers drawn, and the
    replacements that are due.
    """
    w1, b1, w2, b2 = weights
    hidden = np.empty(b1.size)
    sizes = np.empty(b1.size)
    out = np.empty(b2.size)
    for t in range(X.shape[0]):
        forward(X[t], w1, b1, w2, b2, hidden, out)
        if predict:
            result[t] = np.argmax(out)
        if not learn:
            continue
        _output_sizes(w2, sizes)
        utility *= UTILITY_KEPT
        utility += (1.0 - UTILITY_KEPT) * hidden * sizes
        backward(X[t], y[t], rates[0], w1, b1, w2, b2, hidden, out)
        age += 1.0
        mature = age > MATURE
        counts[1] += rates[1] * mature.sum()
        if counts[1] >= 1.0:
            counts[1] -= 1.0
            lowest = np.argmin(np.where(mature, utility, np.inf))
            replace_unit(lowest, key, counts, w1, b1, w2)
            utility[lowest] = 0.0
            age[lowest] = 0.0


class ContinualMLP(CompiledLearner):
    """A ReLU network with one hidden layer, learned row by row by continual backpropagation.

    The utility of a hidden unit is the running mean of its activation times the size of its output
    weights. A new unit has random input weights and no effect on the outputs. Rows are not scaled.

    Parameters
    ----------
    w1, w2
        First weights, (features, hidden) and (hidden, classes); biases begin with 0. Both are
        copied.
    learning_rate
        Step of SGD.
    replaced
        Mature units replaced per row and unit.
    seed
        Draws the input weights of replacements.
    """

    def __init__(
        self, w1: Floats, w2: Floats, learning_rate: float, replaced: float, seed: int = 0
    ) -> None:
        n_hidden, n_classes = w2.shape
        self._state: tuple[Any, ...] = (
            (learning_rate, replaced),
            derive_key(seed, 1),
            (w1.copy(), np.zeros(n_hidden), w2.copy(), np.zeros(n_classes)),
            np.zeros(n_hidden),
            np.zeros(n_hidden),
            np.zeros(2),
        )

    def _run(
        self,
        X: Floats,
        y: NDArray[np.int64],
        predict: bool,
        learn: bool,
        result: NDArray[np.int64],
    ) -> None:
        _continual_run(X, y, predict, learn, *self._state, result)
