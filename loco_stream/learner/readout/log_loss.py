"""Probabilities by log-loss: the softmax, the stack of all members, a linear logistic member."""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer

__all__ = [
    "SHARPNESS",
    "learn_logistic",
    "learn_stack",
    "loss_of",
    "softmax",
    "stack_weights",
    "weighted",
]

SHARPNESS = 8.0  # log-odds for one share of a least-squares output
STACK_RATE = 1e-3
LEAST_POWER = 1e-12  # of a gradient: on a stream of one class there is none
STACK_FADE = 1e-3  # of the mean square of each weight's gradient, by which its steps are divided


@kernel
def softmax(scores, first, n_classes, sharpness, proba):
    """Write the softmax of sharpness * scores[first : first + n_classes]."""
    top = -math.inf
    total = 0.0
    for c in range(n_classes):
        top = max(top, np.float64(scores[first + c]))
    for c in range(n_classes):
        proba[c] = math.exp(sharpness * (np.float64(scores[first + c]) - top))
        total += proba[c]
    for c in range(n_classes):
        proba[c] /= total


@kernel
def loss_of(regression, scores, target, n_classes):
    """Return the log-loss of scores in log-odds, or half the squared error."""
    if regression:
        return 0.5 * (scores[0] - target[0]) * (scores[0] - target[0])
    top = -math.inf
    total = 0.0
    hit = 0.0
    for c in range(n_classes):
        top = max(top, scores[c])
    for c in range(n_classes):
        total += math.exp(scores[c] - top)
        hit += target[c] * scores[c]
    return top + math.log(total) - hit


@kernel
def _sharpness(b, n_paired):
    """Return what turns a block of outputs into log-odds.

    The first ones are of least squares and log-loss in turn.
    """
    return SHARPNESS if b < n_paired and b % 2 == 0 else 1.0


@kernel
def stack_weights(log_stack, n_paired, weights):
    """Write how much each block of outputs counts in the stack's log-odds.

    Of the first, both losses alternate.
    """
    for b in range(log_stack.shape[1]):
        weights[b] = log_stack[0, b] * _sharpness(b, n_paired)


@kernel
def weighted(outputs, weights, n_blocks, capacity, n_classes, scores):
    """Write the sum of the blocks of outputs, each times its weight."""
    for c in range(n_classes):
        scores[c] = 0.0
    for b in range(n_blocks):
        for c in range(n_classes):
            scores[c] += weights[b] * np.float64(outputs[b * capacity + c])


@kernel
def learn_stack(log_stack, n_paired, outputs, error, capacity, n_classes, share):
    """Make `share` of a gradient step of the stack's weights on the log-loss.

    Each weight's step is divided by the root of its gradient's fading mean square.
    `error` (n_classes,) is the stack's probability minus the target.
    """
    for b in range(log_stack.shape[1]):
        slope = 0.0
        for c in range(n_classes):
            slope += error[c] * np.float64(outputs[b * capacity + c])
        slope *= _sharpness(b, n_paired)
        log_stack[1, b] += share * STACK_FADE * (slope * slope - log_stack[1, b])
        log_stack[0, b] -= share * STACK_RATE * slope / math.sqrt(log_stack[1, b] + LEAST_POWER)


@kernel
def learn_logistic(weights, projector, n_inputs, k, q, proba, target, n_classes, residual):
    """One recursive step of logistic regression.

    The curvature of the log-loss is the mean of p (1 - p).

    `k` = P x and `q` = x' k as `gain` writes them; `residual` (n_classes,) float32 is room.
    """
    curvature = 0.0
    for c in range(n_classes):
        curvature += proba[c] * (1.0 - proba[c]) / n_classes
        residual[c] = np.float32(target[c] - proba[c])
    scale = 1.0 / (1.0 + curvature * q)
    add_outer(weights, n_inputs, 0, n_classes, k, np.float32(scale), residual, np.float32(1.0))
    add_outer(
        projector, n_inputs, 0, n_inputs, k, np.float32(-curvature * scale), k, np.float32(1.0)
    )
