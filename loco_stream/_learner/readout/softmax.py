"""Softmax and loss of one row."""

import math

import numpy as np

from loco_stream._compiler.jit import kernel

SHARPNESS = 8.0  # log-odds per unit of a least-squares output, which aims at 0 and 1


@kernel
def highest(scores, n):
    """Return the highest of the first `n` scores, float64; minus infinity of none."""
    top = -math.inf
    for i in range(n):
        top = max(top, np.float64(scores[i]))
    return top


@kernel
def log_total(scores, n):
    """Return the logarithm of the sum of e to the first `n` scores, (n or more,) float64."""
    top = highest(scores, n)
    total = 0.0
    for i in range(n):
        total += math.exp(scores[i] - top)
    return top + math.log(total)


@kernel
def normalise(proba, n):
    """Divide the first `n` of (n or more,) float64 by their sum."""
    total = 0.0
    for i in range(n):
        total += proba[i]
    for i in range(n):
        proba[i] /= total


@kernel
def softmax(scores, first, n_classes, sharpness, proba):
    """Write the softmax of sharpness * scores[first : first + n_classes].

    Parameters
    ----------
    scores
        Float32 or float64 vector.
    first, n_classes
        int64.
    sharpness
        float64.
    proba
        (n_classes or more,) float64, written.
    """
    top = highest(scores[first:], n_classes)
    for c in range(n_classes):
        proba[c] = math.exp(sharpness * (np.float64(scores[first + c]) - top))
    normalise(proba, n_classes)


@kernel
def loss_of(regression, scores, target, n_classes):
    """Return the log-loss of scores in log-odds, or half the squared error of a value.

    Parameters
    ----------
    regression
        bool.
    scores, target
        (n_classes or more,) float64.
    n_classes
        int64.
    """
    if regression:
        return 0.5 * (scores[0] - target[0]) * (scores[0] - target[0])
    hit = 0.0
    for c in range(n_classes):
        hit += target[c] * scores[c]
    return log_total(scores, n_classes) - hit


@kernel
def log_loss_of(scores, n_classes, factor, label):
    """Return the log-loss of a label under the softmax of factor * scores.

    Parameters
    ----------
    scores
        (n_classes or more,) float32 or float64.
    n_classes, label
        int64.
    factor
        float64.
    """
    top = highest(scores, n_classes)
    total = 0.0
    for c in range(n_classes):
        total += math.exp(factor * (np.float64(scores[c]) - top))
    return math.log(total) - factor * (np.float64(scores[label]) - top)
