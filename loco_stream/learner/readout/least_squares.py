"""The readout: a bank of recursive least-squares members that forget at different speeds, stacked.

Recursive least squares on traces is orthogonal weight modification on the last layer (Zeng et
al. 2019). A member with leak g lets its projector P drift back to the prior: P <- (1 - g)(P -
k k' / (1 + q)) + g p0 I; unlike a forgetting factor this cannot wind up. Without leak it never
forgets. The members' outputs are combined by a second, tiny recursive regression (stacking).
Columns of the readout: member m, class c at m * class capacity + c.
"""

from __future__ import annotations

import numpy as np

from loco_stream.jit import kernel
from loco_stream.simd.ops import add_outer, weigh_rows

__all__ = ["delta_update", "gain", "nonzero", "recursive_update"]

RECENT_SAMPLES = 30  # a leaky member leaves classes alone that it has not seen for so long


@kernel
def nonzero(inputs, first, n_inputs, rows):
    """Write which of `inputs[first : first + n_inputs]` are not zero, counted from `first`; return their number."""
    n = np.int64(0)  # a literal 0 would be compiled for apart
    for j in range(n_inputs):
        rows[n] = j
        n += inputs[first + j] != np.float32(0.0)
    return n


@kernel
def gain(projector, n_inputs, inputs, first, rows, n_rows, k):
    """Write k = P x and return (x' P x, x' x), with x given as in `weigh_rows`."""
    weigh_rows(k, projector, n_inputs, inputs, first, rows, n_rows)
    q, square = 0.0, 0.0
    for r in range(n_rows):
        value = np.float64(inputs[first + rows[r]])
        square += value * value
        q += value * np.float64(k[rows[r]])
    return q, square


@kernel
def recursive_update(projector, weights, column, n_inputs, k, q, leak, prior, residual, n_classes):
    """One recursive least-squares step of the member whose columns start at `column`.

    `lacks` (n_classes,) is what its outputs lacked of the target; a class with 0 keeps its weights.
    """
    scale, keep = np.float32(1.0 / (1.0 + q)), np.float32(1.0 - leak)
    add_outer(weights, n_inputs, column, n_classes, k, scale, residual, np.float32(1.0))
    add_outer(projector, n_inputs, 0, n_inputs, k, -scale, k, keep)
    if leak > 0.0:
        back = np.float32(leak * prior)
        for j in range(n_inputs):
            projector[j, j] += back


@kernel
def delta_update(weights, n_inputs, inputs, first, error, n_classes, rate):
    """Normalised delta rule: weights -= rate * inputs error' / (1 + |inputs|^2)."""
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
