"""The readout: a bank of recursive members that forget at different speeds, each with two losses.

Recursive least squares on traces is orthogonal weight modification on the last layer (Zeng et al.
2019). A member with leak g lets its projector P drift back to the prior: P <- (1 - g)(P - k k' / (1
+ q)) + g p0 I; unlike a forgetting factor this cannot wind up. Without leak it never forgets. A
second set of weights, by log-loss, takes the same step k / (1 + q) along the error of its softmax:
it costs no matrix of its own.

Outputs stand in blocks of `class capacity` columns, one a member and loss: least squares first,
then log-loss.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, weigh_rows
from loco_stream.options import LASTING

__all__ = ["delta_update", "gain", "recursive_update", "write_residual"]

RECENT_SAMPLES = 30  # a leaky member leaves classes alone that it has not seen for so long
LOG_LOSS_STEP = 5.0  # of the log-loss weights: their outputs are log-odds, not shares of one


@kernel
def gain(projector, n_inputs, inputs, first, rows, n_rows, k):
    """Write k = P x and return (x' P x, x' x), with x given as in `weigh_rows`."""
    weigh_rows(k, projector, n_inputs, inputs, first, rows, n_rows)
    q = 0.0
    square = 0.0
    for r in range(n_rows):
        value = np.float64(inputs[first + rows[r]])
        square += value * value
        q += value * np.float64(k[rows[r]])
    return q, square


@kernel
def write_residual(
    target, outputs, column, capacity, last_seen, n_classes, n_seen, leak, n_losses, residual
):
    """Write what a member's outputs lack of the target, for each of its losses.

    A leaky member leaves a class alone that has long been absent: nothing is lacking there.
    `last_seen` is of length 0 in regression.
    """
    top = -math.inf
    total = 0.0
    logits = column + capacity
    if n_losses > 1:
        for c in range(n_classes):
            top = max(top, np.float64(outputs[logits + c]))
        for c in range(n_classes):
            total += math.exp(np.float64(outputs[logits + c]) - top)
    for c in range(n_classes):
        learns = leak < LASTING or last_seen.shape[0] == 0 or n_seen - last_seen[c] < RECENT_SAMPLES
        residual[c] = np.float32(target[c] - outputs[column + c]) if learns else np.float32(0.0)
        if n_losses > 1:
            lack = target[c] - math.exp(np.float64(outputs[logits + c]) - top) / total
            residual[capacity + c] = np.float32(LOG_LOSS_STEP * lack) if learns else np.float32(0.0)


@kernel
def recursive_update(projector, weights, column, n_columns, n_inputs, k, q, leak, prior, residual):
    """One recursive step of the member whose columns start at `column`.

    `residual` (n_columns,) is what they lack.
    """
    scale = np.float32(1.0 / (1.0 + q))
    keep = np.float32(1.0 - leak)
    add_outer(weights, n_inputs, column, n_columns, k, scale, residual, np.float32(1.0))
    add_outer(projector, n_inputs, 0, n_inputs, k, -scale, k, keep)
    if leak > 0.0:
        back = np.float32(leak * prior)
        for j in range(n_inputs):
            projector[j, j] += back


@kernel
def delta_update(weights, n_inputs, inputs, first, error, n_classes, rate):
    """Normalised delta rule.

    Weights -= step * inputs error' with step = rate / (1 + |inputs|^2), which is returned.
    """
    square = 1.0
    for j in range(n_inputs):
        square += np.float64(inputs[first + j]) * np.float64(inputs[first + j])
    for j in range(n_inputs):
        value = inputs[first + j]
        if value != np.float32(0.0):
            coefficient = np.float32(rate * np.float64(value) / square)
            row = weights[j]
            for c in range(n_classes):
                row[c] -= coefficient * np.float32(error[c])
    return rate / square
