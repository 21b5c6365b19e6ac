"""The readout: a bank of recursive least-squares members that forget at different speeds, stacked.

Recursive least squares on traces is orthogonal weight modification on the last layer (Zeng et
al. 2019). A member with leak g lets its projector P drift back to the prior: P <- (1 - g)(P -
k k' / (1 + q)) + g p0 I; unlike a forgetting factor this cannot wind up. Without leak it never
forgets. The members' outputs are combined by a second, tiny recursive regression (stacking).
Columns of the readout: member m, class c at m * class capacity + c.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.compiled import kernel
from loco_stream.kernels.vector import add_outer, weigh_rows

__all__ = ["delta_update", "gain", "nonzero", "recursive_update", "stack_update", "stacked"]

RECENT_SAMPLES = 30  # a leaky member leaves classes alone that it has not seen for so long
STACK_LEAK = 1e-4


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
def recursive_update(projector, weights, column, n_inputs, k, q, leak, prior, lacks, n_classes):
    """One recursive least-squares step of the member whose columns start at `column`.

    `lacks` (n_classes,) is what its outputs lacked of the target; a class with 0 keeps its weights.
    """
    scale, keep = np.float32(1.0 / (1.0 + q)), np.float32(1.0 - leak)
    add_outer(weights, n_inputs, column, n_classes, k, scale, lacks, np.float32(1.0))
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
            lead = np.float32(rate * np.float64(value) / square)
            row = weights[j]
            for c in range(n_classes):
                row[c] -= lead * np.float32(error[c])


@kernel
def _member(outs, n_trace, linear_outs, m, capacity, c):
    return np.float64(outs[m * capacity + c] if m < n_trace else linear_outs[(m - n_trace) * capacity + c])


@kernel
def stack_update(outs, linear_outs, n_trace, n_linear, capacity, target, n_classes, stack, projector, room, prior):
    """Recursive least squares of the target on the members' outputs; each class is one observation.

    `room` is (2, members).
    """
    n = n_trace + n_linear
    k, said = room[0], room[1]
    for c in range(n_classes):
        for a in range(n):
            said[a] = _member(outs, n_trace, linear_outs, a, capacity, c)
        q, lack = 0.0, target[c]
        for a in range(n):
            k[a] = 0.0
            for b in range(n):
                k[a] += projector[a, b] * said[b]
            q += k[a] * said[a]
            lack -= stack[a] * said[a]
        if not math.isfinite(q) or not math.isfinite(lack):
            return
        scale = 1.0 / (1.0 + q)
        for a in range(n):
            lead = k[a] * scale
            stack[a] += lead * lack
            for b in range(n):
                projector[a, b] -= lead * k[b]
    for a in range(n):
        for b in range(n):
            projector[a, b] *= 1.0 - STACK_LEAK
        projector[a, a] += STACK_LEAK * prior


@kernel
def stacked(outs, linear_outs, n_trace, n_linear, capacity, n_classes, stack, scores):
    """Write the stacked score of each class."""
    for c in range(n_classes):
        total = 0.0
        for m in range(n_trace + n_linear):
            total += stack[m] * _member(outs, n_trace, linear_outs, m, capacity, c)
        scores[c] = total
