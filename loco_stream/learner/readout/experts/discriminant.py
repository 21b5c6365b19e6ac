"""A streaming linear discriminant on the fixed layer, which forgets nothing.

Each class is a Gaussian around its mean; all share one covariance. Kept are the mean M_c of each
class, the precision P (the inverse of the scatter within classes and of a prior), and what scores
need of them: V = P M' and B_c = M_c'V_c. A row z of class y, with v = z - M_y, r = P v, q = r'v,
e = 1 / (n_y + 1) and a = 1 - e, changes

    P <- P - s r r' with s = a / (1 + a q),   M_y <- M_y + e v,   N <- N + 1

and V and B with them (linear discriminant analysis, updated row by row: Pang, Ozawa & Kasabov
2005). Each row is one step of the same size as its share of all rows, whenever it came; so the
order of classes does not matter. The score of a class is its log-likelihood, up to what all classes
share:

    S_c = N (V_c z - B_c / 2) + f / (2 n_c),   f = d - p0 tr P

for d neurons and a prior of p0 rows. The last term takes away the bias of a mean of few rows: a
row's distance from such a mean is larger by d / n_c for every class alike.

Scores say which class is likelier, and far too surely. A few temperatures are compared by the
probability that each gave to the labels.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, nonzero, weigh_rows
from loco_stream.learner.arrays.spec import Array, Shapes, axes
from loco_stream.learner.readout.experts._definition import Expert
from loco_stream.learner.readout.softmax import log_loss_of

__all__ = ["EXPERT", "TEMPERATURES", "temperature", "write_scores"]

PRIOR_POWER = 2.5  # mean square of a trace about the mean of its class, before any row
PRIOR_ROWS = (30.0, 100.0)  # that this counts as, for each feature's own rows and for wide ones
TEMPERATURES = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # factors of the scores
DECAY = 0.998  # of the log-probabilities that they are compared by, per row
EARLY = 2.0  # of the first n rows the last n / EARLY count
MAX_LOSS = 20.0  # that one row can add
REFRESH_EVERY = 16  # rows after which one class's V is computed anew, against rounding


def prior_power(settings: Any) -> float:
    """Return the prior of the scatter: its rows times their mean square."""
    return PRIOR_POWER * (PRIOR_ROWS[1] if settings.n_fields == 1 else PRIOR_ROWS[0])


_prior_power = kernel(prior_power)  # the same for compiled code


def _identity(indices: Array, shapes: Shapes) -> None:
    indices[:] = np.arange(len(indices))


def _start_precision(precision: Array, shapes: Shapes) -> None:
    np.fill_diagonal(precision, 1.0 / prior_power(shapes.settings))


def _start_trace(trace: Array, shapes: Shapes) -> None:
    trace.fill(shapes.settings.n_fixed / prior_power(shapes.settings))


def _start_rows(total: Array, shapes: Shapes) -> None:
    total.fill(prior_power(shapes.settings) / PRIOR_POWER)


class State(NamedTuple):
    """What is known of the classes.

    means: of each class, a column each
    projected: P times each mean
    offsets: product of each mean and its projection
    n_rows: of each class
    precision: P; trace: the sum of its diagonal
    total: rows that the scatter is of, with those of the prior
    log_likelihoods: of recent labels, by temperature
    """

    means: Annotated[NDArray[np.float32], axes("fixed", "classes")]
    projected: Annotated[NDArray[np.float32], axes("fixed", "classes")]
    offsets: Annotated[NDArray[np.float64], axes("classes")]
    n_rows: Annotated[NDArray[np.float64], axes("classes")]
    precision: Annotated[NDArray[np.float32], axes("fixed", "fixed", start=_start_precision)]
    trace: Annotated[NDArray[np.float64], axes(1, start=_start_trace)]
    total: Annotated[NDArray[np.float64], axes(1, start=_start_rows)]
    log_likelihoods: Annotated[NDArray[np.float64], axes(len(TEMPERATURES))]


class Scratch(NamedTuple):
    """Working arrays.

    rows: which traces are not 0; all: every index
    rest: trace less the mean of the class; gain: P times it
    shares: gain times each mean
    column: of a matrix
    """

    rows: Annotated[NDArray[np.int32], axes("fixed")]
    all: Annotated[NDArray[np.int32], axes("fixed", start=_identity)]
    rest: Annotated[NDArray[np.float32], axes("fixed")]
    gain: Annotated[NDArray[np.float32], axes("fixed")]
    shares: Annotated[NDArray[np.float32], axes("classes")]
    column: Annotated[NDArray[np.float32], axes("fixed")]


def n_scores(settings: Any) -> int:
    """Return one block where there is a fixed layer."""
    return int(settings.n_fixed > 0)


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return no axes: those of the fixed layer are known."""
    return {}


