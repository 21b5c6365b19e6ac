"""A compiled ReLU network with one hidden layer that predicts values.

It learns by plain SGD on half the squared error with batch size 1, on request with weight decay,
continual backpropagation, or steps that cannot overshoot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.learner import CompiledLearner
from loco_stream._rng import derive_key, draw_bits, uniforms

__all__ = ["MATURE", "UTILITY_KEPT", "NetOptions", "RegressionNet", "first_weights", "replace_unit"]

Floats: TypeAlias = NDArray[np.float64]

UTILITY_KEPT = 0.99  # share of a unit's utility that is kept per row, as published
MATURE = 100.0  # rows before which a new unit is not replaced, as published


@dataclass(frozen=True, slots=True)
class NetOptions:
    """Size and training of a `RegressionNet`.

    Parameters
    ----------
    n_hidden
        Hidden units.
    learning_rate
        Step of SGD.
    decay
        Weight decay (L2): share of each weight that is added to its gradient.
    replaced
        Continual backpropagation: mature units replaced per row and unit.
    bound
        ObGD, the optimizer of streaming-x (Elsayed, Vasan & Mahmood 2024): kappa, by which steps
        are bounded; 0 bounds none. Its published settings are a step of 1 and a bound of 2.
    """

    n_hidden: int = 5
    learning_rate: float = 0.01
    decay: float = 0.0
    replaced: float = 0.0
    bound: float = 0.0


@njit(cache=True)
def replace_unit(unit: int, key: int, drawn: Floats, w1: Floats, b1: Floats, w2: Floats) -> None:
    """Draw the input weights of a unit anew and cut it off from the outputs.

    `drawn` holds the number of random numbers drawn so far.
    """
    limit = np.sqrt(6.0 / w1.shape[0])
    for j in range(w1.shape[0]):
        bits = draw_bits(np.uint64(key), np.uint64(drawn[0]))
        drawn[0] += 1.0
        w1[j, unit] = limit * (2.0 * (np.float64(bits >> np.uint64(11)) * 2.0**-53) - 1.0)
    b1[unit] = 0.0
    w2[unit] = 0.0


@njit(cache=True)
def _forward(x: Floats, w1: Floats, b1: Floats, w2: Floats, b2: Floats, hidden: Floats) -> float:
    """Fill `hidden` with ReLU activations and return the output."""
    hidden[:] = b1
    for j in range(x.size):
        if x[j] != 0.0:
            hidden += x[j] * w1[j]
    for i in range(hidden.size):
        hidden[i] = max(hidden[i], 0.0)
    return float(np.dot(hidden, w2) + b2[0])


@njit(cache=True)
def _overshooting_bound(x: Floats, error: float, w2: Floats, hidden: Floats) -> float:
    """Return the step of ObGD at a bound of 1, without traces.

    It is one over the error, or 1 if that is larger, times the L1 norm of the output's gradient.
    """
    of_unit = 1.0 + np.abs(x).sum()
    norm = 1.0
    for i in range(hidden.size):
        if hidden[i] > 0.0:
            norm += hidden[i] + np.abs(w2[i]) * of_unit
    return float(1.0 / (max(abs(error), 1.0) * norm))


@njit(cache=True)
def _backward(
    x: Floats,
    error: float,
    rates: Floats,
    w1: Floats,
    b1: Floats,
    w2: Floats,
    b2: Floats,
    hidden: Floats,
) -> None:
    """Take one step of SGD; `rates` holds step, share of weights that is kept, and bound or 0."""
    rate = rates[0]
    if rates[2] > 0.0:
        rate = min(rate, _overshooting_bound(x, error, w2, hidden) / rates[2])
    step = rate * error
    for i in range(hidden.size):
        back = step * w2[i] if hidden[i] > 0.0 else 0.0
        w2[i] = rates[1] * w2[i] - step * hidden[i]
        b1[i] -= back
        for j in range(x.size):
            w1[j, i] = rates[1] * w1[j, i] - back * x[j]
    b2[0] -= step


@njit(cache=True)
def _net_run(
    X: Floats,
    y: Floats,
    predict: bool,
    learn: bool,
    key: int,
    rates: Floats,
    replaced: float,
    w1: Floats,
    b1: Floats,
    w2: Floats,
    b2: Floats,
    utility: Floats,
    age: Floats,
    owed: Floats,
    drawn: Floats,
    result: Floats,
) -> None:
    """Predict and/or learn each row in order.

    `utility` and `age` (rows) are of the hidden units. `owed` holds one number, the replacements
    that are due, and `drawn` another, the random numbers drawn for them.
    """
    hidden = np.empty(b1.size)
    for t in range(X.shape[0]):
        output = _forward(X[t], w1, b1, w2, b2, hidden)
        if predict:
            result[t] = output
        if not learn:
            continue
        _backward(X[t], output - y[t], rates, w1, b1, w2, b2, hidden)
        if replaced == 0.0:
            continue
        age += 1.0
        utility *= UTILITY_KEPT
        utility += (1.0 - UTILITY_KEPT) * hidden * np.abs(w2)
        mature = age > MATURE
        owed[0] += replaced * mature.sum()
        if owed[0] >= 1.0:
            lowest = np.argmin(np.where(mature, utility, np.inf))
            replace_unit(lowest, key, drawn, w1, b1, w2)
            utility[lowest] = 0.0
            age[lowest] = 0.0
            owed[0] -= 1.0


def first_weights(n_features: int, n_hidden: int, seed: int) -> tuple[Floats, Floats]:
    """Return input and output weights, uniform within sqrt(6 / fan-in) as He et al. (2015)."""
    draw = 2.0 * uniforms(derive_key(seed, 0), 0, (n_features + 1) * n_hidden) - 1.0
    w1, w2 = np.split(draw, [n_features * n_hidden])
    return (
        np.sqrt(6.0 / n_features) * w1.reshape(n_features, n_hidden),
        np.sqrt(6.0 / n_hidden) * w2,
    )


class RegressionNet(CompiledLearner):
    """A ReLU network with one hidden layer that predicts values, learned row by row.

    Continual backpropagation (Dohare et al. 2024, Nature 632) replaces the mature unit with the
    smallest utility now and then: the running mean of its activation times the size of its outgoing
    weight. A new unit begins with random input weights and no effect on the output.

    Parameters
    ----------
    n_features
        Width of a row. Rows are not scaled.
    options
        Size and training.
    seed
        Draws the first weights and the input weights of replacements.
    """

    unknown = np.nan

    def __init__(self, n_features: int, options: NetOptions, seed: int = 0) -> None:
        n_hidden = options.n_hidden
        w1, w2 = first_weights(n_features, n_hidden, seed)
        step = options.learning_rate
        self._settings = (
            derive_key(seed, 1),
            np.array([step, 1.0 - step * options.decay, options.bound]),
            options.replaced,
        )
        self._state = (
            w1,
            np.zeros(n_hidden),
            w2,
            np.zeros(1),
            np.zeros(n_hidden),
            np.zeros(n_hidden),
            np.zeros(1),
            np.zeros(1),
        )

    def _run(self, X: Floats, y: Floats, predict: bool, learn: bool, result: Floats) -> None:
        _net_run(X, y, predict, learn, *self._settings, *self._state, result)
