"""A correction of how certain the probabilities are.

How sharp they should be, and how many labels are wrong.

Members that see each other's errors, and labels of which some are wrong at random, leave
probabilities that are too low here and too high there. Each correction raises them to one of
`POWERS`, and assumes that a share of the labels, one of `NOISES`, is drawn at random; none changes
which class is the most probable. All corrections are mixed by how probable they found recent
labels, as the opinions are. The one that changes nothing has a head start that does not fade: a few
thousand rows with a dozen of a rare class prove little.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Shapes, axes
from loco_stream._learner.readout.mixture import MIN_PROBABILITY, retained
from loco_stream._learner.readout.softmax import normalise

POWERS = (0.75, 1.0, 1.5, 2.5, 4.0)
NOISES = (0.0, 0.05, 0.1, 0.2)
N_POWERS = len(POWERS)
N_NOISES = len(NOISES)
UNCHANGED = 1  # the power of 1
HEAD_START = 4.0  # log-odds of the correction that changes nothing


def _start(log_weights: Array, shapes: Shapes) -> None:
    log_weights[UNCHANGED : UNCHANGED + 1, 0] = HEAD_START


class CalibrationState(NamedTuple):
    """Log-weight of each correction."""

    log_weights: Annotated[Float64, axes("powers", "noises", start=_start)]


@kernel
def _raised(p):
    """Return p (float64) raised to each of `POWERS`.

    By roots, which are rounded alike compiled and interpreted.
    """
    root = math.sqrt(p)
    square = p * p
    return root * math.sqrt(root), p, p * root, square * root, square * square


@kernel
def _write_sums(proba, n_classes, sums):
    for a in range(N_POWERS):
        sums[a] = 0.0
    for c in range(n_classes):
        raised = _raised(proba[c])
        for a in range(N_POWERS):
            sums[a] += raised[a]


@kernel
def correct(log_weights, proba, n_classes, sums, factors):
    """Correct probabilities in place.

    Parameters
    ----------
    log_weights
        (powers, noises) float64.
    proba
        (n_classes or more,) float64, overwritten.
    n_classes
        int64.
    sums, factors
        (powers,) float64 working memory.
    """
    _write_sums(proba, n_classes, sums)
    top = -math.inf
    total = 0.0
    guess = 0.0
    for a in range(N_POWERS):
        for b in range(N_NOISES):
            top = max(top, log_weights[a, b])
    for a in range(N_POWERS):
        factors[a] = 0.0
        for b in range(N_NOISES):
            weight = math.exp(log_weights[a, b] - top)
            total += weight
            factors[a] += weight * (1.0 - NOISES[b])
            guess += weight * NOISES[b]
    for a in range(N_POWERS):
        factors[a] /= total * sums[a]
    _apply(proba, n_classes, factors, guess / (total * n_classes))


@kernel
def _apply(proba, n_classes, factors, guess):
    """Replace each probability by the sum of its powers times `factors`, and `guess`; normalise."""
    for c in range(n_classes):
        raised = _raised(proba[c])
        proba[c] = guess
        for a in range(N_POWERS):
            proba[c] += factors[a] * raised[a]
    normalise(proba, n_classes)  # by 1 but for rounding: no probability may be above 1


@kernel
def learn_correction(log_weights, proba, row, share, sums):
    """Take what each correction would have given to `share` of a label into its log-weight.

    Parameters
    ----------
    log_weights
        (powers, noises) float64.
    proba
        (classes,) float64: what was predicted, not corrected.
    row
        (label, number of classes, observations so far), int64.
    share
        float64.
    sums
        (powers,) float64 working memory.
    """
    label, n_classes, n_observations = row
    _write_sums(proba, n_classes, sums)
    raised = _raised(proba[label])
    keep = retained(n_observations, share)
    for a in range(N_POWERS):
        chance = raised[a] / sums[a]
        for b in range(N_NOISES):
            given = (1.0 - NOISES[b]) * chance + NOISES[b] / n_classes
            gained = share * math.log(max(given, MIN_PROBABILITY))
            log_weights[a, b] = keep * log_weights[a, b] + gained
    log_weights[UNCHANGED, 0] += (1.0 - keep) * HEAD_START


@kernel
def weigh_classes(balanced, counts, weights, n_classes, proba):
    """Weigh probabilities by class, as if each class came so many times as often (Elkan 2001).

    Parameters
    ----------
    balanced
        bool: weigh each class by the inverse of its frequency instead of `weights`.
    counts, weights
        (n_classes or more,) float64: rows of each class, and given weights.
    n_classes
        int64.
    proba
        (n_classes or more,) float64, overwritten.
    """
    seen = 0.0
    for c in range(n_classes):
        seen += counts[c]
    for c in range(n_classes):
        weight = weights[c]
        if balanced:
            weight = seen / (n_classes * max(counts[c], 1.0))
        proba[c] *= weight
    normalise(proba, n_classes)