@kernel
def level_unknown(scores, n_known):
    """Give the classes from `n_known` (int64) on the mean score of the others: no evidence."""
    total = 0.0
    for c in range(n_known):
        total += np.float64(scores[c])
    mean = np.float32(total / max(n_known, 1))
    for c in range(n_known, scores.shape[0]):
        scores[c] = mean


@kernel
def write_scores(own, n_classes, prior, scores):
    """Turn V_c z into scores, in place; a class without rows has the mean of the others.

    Parameters
    ----------
    own
        `State`.
    n_classes
        int64.
    prior
        float64: rows of the prior times their mean square.
    scores
        (n_classes or more,) float32: V_c z of each class, overwritten.
    """
    total = own.total[0]
    freedom = own.means.shape[0] - prior * own.trace[0]
    sum_of_known = 0.0
    n_known = 0
    for c in range(n_classes):
        if own.n_rows[c] > 0.0:
            score = total * (np.float64(scores[c]) - 0.5 * own.offsets[c])
            score += 0.5 * freedom / own.n_rows[c]
            scores[c] = np.float32(score)
            sum_of_known += score
            n_known += 1
    mean = np.float32(sum_of_known / max(n_known, 1))
    for c in range(scores.shape[0]):
        if c >= n_classes or own.n_rows[c] == 0.0:
            scores[c] = mean


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the score of each class."""
    if settings.n_fixed == 0:
        return
    own = state.experts.discriminant
    work = scratch.experts.discriminant
    traces = scratch.fixed.traces
    n_rows = nonzero(traces, 0, settings.n_fixed, work.rows)
    weigh_rows(scores, own.projected, scores.shape[0], traces, 0, work.rows, n_rows)
    write_scores(own, state.counts.n_classes, _prior_power(settings), scores)


@kernel
def temperature(log_likelihoods):
    """Return the factor of the scores that gave recent labels the highest probability."""
    best = 0
    for i in range(1, log_likelihoods.shape[0]):
        if log_likelihoods[i] > log_likelihoods[best]:
            best = i
    return TEMPERATURES[best]


@kernel
def log_odds(settings, state, scores, odds):
    """Write tempered scores about their mean, (1, classes) float64."""
    n_classes = state.counts.n_classes
    factor = temperature(state.experts.discriminant.log_likelihoods)
    mean = 0.0
    for c in range(n_classes):
        mean += np.float64(scores[c])
    mean /= n_classes
    for c in range(n_classes):
        odds[0, c] = factor * (np.float64(scores[c]) - mean)


@kernel
def _compare_temperatures(log_likelihoods, scores, n_classes, label, n_seen):
    """Take the probability that each temperature gave to a label into its log-likelihood."""
    keep = min(DECAY, (n_seen + 1.0) / (n_seen + 1.0 + EARLY))
    for i in range(log_likelihoods.shape[0]):
        loss = log_loss_of(scores, n_classes, TEMPERATURES[i], label)
        log_likelihoods[i] = keep * log_likelihoods[i] - min(loss, MAX_LOSS)


@kernel
def _learn_scatter(own, work, n_classes, q, weight):
    """Take the rest in scratch, `weight` (float64) of a row, into the precision; return the step.

    `q` is rest'P rest, float64.
    """
    n = own.means.shape[0]
    scale = weight / (1.0 + weight * q)
    lost = 0.0
    for j in range(n):
        lost += np.float64(work.gain[j]) * np.float64(work.gain[j])
    own.trace[0] -= scale * lost
    weigh_rows(work.shares, own.means, n_classes, work.gain, 0, work.all, n)
    down = np.float32(-scale)
    one = np.float32(1.0)
    add_outer(own.precision, n, 0, n, work.gain, down, work.gain, one)
    add_outer(own.projected, n, 0, n_classes, work.gain, down, work.shares, one)
    for c in range(n_classes):
        share = np.float64(work.shares[c])
        own.offsets[c] -= scale * share * share
    own.total[0] += 1.0
    return scale


@kernel
def _move_mean(own, work, label, move, turn):
    """Move the mean of a class by `move` times the rest, its projection by `turn` times the gain.

    Both are float64.
    """
    total = 0.0
    for j in range(own.means.shape[0]):
        own.means[j, label] += np.float32(move) * work.rest[j]
        own.projected[j, label] += np.float32(turn) * work.gain[j]
        total += np.float64(own.means[j, label]) * np.float64(own.projected[j, label])
    own.offsets[label] = total


@kernel
def _refresh(own, work, c):
    """Compute the projected mean of class `c` (int64) anew."""
    n = own.means.shape[0]
    total = 0.0
    for j in range(n):
        work.column[j] = own.means[j, c]
    weigh_rows(work.rest, own.precision, n, work.column, 0, work.all, n)
    for j in range(n):
        own.projected[j, c] = work.rest[j]
        total += np.float64(work.column[j]) * np.float64(work.rest[j])
    own.offsets[c] = total


@kernel
def learn_row(own, work, traces, n_classes, label):
    """Learn a row.

    Parameters
    ----------
    own, work
        `State`, and `Scratch`.
    traces
        (neurons,) float32.
    n_classes, label
        int64.

    Returns
    -------
    bool
        Whether the row was learned: the numbers of its step were finite.
    """
    n = own.means.shape[0]
    for j in range(n):
        work.rest[j] = traces[j] - own.means[j, label]  # a mean without rows is 0
    weigh_rows(work.gain, own.precision, n, work.rest, 0, work.all, n)
    q = 0.0
    for j in range(n):
        q += np.float64(work.gain[j]) * np.float64(work.rest[j])
    if not q >= 0.0 or not math.isfinite(q):
        return False
    n_before = own.n_rows[label]
    own.n_rows[label] = n_before + 1.0
    if n_before == 0.0:
        _move_mean(own, work, label, 1.0, 1.0)
        return True
    move = 1.0 / (n_before + 1.0)
    scale = _learn_scatter(own, work, n_classes, q, 1.0 - move)
    _move_mean(own, work, label, move, move * (1.0 - scale * q))
    n_learned = int(own.total[0])
    if n_learned % REFRESH_EVERY == 0:
        c = (n_learned // REFRESH_EVERY) % n_classes
        if own.n_rows[c] > 0.0:
            _refresh(own, work, c)
    return True


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Learn the row in scratch."""
    if settings.n_fixed == 0:
        return
    own = state.experts.discriminant
    n_classes = state.counts.n_classes
    if own.n_rows[label] > 0.0:
        n_seen = state.counts.n_seen
        _compare_temperatures(own.log_likelihoods, scores, n_classes, label, n_seen)
    traces = scratch.fixed.traces
    if not learn_row(own, scratch.experts.discriminant, traces, n_classes, label):
        state.counts.n_skipped += 1


def check(settings: Any, state: Any, n_classes: int) -> None:
    """Raise ValueError if a number of rows is negative, or there is no prior."""
    own = state.experts.discriminant
    if not (own.n_rows >= 0.0).all() or not own.total[0] > 0.0:
        raise ValueError("`n_rows` and `total` of 'discriminant' must not be negative")


EXPERT = Expert(
    name="discriminant",
    state=State,
    scratch=Scratch,
    lengths=lengths,
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=log_odds,
    learn=learn,
    level_unknown=level_unknown,
    log_odds_names=lambda layout, settings: ["discriminant"] * n_scores(settings),
    check=check,
)
