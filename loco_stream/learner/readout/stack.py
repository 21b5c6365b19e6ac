"""The least-squares stack: one tiny recursive regression of the target on what the members say."""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.options import STACK_PRIOR

__all__ = ["stack_update", "stacked"]

STACK_LEAK = 1e-4


@kernel
def stack_update(outputs, stride, target, n_classes, stack, projector, workspace, share):
    """Recursive least squares of the target on the members' outputs.

    Each class is `share` of an observation.

    Member a's outputs start at a * stride; `workspace` is (2, members).
    """
    n = stack.shape[0]
    k = workspace[0]
    said = workspace[1]
    for c in range(n_classes):
        lack = target[c]
        for a in range(n):
            said[a] = np.float64(outputs[a * stride + c])
            lack -= stack[a] * said[a]
        q = 0.0
        for a in range(n):
            k[a] = 0.0
            for b in range(n):
                k[a] += projector[a, b] * said[b]
            q += k[a] * said[a]
        if not q >= 0.0 or not math.isfinite(q) or not math.isfinite(lack):
            return
        scale = 1.0 / (1.0 / share + q)
        for a in range(n):
            coefficient = k[a] * scale
            stack[a] += coefficient * lack
            for b in range(n):
                projector[a, b] -= coefficient * k[b]
    leak = share * STACK_LEAK
    for a in range(n):
        for b in range(n):
            projector[a, b] *= 1.0 - leak
        projector[a, a] += leak * STACK_PRIOR


@kernel
def stacked(outputs, stride, stack, n_classes, scores):
    """Write the stacked least-squares score of each class."""
    for c in range(n_classes):
        total = 0.0
        for a in range(stack.shape[0]):
            total += stack[a] * np.float64(outputs[a * stride + c])
        scores[c] = total
