"""The stack: one tiny recursive regression that combines what the members say."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel

__all__ = ["stack_update", "stacked"]

STACK_LEAK = 1e-4


@kernel
def _member(outs, n_trace, linear_outs, m, capacity, c):
    return np.float64(outs[m * capacity + c] if m < n_trace else linear_outs[(m - n_trace) * capacity + c])


@kernel
def stack_update(outs, linear_outs, n_trace, n_linear, capacity, target, n_classes, stack, projector, workspace, prior):
    """Recursive least squares of the target on the members' outputs; each class is one observation.

    `workspace` is (2, members).
    """
    n = n_trace + n_linear
    k, said = workspace[0], workspace[1]
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
            coefficient = k[a] * scale
            stack[a] += coefficient * lack
            for b in range(n):
                projector[a, b] -= coefficient * k[b]
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
