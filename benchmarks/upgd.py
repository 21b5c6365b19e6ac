"""A compiled ReLU network with one hidden layer, learned by first-order UPGD.

UPGD, utility-based perturbed gradient descent (Elsayed & Mahmood, ICLR 2024), protects the weights
that the loss would miss, and perturbs the others so that they stay able to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.learner import CompiledLearner

__all__ = ["UPGDClassifier", "UPGDOptions", "UPGDRegressor"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UPGDOptions:
    """Training of a network by UPGD. The defaults, but for the step, are the authors' own.

    Parameters
    ----------
    learning_rate
        Step. A weight without utility takes half of it.
    decay
        Weight decay: share of the step by which each weight shrinks.
    kept
        Share of a weight's utility that is kept per row.
    noise
        Standard deviation of the normal noise that is added to each gradient.
    """

    learning_rate: float = 0.01
    decay: float = 1e-3
    kept: float = 0.999
    noise: float = 1e-3


@njit(cache=True)
def _parts(flat: Floats, n_features: int, n_hidden: int, n_outputs: int) -> Any:
    """Return the input weights, hidden biases, output weights and output biases in a vector."""
    first = n_features * n_hidden
    second = first + n_hidden
    third = second + n_hidden * n_outputs
    return (
        flat[:first].reshape(n_features, n_hidden),
        flat[first:second],
        flat[second:third].reshape(n_hidden, n_outputs),
        flat[third:],
    )


@njit(cache=True)
def _forward(x: Floats, weights: Any, hidden: Floats, out: Floats) -> None:
    """Fill `hidden` with ReLU activations and `out` with outputs."""
    w1, b1, w2, b2 = weights
    hidden[:] = b1
    for j in range(x.size):
        if x[j] != 0.0:
            hidden += x[j] * w1[j]
    out[:] = b2
    for i in range(hidden.size):
        hidden[i] = max(hidden[i], 0.0)
        out += hidden[i] * w2[i]


@njit(cache=True)
def _backward(x: Floats, error: Floats, weights: Any, hidden: Floats, gradients: Any) -> None:
    """Fill the gradients of the loss, whose gradient at the outputs is `error`."""
    g1, back, g2, out = gradients
    out[:] = error
    for i in range(hidden.size):
        g2[i] = hidden[i] * error
        back[i] = np.dot(weights[2][i], error) if hidden[i] > 0.0 else 0.0
    for j in range(x.size):
        g1[j] = x[j] * back


@njit(cache=True)
def _step(
    weights: Floats,
    gradient: Floats,
    utility: Floats,
    settings: tuple[float, float, float, float],
    draw: np.random.Generator,
) -> None:
    """Take a step with noise, for each weight the smaller the larger its utility is.

    The utility is by how much the loss would grow without the weight, to first order: minus the
    product of weight and gradient. All running means are equally old, so that the correction for
    their age cancels out of the ratio to the largest.
    """
    rate, decay, kept, noise = settings
    for i in range(weights.size):
        utility[i] = kept * utility[i] - (1.0 - kept) * gradient[i] * weights[i]
    largest = utility.max()
    scale = 1.0 / largest if largest > 0.0 else 0.0
    for i in range(weights.size):
        gate = 1.0 / (1.0 + np.exp(scale * utility[i]))
        noisy = gradient[i] + noise * draw.standard_normal()
        weights[i] = (1.0 - rate * decay) * weights[i] - rate * gate * noisy


@njit(cache=True)
def _upgd_run(
    X: Floats,
    y: NDArray[Any],
    predict: bool,
    learn: bool,
    classes: bool,
    sizes: tuple[int, int, int],
    settings: tuple[float, float, float, float],
    draw: np.random.Generator,
    weights: Floats,
    utility: Floats,
    result: NDArray[Any],
) -> None:
    """Predict and/or learn each row in order: codes of classes, or values."""
    gradient = np.empty(weights.size)
    in_parts = _parts(weights, *sizes)
    gradients = _parts(gradient, *sizes)
    hidden = np.empty(sizes[1])
    out = np.empty(sizes[2])
    for t in range(X.shape[0]):
        _forward(X[t], in_parts, hidden, out)
        if predict:
            result[t] = np.argmax(out) if classes else out[0]
        if not learn:
            continue
        if classes:  # cross-entropy of the softmax, or half the squared error
            out -= out.max()
            out[:] = np.exp(out)
            out /= out.sum()
            out[int(y[t])] -= 1.0
        else:
            out[0] -= y[t]
        _backward(X[t], out, in_parts, hidden, gradients)
        _step(weights, gradient, utility, settings, draw)


class _UPGDNet(CompiledLearner):
    """A ReLU network with one hidden layer, learned row by row by UPGD.

    Parameters
    ----------
    w1, w2
        First weights, (features, hidden) and (hidden, outputs); biases begin with 0.
    options
        Training.
    seed
        Draws the noise.
    """

    _classes: ClassVar[bool]

    def __init__(self, w1: Floats, w2: Floats, options: UPGDOptions, seed: int = 0) -> None:
        n_hidden, n_outputs = w2.shape
        parts = (w1.ravel(), np.zeros(n_hidden), w2.ravel(), np.zeros(n_outputs))
        weights = np.concatenate(parts)
        self._state = (
            (len(w1), n_hidden, n_outputs),
            (options.learning_rate, options.decay, options.kept, options.noise),
            np.random.default_rng(seed),
            weights,
            np.zeros(weights.size),
        )

    def _run(
        self, X: Floats, y: NDArray[Any], predict: bool, learn: bool, result: NDArray[Any]
    ) -> None:
        _upgd_run(X, y, predict, learn, self._classes, *self._state, result)


class UPGDRegressor(_UPGDNet):
    """A network with one output, half the squared error. Rows are not scaled."""

    unknown = np.nan
    _classes = False


class UPGDClassifier(_UPGDNet):
    """A network with one output per class, cross-entropy of the softmax. Rows are not scaled."""

    _classes = True
