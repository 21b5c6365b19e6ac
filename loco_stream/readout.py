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

__all__ = ["delta_update", "gain", "outputs", "recursive_update", "stack_update", "stacked"]

RECENT_SAMPLES = 30  # a leaky member leaves classes alone that it has not seen for so long
STACK_LEAK = 1e-4


@kernel
def outputs(weights, n_inputs, n_columns, inputs, first, out):
    """Write the members' outputs for the vector `inputs[first : first + n_inputs]`; zeros cost nothing."""
    for c in range(n_columns):
        out[c] = np.float32(0.0)
    for j in range(n_inputs):
        value = inputs[first + j]
        if value != np.float32(0.0):
            row = weights[j]
            for c in range(n_columns):
                out[c] += value * row[c]


@kernel
def gain(projector, n_inputs, inputs, first, k):
    """Write k = P x and return (x' P x, x' x); rows of zero inputs are skipped, the others added four at a time."""
    for i in range(n_inputs):
        k[i] = np.float32(0.0)
    square = 0.0
    a = b = c = n_inputs  # set before use; a literal 0 would be compiled for apart
    pending = 0
    for j in range(n_inputs):
        value = inputs[first + j]
        if value == np.float32(0.0):
            continue
        square += np.float64(value) * np.float64(value)
        if pending == 3:
            _add_four(projector, a, b, c, j, inputs, first, n_inputs, k)
            pending = 0
        else:
            a, b, c = b, c, j
            pending += 1
    for row, wanted in ((a, 3), (b, 2), (c, 1)):
        if pending >= wanted:
            value, line = inputs[first + row], projector[row]
            for i in range(n_inputs):
                k[i] += value * line[i]
    q = 0.0
    for j in range(n_inputs):
        q += np.float64(inputs[first + j]) * np.float64(k[j])
    return q, square


@kernel
def _add_four(projector, a, b, c, d, inputs, first, n_inputs, k):
    """Add four weighted rows in one pass over k."""
    wa, wb, wc, wd = inputs[first + a], inputs[first + b], inputs[first + c], inputs[first + d]
    ra, rb, rc, rd = projector[a], projector[b], projector[c], projector[d]
    for i in range(n_inputs):
        k[i] += (wa * ra[i] + wb * rb[i]) + (wc * rc[i] + wd * rd[i])


@kernel
def recursive_update(projector, weights, column, n_inputs, k, q, leak, prior, out, target, open_, n_classes):
    """One recursive least-squares step of the member whose columns start at `column`.

    `out` holds its outputs before the step; classes with `open_[c]` 0 keep their weights.
    """
    scale = np.float32(1.0 / (1.0 + q))
    keep, add = np.float32(1.0 - leak), np.float32(leak * prior)
    for j in range(n_inputs):
        lead = k[j] * scale
        row = weights[j]
        for c in range(n_classes):
            if open_[c] != 0.0:
                row[column + c] += lead * (np.float32(target[c]) - out[column + c])
        line = projector[j]
        if leak == 0.0:
            for i in range(n_inputs):
                line[i] -= lead * k[i]
        else:
            for i in range(n_inputs):
                line[i] = keep * (line[i] - lead * k[i])
            line[j] += add


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
def stack_update(outs, linear_outs, n_trace, n_linear, capacity, target, n_classes, stack, projector, k, prior):
    """Recursive least squares of the target on the members' outputs; each class is one observation."""
    n = n_trace + n_linear
    for c in range(n_classes):
        q, predicted = 0.0, 0.0
        for a in range(n):
            total = 0.0
            for b in range(n):
                total += projector[a, b] * _member(outs, n_trace, linear_outs, b, capacity, c)
            k[a] = total
        for a in range(n):
            value = _member(outs, n_trace, linear_outs, a, capacity, c)
            q += k[a] * value
            predicted += stack[a] * value
        if not math.isfinite(q) or not math.isfinite(predicted):
            return
        for a in range(n):
            lead = k[a] / (1.0 + q)
            stack[a] += lead * (target[c] - predicted)
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
