"""A streaming linear discriminant on the outputs of the fixed layer, which forgets nothing.

Each class is a Gaussian around its mean; all share one covariance. Kept are the mean M_c of each
class, the precision P (the inverse of the scatter within classes and of a prior), and what scores
need of them: V_c = P M_c and B_c = M_c'V_c. A row z of class y, with v = z - M_y, r = P v, q = r'v,
e = 1 / (n_y + 1) and a = 1 - e, changes

    P <- P - s r r' with s = a / (1 + a q),   M_y <- M_y + e v,   N <- N + 1

and V and B with them (linear discriminant analysis, updated row by row: Pang, Ozawa & Kasabov
2005). A few rows wait for each other and are then learned in turn, because P is too large for the
processor's caches and passes through them once for all. A row of a class of few rows does not wait:
it moves the mean of its class. Each row is one step of the same size as its share of all rows,
whenever it came; so the order of classes does not matter. The score of a class is its
log-likelihood, up to what all classes share:

    S_c = N (V_c'z - B_c / 2) + f / (2 n_c),   f = d - p0 tr P

for d inputs and a prior of p0 rows. The last term takes away the bias of a mean of few rows: a
row's distance from such a mean is larger by d / n_c for every class alike.

Where inputs change, the means are those of the current domain, and a class has the best score of
all domains; see `domains`.

Scores rank the classes, but as probabilities they are far too certain. A few temperatures are
compared by the probability that each gave to the labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int64
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import dot
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, POSITIVE, Record, Shapes, axes, record
from loco_stream._learner.jobs import PRECISION
from loco_stream._learner.readout import domains
from loco_stream._learner.readout.experts._definition import Expert, Merge
from loco_stream._learner.readout.softmax import log_loss_of
from loco_stream._learner.readout.symmetric import (
    YOUNG,
    add_steps,
    check_pending,
    let_wait,
    multiply,
    multiply_together,
    subtract_changes,
)

PRIOR_POWER = 2.5  # mean square of a trace about the mean of its class, before any row
# Rows that this counts as, at least and at most; between them, the square of the number of features
# over `SQUARED`. With fewer, hundreds of traces drown what is linear in a wide row for thousands of
# rows.
PRIOR_ROWS = (30.0, 320.0)
SQUARED = 600.0
TEMPERATURES = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # factors of the scores
DECAY = 0.998  # of the log-probabilities that they are compared by, per row
EARLY = 2.0  # of the first n rows the last n / EARLY count
MAX_LOSS = 20.0  # that one row can add
_NO_DRIFT = (np.float32(1.0), np.float32(0.0))
_PREFIX = "experts.discriminant."  # of the arrays of a model
CLASS_ROWS = 8.0  # from which on the mean of a class is known
REFRESH_EVERY = 16  # rows after which one class's V is computed anew, against rounding


def prior_power(n_skip: int) -> float:
    """Return the prior of the scatter: its rows times their mean square.

    `n_skip` is the number of outputs of the skip connection.
    """
    return PRIOR_POWER * min(max(n_skip * n_skip / SQUARED, PRIOR_ROWS[0]), PRIOR_ROWS[1])


_prior_power = kernel(prior_power)  # the same for compiled code


def _first_prior(shapes: Shapes) -> float:
    return prior_power(shapes.lengths["fixed_outputs"] - shapes.settings.n_fixed)


def _start_precision(precision: Array, shapes: Shapes) -> None:
    np.fill_diagonal(precision, 1.0 / _first_prior(shapes))


def _start_trace(trace: Array, shapes: Shapes) -> None:
    trace.fill(shapes.lengths["fixed_outputs"] / _first_prior(shapes))


def _start_rows(total: Array, shapes: Shapes) -> None:
    total.fill(_first_prior(shapes) / PRIOR_POWER)


class State(NamedTuple):
    """What is known of the classes.

    means: of each class in the current domain
    projected: P times each mean
    offsets: product of each mean and its projection
    n_rows: of each class in the current domain
    precision: P, of which only the upper triangle is kept up to date; trace: the sum of its
    diagonal
    total: rows that the scatter is of, with those of the prior
    pending, n_pending: gains times the root of their steps, of rows that `precision` does not have
    yet
    waiting, n_waiting: rows that nothing here has yet
    waiting_classes: 1 for the class of each, 0 for others
    log_likelihoods: of recent labels, by temperature
    recent_rests, recent_gains: sums over recent rows of what each differs from the mean of its
    class, and of P times it
    recent: number of these rows, and sum of the products of both of each
    """

    means: Annotated[Float32, axes("classes", "fixed_outputs")]
    projected: Annotated[Float32, axes("classes", "fixed_outputs")]
    offsets: Annotated[Float64, axes("classes")]
    n_rows: Annotated[Float64, axes("classes", within=NOT_NEGATIVE)]
    precision: Annotated[Float32, axes("fixed_outputs", "fixed_outputs", start=_start_precision)]
    pending: Annotated[Float32, axes("batch", "fixed_outputs")]
    n_pending: Annotated[Int64, axes(1)]
    waiting: Annotated[Float32, axes("batch", "fixed_outputs")]
    waiting_classes: Annotated[Float32, axes("batch", "classes")]
    n_waiting: Annotated[Int64, axes(1)]
    trace: Annotated[Float64, axes(1, start=_start_trace)]
    total: Annotated[Float64, axes(1, start=_start_rows, within=POSITIVE)]
    log_likelihoods: Annotated[Float64, axes(len(TEMPERATURES))]
    recent_rests: Annotated[Float32, axes("fixed_outputs")]
    recent_gains: Annotated[Float32, axes("fixed_outputs")]
    recent: Annotated[Record, record(np.float64, n_rows=0.0, energy=0.0)]


class Scratch(NamedTuple):
    """Working arrays.

    rests: of each row that is learned, the inputs less the mean of its class; gains: P times it;
    labels: this class; moves: step of its mean; energies: product of rest and gain, -1 where a row
    was skipped
    shares: each gain times each mean, and what V takes of it
    n_learned: rows of which these are, since the row before
    """

    rests: Annotated[Float32, axes("batch", "fixed_outputs")]
    gains: Annotated[Float32, axes("batch", "fixed_outputs")]
    labels: Annotated[Int64, axes("batch")]
    moves: Annotated[Float64, axes("batch")]
    energies: Annotated[Float64, axes("batch")]
    n_learned: Annotated[Int64, axes(1)]
    shares: Annotated[Float32, axes("batch", "classes")]


def n_scores(settings: Any) -> int:
    """Return one block where there is a fixed layer."""
    return int(settings.n_fixed > 0)


@kernel
def level_unknown(scores, n_known):
    """Give the classes from `n_known` (int64) on the mean score of the others: no evidence."""
    total = 0.0
    for c in range(n_known):
        total += np.float64(scores[c])
    mean = np.float32(total / max(n_known, 1))
    for c in range(n_known, len(scores)):
        scores[c] = mean


@kernel
def _freedom(own, prior):
    """Return f: the inputs whose scatter is known; `own` and `prior` as in `write_scores`."""
    return own.means.shape[1] - prior * own.trace[0]


@kernel
def write_scores(own, n_classes, prior, scores):
    """Turn V_c'z into scores, in place; a class without rows has the mean of the others.

    Parameters
    ----------
    own
        `State`.
    n_classes
        int64.
    prior
        float64: rows of the prior times their mean square.
    scores
        (n_classes or more,) float32: V_c'z of each class, overwritten.
    """
    total = own.total[0]
    free = _freedom(own, prior)
    sum_of_known = 0.0
    n_known = 0
    for c in range(n_classes):
        if own.n_rows[c] > 0.0:
            score = total * (np.float64(scores[c]) - 0.5 * own.offsets[c])
            score += 0.5 * free / own.n_rows[c]
            scores[c] = score
            sum_of_known += score
            n_known += 1
    mean = np.float32(sum_of_known / max(n_known, 1))
    for c in range(len(scores)):
        if c >= n_classes or own.n_rows[c] == 0.0:
            scores[c] = mean


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the score of each class."""
    if settings.n_fixed == 0:
        return
    own = state.experts.discriminant
    inputs = scratch.fixed.outputs
    n = len(inputs)
    n_classes = state.counts.n_classes
    prior = _prior_power(n - settings.n_fixed)
    for c in range(n_classes):
        scores[c] = dot(own.projected, c * n, inputs, 0, n)
    write_scores(own, n_classes, prior, scores)
    if state.domains.counters.n_domains > 1:
        free = _freedom(own, prior)
        earlier = scratch.domains.scores
        scratch.domains.lead[0] = domains.add_earlier_scores(
            state.domains, inputs, own, free, earlier, scores
        )


