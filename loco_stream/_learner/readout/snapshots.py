"""Snapshots: earlier models that answer again when their concept returns.

Hidden layers and readout are one map of the input; a copy of both is a snapshot. Where the same
inputs come to mean other classes no member can hold both meanings, and no look at the input tells
which one holds; only labels do. So a few snapshots are scored by the probability that each gave to
a label, beside the current readout and a blind guess. Their posterior weight is that of a Markov
chain: the current readout gives way to any of them once in 1 / SHARE rows and is back after 1 /
RETURN, since it learns what they know. This is Bayes' rule (close to the fixed share of Herbster &
Warmuth 1998; a guess changes no decision), and there is no level of error to tune: a few labels
decide where the predictions differ, and elsewhere it matters little.

When the current readout loses half of its weight its concept has ended, and its copy from before
then is kept. It replaces a snapshot of the same concept, one that recently did nearer as well as
the current readout than as badly as a guess, else the oldest one, so that a long concept does not
crowd out the others. Learning goes on as if no snapshot were in use. Weights are stored, never
rows.

Snapshots cost as much as a good part of the net and are not needed while the current readout is
right. They are evaluated for `EVAL_ROWS` rows after each of its mistakes, and as long as they have
more than `MIN_WEIGHT`. Rows between count neither for nor against them, and neither does a mistake
that starts an evaluation: chosen for being one, it would count against the current readout alone.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, Record, Shapes, axes, record
from loco_stream._learner.readout.softmax import softmax

CURRENT = 0  # positions in the posterior: the current readout,
GUESS = 1  # a blind guess,
FIRST = 2  # the snapshots from here on
START = (1.0, 1e-3)  # posterior of the first two

SPACING = 200  # rows from one copy to the next
SHARE = 1e-3
RETURN = 5e-3
MIN_PROBABILITY = 1e-2  # granted to every label: a few mistakes are not yet the end of a concept
EVAL_ROWS = 8  # after a mistake
MIN_WEIGHT = 0.05  # what SHARE lets flow to four snapshots within a dozen rows
SCORE_RATE = 0.02  # of what a snapshot gave to the labels, in log-probability


def _start_posterior(posterior: Array, shapes: Shapes) -> None:
    posterior[:2] = START


class SnapshotState(NamedTuple):
    """Earlier models.

    posterior, recent_score: of the current readout, a blind guess and the snapshots
    counters: slot of the next copy; age in rows of the copy made last, below 0: none yet; snapshots
    kept so far; rows for which they are still evaluated
    ids: number of each snapshot, from 1 in the order they were kept; 0: none
    weights, deep_weights: hidden layers of each, run with the gains of `Net`, which are fixed from
    row 300 on
    readouts: what its members add up to
    """

    posterior: Annotated[Float64, axes("posteriors", start=_start_posterior, within=NOT_NEGATIVE)]
    recent_score: Annotated[Float64, axes("posteriors")]
    counters: Annotated[Record, record(np.int64, slot=0, age=-SPACING, n_kept=0, eval_rows=0)]
    ids: Annotated[Int64, axes("snapshots")]
    weights: Annotated[Float32, axes("snapshots", "channels", "first_layer")]
    deep_weights: Annotated[Float32, axes("snapshots", "deep_layers", "below", "above")]
    readouts: Annotated[Float32, axes("snapshots", "inputs", "classes")]


def needs_evaluation(posterior: Float64, eval_rows: int) -> bool:
    """Return whether snapshots are evaluated on a row: some have weight, and it may matter."""
    weight = 0.0
    for e in range(FIRST, len(posterior)):
        weight += posterior[e]
    return weight > MIN_WEIGHT or (weight > 0.0 and eval_rows > 0)


are_evaluated = kernel(needs_evaluation)  # the same for compiled code


@kernel
def mix_snapshots(posterior, outputs, n_classes, capacity, buffer, proba):
    """Mix the probabilities of the snapshots into those of the current readout, in place.

    Parameters
    ----------
    posterior
        (2 + snapshots,) float64.
    outputs
        (snapshots * capacity,) float32 outputs of the snapshots.
    n_classes, capacity
        int64.
    buffer
        (n_classes or more,) float64 working memory.
    proba
        (n_classes or more,) float64, overwritten.
    """
    total = posterior[CURRENT]
    for c in range(n_classes):
        proba[c] *= posterior[CURRENT]
    for s in range(len(posterior) - FIRST):
        weight = posterior[FIRST + s]
        if weight > 0.0:
            softmax(outputs, s * capacity, n_classes, 1.0, buffer)
            total += weight
            for c in range(n_classes):
                proba[c] += weight * buffer[c]
    for c in range(n_classes):
        proba[c] /= total


@kernel
def _likelihood(chance, share):
    """Return the likelihood of `share` of an observation."""
    return chance if share == 1.0 else math.exp(share * math.log(chance))


@kernel
def update_posterior(snapshots, now, row, share):
    """Score every model by `share` of a label, then move weight from and to the current one.

    Parameters
    ----------
    snapshots
        `SnapshotState`.
    now
        `ReadoutPass` when the row was predicted: `mixed` are the probabilities of the current
        readout, `snapshots` the outputs of the snapshots.
    row
        (label, number of classes, class capacity), int64.
    share
        float64.
    """
    label, n_classes, capacity = row
    posterior = snapshots.posterior
    scores = snapshots.recent_score
    counters = snapshots.counters
    proba = now.mixed
    chance = max(proba[label], MIN_PROBABILITY)
    evaluated = are_evaluated(posterior, counters.eval_rows)
    highest = 0.0
    for c in range(n_classes):
        highest = max(highest, proba[c])
    is_right = proba[label] == highest
    counters.eval_rows = max(counters.eval_rows - 1, 0) if is_right else EVAL_ROWS
    posterior[CURRENT] *= _likelihood(chance, share)
    posterior[GUESS] /= n_classes if share == 1.0 else math.exp(share * math.log(n_classes))
    if evaluated:
        scores[GUESS] += share * SCORE_RATE * (-math.log(n_classes * chance) - scores[GUESS])
    total = posterior[CURRENT] + posterior[GUESS]
    for s in range(len(posterior) - FIRST):
        if posterior[FIRST + s] > 0.0:
            own = chance
            if evaluated:
                softmax(now.snapshots, s * capacity, n_classes, 1.0, now.buffer)
                own = max(now.buffer[label], MIN_PROBABILITY)
                score = scores[FIRST + s]
                scores[FIRST + s] += share * SCORE_RATE * (math.log(own / chance) - score)
            posterior[FIRST + s] *= _likelihood(own, share)
            total += posterior[FIRST + s]
    _let_flow(posterior, total, share)


@kernel
def _let_flow(posterior, total, share):
    """Normalise the posterior, and move weight from and to the current readout."""
    current = posterior[CURRENT] / total
    posterior[CURRENT] = 1.0
    for e in range(GUESS, len(posterior)):
        if posterior[e] > 0.0:
            posterior[e] = (1.0 - RETURN) * posterior[e] / total + share * SHARE * current
            posterior[CURRENT] -= posterior[e]


@kernel
def _next_slot(snapshots, kept):
    """Return where the next copy goes, `kept` excepted.

    Over a snapshot of the same concept, else the oldest.
    """
    chosen = kept
    lowest = math.inf
    scores = snapshots.recent_score
    for s in range(len(snapshots.ids)):
        rank = float(snapshots.ids[s])
        if snapshots.posterior[FIRST + s] > 0.0 and scores[FIRST + s] > 0.5 * scores[GUESS]:
            rank = -1e6 - scores[FIRST + s]  # the same concept, the one that fits best first
        if s != kept and rank < lowest:
            chosen = s
            lowest = rank
    return chosen


@kernel
def tick(snapshots):
    """Return whether to copy the current model now; if it has lost its weight, keep the last copy.

    `snapshots` is `SnapshotState`.
    """
    posterior = snapshots.posterior
    counters = snapshots.counters
    slot = counters.slot
    if posterior[CURRENT] < 0.5:
        if counters.age >= 0:
            counters.n_kept += 1
            snapshots.ids[slot] = counters.n_kept
            posterior[FIRST + slot] = SHARE
            snapshots.recent_score[FIRST + slot] = 0.0
            counters.slot = _next_slot(snapshots, slot)
            counters.age = -SPACING
        return False
    counters.age += 1
    due = counters.age >= 0 and counters.age % SPACING == 0
    if due:
        posterior[CURRENT] += posterior[FIRST + slot]
        posterior[FIRST + slot] = 0.0
        snapshots.ids[slot] = 0
    return due


@kernel
def keep_snapshot(settings, state, weights, slot):
    """Copy the hidden layers, and the readout as one linear map of all inputs, to a slot.

    `weights` is (outputs,) float64, the weight of each block of outputs; `slot` is an int64.
    """
    snapshots = state.snapshots
    net = state.net
    own = state.experts.least_squares
    capacity = len(state.classes.n_rows)
    _copy(net.weights, snapshots.weights[slot])
    _copy(state.texts.weights, state.texts.snapshots[slot])
    for layer in range(len(net.deep_weights)):
        _copy(net.deep_weights[layer], snapshots.deep_weights[slot, layer])
    n_trace = settings.n_trace * settings.n_losses
    n_linear = settings.n_linear * settings.n_losses
    first = settings.n_hidden
    for j in range(snapshots.readouts.shape[1]):
        for c in range(capacity):
            total = 0.0
            for b in range(n_trace):
                total += weights[b] * own.weights[j, b * capacity + c]
            if j >= first:
                for b in range(n_linear):
                    weight = own.linear_weights[j - first, b * capacity + c]
                    total += weights[n_trace + b] * weight
            snapshots.readouts[slot, j, c] = total


@kernel
def _copy(source, target):
    for j in range(len(source)):
        for i in range(source.shape[1]):
            target[j, i] = source[j, i]
