"""Naive Bayes: each class is a Gaussian with independent features.

It needs the fewest rows of a class. A linear member must learn from both classes where their border
lies; here a few dozen rows of a rare class place its mean and variances, whatever the others do.
Mean and variances start as those of all rows, which are standardised: 0, which counts as one row,
and 1, which counts as `PRIOR_ROWS` rows, since a variance takes more rows than a mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, axes
from loco_stream._learner.readout.experts._definition import (
    Contribution,
    Expert,
    Merge,
    Weighting,
    softmax_of_scores,
)
from loco_stream._learner.readout.experts.logistic import n_scores

MEMORY_ROWS = 1000.0  # of a class: its moments follow drift
PRIOR_ROWS = 50.0  # that a variance of 1 counts as at the start
CLIP = 6.0  # standard deviations beyond which a value counts as this far
STRETCH = 32  # variances that share a logarithm: each is from 1 / 21 to 144, so no overflow
UNSEEN_ROWS = 0.5  # granted to every class
LOG_PRIOR = 2.0  # log-odds in the mixture at the start


class State(NamedTuple):
    """Moments of each class.

    n_rows: rows that they are of
    log_variance: sum of the logarithms of the variances
    means, squares: of each standardised feature, and mean squares of the deviations
    """

    n_rows: Annotated[Float64, axes("classes", within=NOT_NEGATIVE)]
    log_variance: Annotated[Float64, axes("classes")]
    means: Annotated[Float64, axes("classes", "described")]
    squares: Annotated[Float64, axes("classes", "described", within=NOT_NEGATIVE)]


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axis of the features; none where the readout sees none."""
    return {"described": n_features if n_scores(settings) else 0}


@kernel
def _clipped(value):
    return min(max(np.float64(value), -CLIP), CLIP)


@kernel
def level_unknown(scores, n_known):
    """Give the classes from `n_known` on, which are unknown, the lowest score of the others.

    `scores` is float32, `n_known` int64.
    """
    lowest = scores[0] if n_known > 0 else np.float32(0.0)
    for c in range(1, n_known):
        lowest = min(lowest, scores[c])
    for c in range(n_known, len(scores)):
        scores[c] = lowest


@kernel
def write_scores(own, counts, features, n_features, n_classes, scores):
    """Write the log-probability of the row and each class, up to a constant.

    Parameters
    ----------
    own
        `State`.
    counts
        (classes,) float64: rows of each class.
    features
        (n_features or more,) float32: standardised, 0 where masked.
    n_features, n_classes
        int64.
    scores
        (n_classes or more,) float32, written.
    """
    for c in range(n_classes):
        n = own.n_rows[c]
        distance = 0.0
        for f in range(n_features):
            rest = _clipped(features[f]) - own.means[c, f]
            distance += rest * rest * (n + PRIOR_ROWS) / (n * own.squares[c, f] + PRIOR_ROWS)
        likelihood = -0.5 * (distance + own.log_variance[c])
        scores[c] = math.log(counts[c] + UNSEEN_ROWS) + likelihood
    level_unknown(scores, n_classes)


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the score of each class."""
    if len(scores) == 0:
        return
    own = state.experts.naive_bayes
    features = scratch.clean.traces[settings.n_hidden + 1 :]
    n_features = state.counts.n_features
    write_scores(own, state.classes.n_rows, features, n_features, state.counts.n_classes, scores)


@kernel
def learn_row(own, features, n_features, label):
    """Take a row into the running moments of its class (Welford 1962), which fade.

    Parameters
    ----------
    own
        `State`.
    features
        (n_features or more,) float32: standardised.
    n_features, label
        int64.
    """
    n = min(own.n_rows[label] + 1.0, MEMORY_ROWS)
    log_variance = 0.0
    product = 1.0
    rate = 1.0 / (n + 1.0)
    square_rate = 1.0 / n
    weight = 1.0 / (n + PRIOR_ROWS)
    means = own.means[label]
    squares = own.squares[label]
    for f in range(n_features):
        value = _clipped(features[f])
        rest = value - means[f]
        means[f] += rest * rate
        squares[f] += (rest * (value - means[f]) - squares[f]) * square_rate
        product *= (n * squares[f] + PRIOR_ROWS) * weight
        if f % STRETCH == STRETCH - 1:
            log_variance += math.log(product)
            product = 1.0
    own.n_rows[label] = n
    own.log_variance[label] = log_variance + math.log(product)


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Learn the row in scratch."""
    if len(opinions) == 0:
        return
    features = scratch.clean.traces[settings.n_hidden + 1 :]
    learn_row(state.experts.naive_bayes, features, state.counts.n_features, label)