@kernel
def temperature(log_likelihoods):
    """Return the factor of the scores that gave recent labels the highest probability."""
    best = 0
    for i in range(1, len(log_likelihoods)):
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
    for i in range(len(log_likelihoods)):
        loss = log_loss_of(scores, n_classes, TEMPERATURES[i], label)
        log_likelihoods[i] = keep * log_likelihoods[i] - min(loss, MAX_LOSS)


@kernel
def multiply_rests(own, work, n_rows):
    """Write P times the first rests in scratch.

    Parameters
    ----------
    own, work
        `State`, and `Scratch`, of which the first gains are written.
    n_rows
        int64: number of rests.
    """
    symmetric = (own.precision, own.pending, own.n_pending[0])
    own.n_pending[0] = multiply(symmetric, work.rests, n_rows, work.gains, True, _NO_DRIFT)


@kernel
def _learn_scatter(own, work, n_classes, k, label, q):
    """Take a rest in scratch into the precision and the mean of its class.

    Write what the projection of each class takes of its gain.

    Parameters
    ----------
    n_classes
        int64.
    k, label
        int64: position of the rest, and its class.
    q
        float64: rest'P rest.
    """
    n = own.means.shape[1]
    rest = work.rests[k]
    gain = work.gains[k]
    shares = work.shares[k]
    move = work.moves[k]
    scale = (1.0 - move) / (1.0 + (1.0 - move) * q)
    turn = move * (1.0 - scale * q)
    own.trace[0] -= scale * np.float64(dot(gain, 0, gain, 0, n))
    for c in range(n_classes):
        shares[c] = dot(own.means, c * n, gain, 0, n)
        share = np.float64(shares[c])
        own.offsets[c] -= scale * share * share
        shares[c] *= np.float32(-scale)
    # The mean of this class moves too: (M + e v)'(P - s r r')(M + e v), with P v = r.
    share = -np.float64(shares[label]) / scale
    moved = share + move * q
    own.offsets[label] += scale * share * share + 2.0 * move * share + move * move * q
    own.offsets[label] -= scale * moved * moved
    shares[label] += np.float32(turn)
    root = np.float32(math.sqrt(scale))
    for j in range(n):
        own.means[label, j] += np.float32(move) * rest[j]
        own.pending[own.n_pending[0], j] = root * gain[j]
    own.n_pending[0] += 1
    own.n_rows[label] += 1.0
    own.total[0] += 1.0


