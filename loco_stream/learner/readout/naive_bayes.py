"""Naive Bayes: each class is a Gaussian whose features are independent, the member that needs the fewest rows of one.

A linear member must learn from both classes where the border lies; here a few dozen rows of a rare
class place its mean and variances, whatever the others do. Mean and variances begin as those of all
rows, which are standardised: 0, as one row would count, and 1, as `PRIOR` rows would, for a
variance takes more rows than a mean.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.state import CLASS_COUNT, CLASS_ROWS, SPREAD

__all__ = ["learn", "level_unknown", "speak"]

MEMORY = 1000.0  # last rows of a class that its moments are of, about: a drift is followed
PRIOR = 50.0  # rows that a variance of 1 counts as at the start
REACH = 6.0  # deviations beyond which a value counts as this far
# variances that share a logarithm: each is from 1 / 21 to 144, so their product is far from
# overflow
STRETCH = 32
UNSEEN = 0.5  # rows that every class is granted


@kernel
def _bounded(value):
    return min(max(np.float64(value), -REACH), REACH)


@kernel
def level_unknown(scores, n_classes):
    """Give the classes from `n_classes` on, of which nothing is known, what the least likely of the others has."""
    lowest = scores[0] if n_classes > 0 else np.float32(0.0)
    for c in range(1, n_classes):
        lowest = min(lowest, scores[c])
    for c in range(n_classes, scores.shape[0]):
        scores[c] = lowest


@kernel
def speak(gaussians, classes, features, first, n_features, n_classes, scores):
    """Write the log-probability of the row and each class, up to a constant.

    The row is `features[first : first + n_features]`, standardised, 0 where masked.
    """
    moments = gaussians.moments
    means = gaussians.means
    squares = gaussians.squares
    for c in range(n_classes):
        n = moments[CLASS_ROWS, c]
        distance = 0.0
        for f in range(n_features):
            rest = _bounded(features[first + f]) - means[c, f]
            distance += rest * rest * (n + PRIOR) / (n * squares[c, f] + PRIOR)
        likelihood = -0.5 * (distance + moments[SPREAD, c])
        scores[c] = np.float32(math.log(classes[CLASS_COUNT, c] + UNSEEN) + likelihood)
    level_unknown(scores, n_classes)


@kernel
def learn(gaussians, features, first, n_features, label):
    """Take a row into the running moments of its class (Welford 1962), fading from `MEMORY` rows on."""
    moments = gaussians.moments
    means = gaussians.means
    squares = gaussians.squares
    n = min(moments[CLASS_ROWS, label] + 1.0, MEMORY)
    spread = 0.0
    product = 1.0
    pace = 1.0 / (n + 1.0)
    square_pace = 1.0 / n
    weight = 1.0 / (n + PRIOR)
    for f in range(n_features):
        value = _bounded(features[first + f])
        rest = value - means[label, f]
        means[label, f] += rest * pace
        squares[label, f] += (rest * (value - means[label, f]) - squares[label, f]) * square_pace
        product *= (n * squares[label, f] + PRIOR) * weight
        if f % STRETCH == STRETCH - 1:
            spread += math.log(product)
            product = 1.0
    moments[CLASS_ROWS, label] = n
    moments[SPREAD, label] = spread + math.log(product)
