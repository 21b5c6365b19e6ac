"""Recall: readouts of old that speak again when their concept returns.

The readout is one linear map of its inputs, whatever its members; a copy of it is a snapshot. Where the same inputs
come to mean other classes no member can hold both meanings, and no look at the input tells which one holds: only the
labels do. So a handful of snapshots is judged by what probability each gave to every label, beside the readout in
force and a blind guess. Their weights are those of a Markov chain: the readout in force gives way to any of them once
in 1 / SHARE samples, and is back after 1 / RETURN, for it learns what they know. This is Bayes' rule for who speaks
(close to the fixed share of Herbster and Warmuth, 1998; it is scores that are mixed, so that a guess changes no
decision), and there is no level of error to tune: a few labels decide where the readings differ, and where they do not
it matters little who speaks. When the readout in force loses half of the weight its concept has ended, and its copy
from before then is kept. It takes the place of a snapshot of the same concept, one that lately did nearer as well as
the readout in force than as badly as a guess, else that of the oldest: a long concept does not crowd out the others.
Learning goes on as if nobody were recalled; what is stored are weights, never samples.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.state import SPACING

__all__ = ["any_speaks", "keep", "speak", "tick", "weigh"]

STACK, GUESS, FIRST = range(3)  # whose weights: the readout in force, a blind guess, the snapshots from here on
SLOT, AGE, N_KEPT = range(3)  # of the clock: the next copy's slot; samples since it was made, below 0: not yet; kept

SHARE = 1e-3
RETURN = 5e-3
LEAST = 1e-2  # probability granted to every label: a few mistakes are not yet the end of a concept
LATELY = 0.02  # fading rate of what a snapshot gave to the labels, in log-probability beyond the readout in force


@kernel
def any_speaks(weights):
    """Return whether there is a snapshot with a say."""
    said = 0.0
    for e in range(FIRST, weights.shape[0]):
        said += weights[e]
    return said > 0.0


@kernel
def speak(weights, outs, n_classes, capacity, scores):
    """Mix the scores of the readout in force with those of the snapshots, in place; a guess scores nothing."""
    for c in range(n_classes):
        scores[c] *= weights[STACK]
        for s in range(weights.shape[0] - FIRST):
            scores[c] += weights[FIRST + s] * np.float64(outs[s * capacity + c])


@kernel
def _probability(scores, first, n_classes, label, sharpness):
    total = 0.0
    for c in range(n_classes):
        total += math.exp(min(sharpness * (scores[first + c] - scores[first + label]), 700.0))
    return max(1.0 / total, LEAST)


@kernel
def weigh(weights, fits, scores, outs, n_classes, capacity, label, sharpness):
    """Judge every speaker by a label, then let some weight flow out of and back to the readout in force.

    `fits` takes how well each did lately against the readout in force.
    """
    chance = _probability(scores, 0, n_classes, label, sharpness)
    weights[STACK] *= chance
    weights[GUESS] /= n_classes
    fits[GUESS] += LATELY * (-math.log(n_classes * chance) - fits[GUESS])
    total = weights[STACK] + weights[GUESS]
    for s in range(weights.shape[0] - FIRST):
        if weights[FIRST + s] > 0.0:
            own = _probability(outs, s * capacity, n_classes, label, sharpness)
            fits[FIRST + s] += LATELY * (math.log(own / chance) - fits[FIRST + s])
            weights[FIRST + s] *= own
            total += weights[FIRST + s]
    stack = weights[STACK] / total
    weights[STACK] = 1.0
    for e in range(GUESS, weights.shape[0]):
        if weights[e] > 0.0:
            weights[e] = (1.0 - RETURN) * weights[e] / total + SHARE * stack
            weights[STACK] -= weights[e]


@kernel
def _next_slot(weights, fits, births, kept):
    """Return where the next copy goes: over a snapshot of the concept of the one just kept, else over the oldest."""
    chosen, lowest = kept, math.inf
    for s in range(births.shape[0]):
        rank = float(births[s])
        if weights[FIRST + s] > 0.0 and fits[FIRST + s] > 0.5 * fits[GUESS]:
            rank = -1e6 - fits[FIRST + s]  # the same concept, the one that fits best first
        if s != kept and rank < lowest:
            chosen, lowest = s, rank
    return chosen


@kernel
def tick(weights, fits, clock, births):
    """Return whether to copy the readout in force now; on the loss of its weight the last copy gets a say."""
    slot = clock[SLOT]
    if weights[STACK] < 0.5:
        if clock[AGE] >= 0:
            clock[N_KEPT] += 1
            births[slot] = clock[N_KEPT]
            weights[FIRST + slot], fits[FIRST + slot] = SHARE, 0.0
            clock[SLOT] = _next_slot(weights, fits, births, slot)
            clock[AGE] = -SPACING
        return False
    clock[AGE] += 1
    due = clock[AGE] >= 0 and clock[AGE] % SPACING == 0
    if due:
        weights[STACK] += weights[FIRST + slot]
        weights[FIRST + slot] = 0.0
        births[slot] = 0
    return due


@kernel
def keep(traces, linear, stack, n_linear, first, capacity, slot, snapshots):
    """Write the readout in force as one linear map; inputs from `first` on are also those of the linear members."""
    n_trace = stack.shape[0] - n_linear
    for j in range(snapshots.shape[0]):
        for c in range(capacity):
            total = 0.0
            for m in range(n_trace):
                total += stack[m] * traces[j, m * capacity + c]
            if j >= first:
                for m in range(n_linear):
                    total += stack[n_trace + m] * linear[j - first, m * capacity + c]
            snapshots[j, slot * capacity + c] = np.float32(total)