def contribution(
    settings: Any, state: Any, scratch: Any, weighting: Weighting, n_classes: int
) -> Contribution:
    """Return what the constant and each feature add to the log-odds."""
    if not len(weighting.scores):
        return Contribution()
    own = state.experts.naive_bayes
    hidden = settings.n_hidden
    n_slots = int(state.counts.n_features)
    z = scratch.clean.traces[hidden + 1 : hidden + 1 + n_slots].astype(np.float64)
    n = own.n_rows[:n_classes, None]
    means = own.means[:n_classes, :n_slots]
    variances = (n * own.squares[:n_classes, :n_slots] + PRIOR_ROWS) / (n + PRIOR_ROWS)
    without = -0.5 * means**2 / variances
    rest = np.clip(z, -CLIP, CLIP) - means
    counts = state.classes.n_rows[:n_classes]
    constant = np.log(counts + UNSEEN_ROWS) - 0.5 * own.log_variance[:n_classes]
    inputs = np.zeros((hidden + 1 + n_slots, n_classes))
    inputs[hidden] = constant + without.sum(axis=1)
    inputs[hidden + 1 :] = (-0.5 * rest**2 / variances - without).T
    return Contribution(inputs=weighting.scores[0] * inputs)


def merge(parts: Merge) -> None:
    """Add up the rows of each class, their sums and sums of squares.

    Each mean counts a row at 0 besides.
    """
    arrays = parts.arrays
    whole = np.sum([_sums(part) for part in parts.parts], axis=0)
    if parts.base is not None:
        whole -= (len(parts.parts) - 1) * _sums(parts.base)
    n, total, power = whole
    means = total / (n + 1.0)
    squares = np.maximum((power - (n + 1.0) * means**2) / np.maximum(n, 1.0), 0.0)
    n = np.minimum(n, MEMORY_ROWS)
    variances = (n * squares + PRIOR_ROWS) / (n + PRIOR_ROWS)
    arrays["experts.naive_bayes.means"] = means
    arrays["experts.naive_bayes.squares"] = squares
    arrays["experts.naive_bayes.n_rows"] = n.max(axis=1, initial=0.0)
    arrays["experts.naive_bayes.log_variance"] = np.log(variances).sum(axis=1)


def _sums(arrays: Mapping[str, Array]) -> Float64:
    """Return rows, sums and sums of squares of each class and feature, (3, classes, features)."""
    means = arrays["experts.naive_bayes.means"]
    squares = arrays["experts.naive_bayes.squares"]
    n = np.broadcast_to(arrays["experts.naive_bayes.n_rows"][:, None], means.shape)
    return np.stack([n, (n + 1.0) * means, n * squares + (n + 1.0) * means**2])


EXPERT = Expert(
    name="naive_bayes",
    state=State,
    lengths=lengths,
    n_scores=n_scores,
    n_opinions=n_scores,
    predict=predict,
    opine=softmax_of_scores,
    learn=learn,
    level_unknown=level_unknown,
    names=lambda layout, settings: ["naive Bayes"] * n_scores(settings),
    log_prior=LOG_PRIOR,
    contribution=contribution,
    merge=merge,
)
