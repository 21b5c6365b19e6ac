"""The weight change of one layer, with a limit on each neuron's norm."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel

__all__ = ["adapt_thresholds", "update_weights"]

TARGET_RATE = 0.3  # share of samples in which a neuron should fire


@kernel
def update_weights(weights, offset, n_pre, n_post, trace, credit, rate, limit, factor, squares):
    """Subtract rate * trace credit' from a layer's weights.

    `factor` (n_post,) shrinks neurons whose norm met `limit` at the last update: applied here,
    one pass over the weights does both. Written anew from `squares` (room for n_post numbers).
    """
    for i in range(n_post):
        squares[i] = np.float32(0.0)
    step = np.float32(rate)
    for j in range(n_pre):
        row = weights[offset + j * n_post : offset + (j + 1) * n_post]
        coefficient = step * trace[j]
        for i in range(n_post):
            w = row[i] * factor[i] - coefficient * credit[i]
            row[i] = w
            squares[i] += w * w
    for i in range(n_post):
        bound = np.float64(limit[i])
        square = np.float64(squares[i])
        factor[i] = np.float32(bound / math.sqrt(square) if square > bound * bound else 1.0)


@kernel
def adapt_thresholds(fired, n_neurons, rate, threshold):
    """Raise the threshold of neurons that fire too often and lower it of those too rarely (homeostasis)."""
    up, down = np.float32(rate * (1.0 - TARGET_RATE)), np.float32(-rate * TARGET_RATE)
    for i in range(n_neurons):
        threshold[i] = max(threshold[i] + (up if fired[i] > np.float32(0.0) else down), np.float32(0.1))