@kernel
def _project(own, work, vector):
    """Write P times a vector, (inputs,) float32, as the first gain; return their product."""
    n = len(vector)
    for j in range(n):
        work.rests[0, j] = vector[j]
    multiply_rests(own, work, 1)
    return np.float64(dot(work.gains, 0, vector, 0, n))


@kernel
def project_all(own, work, n_classes):
    """Compute the projection of every class with rows anew; parameters as in `project_change`."""
    for c in range(n_classes):
        if own.n_rows[c] > 0.0:
            _keep_projection(own, work, c, _project(own, work, own.means[c]))


@kernel
def _keep_projection(own, work, c, offset):
    """Make the first gain in scratch and its product with the mean those of class `c` (int64)."""
    for j in range(own.means.shape[1]):
        own.projected[c, j] = work.gains[0, j]
    own.offsets[c] = offset


@kernel
def project_change(own, work, n_classes, recent):
    """Write the mean of all rows, and P times what another mean differs from it, into scratch.

    Parameters
    ----------
    own, work
        `State`, and `Scratch`, of which the first of `rests` and `gains` are written.
    n_classes
        int64.
    recent
        (inputs,) float32: the other mean.
    """
    n = own.means.shape[1]
    n_rows = 0.0
    for c in range(n_classes):
        n_rows += own.n_rows[c]
    _project(own, work, recent)
    mean = work.rests[0]
    change = work.gains[0]
    for j in range(n):
        mean[j] = 0.0
    for c in range(n_classes):
        share = np.float32(own.n_rows[c] / n_rows)
        for j in range(n):
            mean[j] += share * own.means[c, j]
            change[j] -= share * own.projected[c, j]


@kernel
def _write_rests(own, work, n_classes):
    """Write what each waiting row differs from the mean that its class has before it."""
    n = own.means.shape[1]
    for k in range(own.n_waiting[0]):
        label = 0
        for c in range(n_classes):
            if own.waiting_classes[k, c] != 0.0:
                label = c
        work.labels[k] = label
        n_rows = own.n_rows[label]
        rest = work.rests[k]
        for j in range(n):
            rest[j] = own.waiting[k, j] - own.means[label, j]
        for i in range(k):
            if work.labels[i] == label:
                n_rows += 1.0
                for j in range(n):
                    rest[j] -= np.float32(work.moves[i]) * work.rests[i, j]
        work.moves[k] = 1.0 / (n_rows + 1.0)


@kernel
def _add_recent(own, work, k, q):
    """Add a rest in scratch to those of recent rows, if the mean of its class is known.

    `k` (int64) is the position of the rest, and `q` (float64) its product with its gain.
    """
    if work.moves[k] > 1.0 / (CLASS_ROWS + 1.0):
        return
    rest = work.rests[k]
    gain = work.gains[k]
    for j in range(len(rest)):
        own.recent_rests[j] += rest[j]
        own.recent_gains[j] += gain[j]
    own.recent.n_rows += 1.0
    own.recent.energy += q


@kernel
def _learn_waiting(own, work, jobs, n_classes):
    """Learn the rows that wait; return how many were skipped, since their step was not finite."""
    n = own.means.shape[1]
    n_waiting = own.n_waiting[0]
    if n_waiting == 0:
        return 0
    _write_rests(own, work, n_classes)
    own.n_waiting[0] = 0
    work.n_learned[0] = n_waiting
    symmetric = (own.precision, own.pending, own.n_pending[0])
    has_room = own.n_pending[0] + n_waiting <= len(own.pending)
    own.n_pending[0] = multiply_together(
        jobs, PRECISION, symmetric, work.rests, n_waiting, work.gains, has_room, _NO_DRIFT
    )
    first = own.n_pending[0]
    n_before = int(own.total[0])
    n_skipped = 0
    for k in range(n_waiting):
        n_pending = own.n_pending[0]
        subtract_changes(own.pending, first, n_pending, work.rests[k], work.gains[k])
        q = np.float64(dot(work.gains[k], 0, work.rests[k], 0, n))
        work.energies[k] = -1.0
        if q >= 0.0 and math.isfinite(q):
            work.energies[k] = q
            _add_recent(own, work, k, q)
            _learn_scatter(own, work, n_classes, k, work.labels[k], q)
        else:
            for c in range(n_classes):
                work.shares[k, c] = 0.0
            n_skipped += 1
    add_steps(own.projected, n_classes, (0, n), work.shares, work.gains, n_waiting)
    turn = int(own.total[0]) // REFRESH_EVERY
    c = turn % n_classes
    if turn > n_before // REFRESH_EVERY and own.n_rows[c] > 0.0:
        _keep_projection(own, work, c, _project(own, work, own.means[c]))
    return n_skipped


@kernel
def _learn_first(own, work, inputs, label):
    """Take the first row of a class as its mean; return whether it was skipped (0 or 1)."""
    q = _project(own, work, inputs)
    if not q >= 0.0 or not math.isfinite(q):
        return 1
    for j in range(len(inputs)):
        own.means[label, j] = inputs[j]
    _keep_projection(own, work, label, q)
    own.n_rows[label] = 1.0
    return 0


@kernel
def learn_row(own, work, jobs, inputs, n_classes, label):
    """Learn a row, or let it wait.

    Parameters
    ----------
    own, work, jobs
        `State`, `Scratch` and `JobScratch`.
    inputs
        (inputs,) float32.
    n_classes, label
        int64.

    Returns
    -------
    int
        Number of rows that were skipped, since the numbers of their step were not finite.
    """
    if own.n_rows[label] == 0.0:
        n_skipped = _learn_waiting(own, work, jobs, n_classes)
        return n_skipped + _learn_first(own, work, inputs, label)
    is_full = let_wait(own, inputs, label)
    if is_full or own.n_rows[label] < YOUNG:
        return _learn_waiting(own, work, jobs, n_classes)
    return 0


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
    work = scratch.experts.discriminant
    work.n_learned[0] = 0
    state.counts.n_skipped += learn_row(
        own, work, scratch.jobs, scratch.fixed.outputs, n_classes, label
    )


def check(settings: Any, state: Any, n_classes: int) -> None:
    """Raise ValueError if more rows are pending or waiting than there is room for."""
    own = state.experts.discriminant
    check_pending("discriminant", own, own.n_pending[0], len(own.pending), own.n_rows)


class _Means(NamedTuple):
    """Rows and means of each class, (domains, classes) and (domains, classes, inputs)."""

    n_rows: Float64
    means: Float64


class _Moments(NamedTuple):
    """Sums over rows: their number and their sum for each class, and of z z', with the prior."""

    n_rows: Float64
    sums: Float64
    squares: Float64


def _means_of(arrays: Mapping[str, Array]) -> _Means:
    """Return the rows and the mean of each class, in the current domain and in each earlier one."""
    n_rows = [arrays[f"{_PREFIX}n_rows"]]
    means = [arrays[f"{_PREFIX}means"].astype(np.float64)]
    for positions in domains.earlier_positions(arrays):
        has_mean = positions > 0
        kept = np.zeros_like(n_rows[0])
        kept[has_mean] = arrays["domains.statistics"][positions[has_mean] - 1, 0]
        n_rows.append(kept)
        own = np.zeros_like(means[0])
        own[has_mean] = arrays["domains.means"][positions[has_mean] - 1]
        means.append(own)
    return _Means(np.array(n_rows), np.array(means))


def _prior_rows(arrays: Mapping[str, Array]) -> float:
    """Return the rows of the prior: the first row of a mean adds nothing to the scatter."""
    n_rows = _means_of(arrays).n_rows
    return float(arrays[f"{_PREFIX}total"][0] - np.maximum(n_rows - 1.0, 0.0).sum())


def _moments_of(arrays: Mapping[str, Array]) -> _Moments:
    """Return the moments of a model, with the rows that wait."""
    precision = np.triu(arrays[f"{_PREFIX}precision"]).astype(np.float64)
    precision += np.triu(precision, 1).T
    pending = arrays[f"{_PREFIX}pending"][: int(arrays[f"{_PREFIX}n_pending"][0])]
    precision -= pending.astype(np.float64).T @ pending
    of_domains = _means_of(arrays)
    all_sums = of_domains.n_rows[:, :, None] * of_domains.means
    squares = np.linalg.inv(precision) + np.einsum("dci,dcj->ij", all_sums, of_domains.means)
    n_rows = of_domains.n_rows.sum(axis=0)
    sums = all_sums.sum(axis=0)
    n_waiting = int(arrays[f"{_PREFIX}n_waiting"][0])
    rows = arrays[f"{_PREFIX}waiting"][:n_waiting].astype(np.float64)
    classes = arrays[f"{_PREFIX}waiting_classes"][:n_waiting].astype(np.float64)
    n_rows += classes.sum(axis=0)
    sums += classes.T @ rows
    return _Moments(n_rows, sums, squares + rows.T @ rows)


def _start_of(parts: Merge, prior_rows: float) -> _Moments:
    """Return the moments that all models began with."""
    if parts.base is not None:
        return _moments_of(parts.base)
    means = np.zeros_like(parts.arrays[f"{_PREFIX}means"], dtype=np.float64)
    prior = PRIOR_POWER * prior_rows * np.eye(means.shape[1])
    return _Moments(np.zeros(len(means)), means, prior)


def merge(parts: Merge) -> None:
    """Pool the moments of all models, in float64.

    The sum of z z' over the rows of all classes adds up over models. The scatter within classes is
    this sum less n_c M_c M_c' of each class. The domains of the models are not the same, so all
    become one.
    """
    arrays = parts.arrays
    if arrays[f"{_PREFIX}precision"].size == 0:
        return
    prior_rows = _prior_rows(arrays)
    start = _start_of(parts, prior_rows)
    again = len(parts.parts) - 1
    moments = [_moments_of(part) for part in parts.parts]
    n_rows = np.sum([part.n_rows for part in moments], axis=0) - again * start.n_rows
    sums = np.sum([part.sums for part in moments], axis=0) - again * start.sums
    squares = np.sum([part.squares for part in moments], axis=0) - again * start.squares
    means = sums / np.maximum(n_rows, 1.0)[:, None]
    precision = np.linalg.inv(squares - sums.T @ means)
    projected = means @ precision
    arrays[f"{_PREFIX}precision"][:] = 0.5 * (precision + precision.T)
    arrays[f"{_PREFIX}pending"][:] = 0.0
    arrays[f"{_PREFIX}n_pending"][0] = 0
    arrays[f"{_PREFIX}waiting"][:] = 0.0
    arrays[f"{_PREFIX}n_waiting"][0] = 0
    arrays[f"{_PREFIX}means"][:] = means
    arrays[f"{_PREFIX}projected"][:] = projected
    arrays[f"{_PREFIX}offsets"][:] = (means * projected).sum(axis=1)
    arrays[f"{_PREFIX}n_rows"][:] = n_rows
    arrays[f"{_PREFIX}trace"][0] = np.trace(precision)
    arrays[f"{_PREFIX}total"][0] = prior_rows + np.maximum(n_rows - 1.0, 0.0).sum()
    for name in ("recent_rests", "recent_gains", "recent"):
        arrays[f"{_PREFIX}{name}"][:] = 0.0
    domains.forget(arrays)


EXPERT = Expert(
    name="discriminant",
    state=State,
    scratch=Scratch,
    n_scores=n_scores,
    n_log_odds=n_scores,
    predict=predict,
    log_odds=log_odds,
    learn=learn,
    level_unknown=level_unknown,
    log_odds_names=lambda layout, settings: ["discriminant"] * n_scores(settings),
    check=check,
    merge=merge,
)
