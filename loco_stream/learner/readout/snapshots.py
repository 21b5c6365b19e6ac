"""Recall: models of old that speak again when their concept returns.

Hidden layers and readout make one map of the input; a copy of both is a snapshot. Where the same
inputs come to mean other classes no member can hold both meanings, and no look at the input tells
which one holds: only the labels do. So a handful of snapshots is judged by what probability each
gave to a label, beside the readout in force and a blind guess. Their say is that of a Markov chain:
the readout in force gives way to any of them once in 1 / SHARE samples, and is back after 1 /
RETURN, for it learns what they know. This is Bayes' rule for who speaks (close to the fixed share
of Herbster and Warmuth, 1998; a guess changes no decision), and there is no level of error to tune:
a few labels decide where the readings differ, and where they do not it matters little who speaks.
When the readout in force loses half of its say its concept has ended, and its copy from before then
is kept. It takes the place of a snapshot of the same concept, one that lately did nearer as well as
the readout in force than as badly as a guess, else that of the oldest: a long concept does not
crowd out the others. Learning goes on as if nobody were recalled; what is stored are weights, never
samples.

Snapshots cost as much as a good part of the net, and while the readout in force is right nobody
needs them. So they are heard for `HEARD` rows behind each of its mistakes, and as long as they have
more than a `WHISPER` to say. Rows between count neither for nor against them, and neither does a
mistake that calls them: chosen for being one, it would tell against the readout in force alone.
What flows to them meanwhile makes them heard again now and then.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream.learner.readout.log_loss import softmax
from loco_stream.options import SPACING

__all__ = ["are_heard", "keep", "may_be_heard", "speak", "tick", "weigh"]

STACK, GUESS, FIRST = range(
    3
)  # whose say: the readout in force, a blind guess, the snapshots from here on
# Of the clock: the next copy's slot; samples since it was made, below 0: not yet; how many were
# kept; rows for which snapshots are still heard.
SLOT, AGE, N_KEPT, HEARING = range(4)

SHARE = 1e-3
RETURN = 5e-3
LEAST = 1e-2  # probability granted to every label: a few mistakes are not yet the end of a concept
HEARD = 8  # rows behind a mistake
WHISPER = 0.05  # of all say: what SHARE lets flow to four snapshots within a dozen rows
# fading rate of what a snapshot gave to the labels, in log-probability beyond the readout in force
LATELY = 0.02


def may_be_heard(speakers: NDArray[np.float64], clock: NDArray[np.int64]) -> bool:
    """Return whether snapshots are asked about a row: some have a say, and it may matter."""
    said = 0.0
    for e in range(FIRST, speakers.shape[0]):
        said += speakers[e]
    return said > WHISPER or (said > 0.0 and clock[HEARING] > 0)


are_heard = kernel(may_be_heard)  # the same for compiled code


@kernel
def speak(speakers, outputs, n_classes, capacity, room, proba):
    """Mix the snapshots' probabilities into those of the readout in force, in place.

    `room` is (n_classes,).
    """
    total = speakers[STACK]
    for c in range(n_classes):
        proba[c] *= speakers[STACK]
    for s in range(speakers.shape[0] - FIRST):
        say = speakers[FIRST + s]
        if say > 0.0:
            softmax(outputs, s * capacity, n_classes, 1.0, room)
            total += say
            for c in range(n_classes):
                proba[c] += say * room[c]
    for c in range(n_classes):
        proba[c] /= total


@kernel
def _likelihood(chance, share):
    """Return how likely `share` of an observation was."""
    return chance if share == 1.0 else math.exp(share * math.log(chance))


@kernel
def weigh(speakers, fits, clock, proba, outputs, n_classes, capacity, label, room, share):
    """Judge every speaker by `share` of a label, then let some say flow out of and back to the readout in force.

    `proba` are the probabilities of the readout in force; `fits` takes how well each did lately
    against it.
    """
    chance = max(proba[label], LEAST)
    heard = are_heard(speakers, clock)
    highest = 0.0
    for c in range(n_classes):
        highest = max(highest, proba[c])
    clock[HEARING] = max(clock[HEARING] - 1, 0) if proba[label] == highest else HEARD
    speakers[STACK] *= _likelihood(chance, share)
    speakers[GUESS] /= n_classes if share == 1.0 else math.exp(share * math.log(n_classes))
    if heard:
        fits[GUESS] += share * LATELY * (-math.log(n_classes * chance) - fits[GUESS])
    total = speakers[STACK] + speakers[GUESS]
    for s in range(speakers.shape[0] - FIRST):
        if speakers[FIRST + s] > 0.0:
            own = chance
            if heard:
                softmax(outputs, s * capacity, n_classes, 1.0, room)
                own = max(room[label], LEAST)
                fits[FIRST + s] += share * LATELY * (math.log(own / chance) - fits[FIRST + s])
            speakers[FIRST + s] *= _likelihood(own, share)
            total += speakers[FIRST + s]
    stack = speakers[STACK] / total
    speakers[STACK] = 1.0
    for e in range(GUESS, speakers.shape[0]):
        if speakers[e] > 0.0:
            speakers[e] = (1.0 - RETURN) * speakers[e] / total + share * SHARE * stack
            speakers[STACK] -= speakers[e]


@kernel
def _next_slot(speakers, fits, births, kept):
    """Return where the next copy goes.

    Over a snapshot of the concept of the one just kept, else over the oldest.
    """
    chosen = kept
    lowest = math.inf
    for s in range(births.shape[0]):
        rank = float(births[s])
        if speakers[FIRST + s] > 0.0 and fits[FIRST + s] > 0.5 * fits[GUESS]:
            rank = -1e6 - fits[FIRST + s]  # the same concept, the one that fits best first
        if s != kept and rank < lowest:
            chosen = s
            lowest = rank
    return chosen


@kernel
def tick(speakers, fits, clock, births):
    """Return whether to copy the readout in force now.

    On the loss of its say the last copy gets a say.
    """
    slot = clock[SLOT]
    if speakers[STACK] < 0.5:
        if clock[AGE] >= 0:
            clock[N_KEPT] += 1
            births[slot] = clock[N_KEPT]
            speakers[FIRST + slot] = SHARE
            fits[FIRST + slot] = 0.0
            clock[SLOT] = _next_slot(speakers, fits, births, slot)
            clock[AGE] = -SPACING
        return False
    clock[AGE] += 1
    due = clock[AGE] >= 0 and clock[AGE] % SPACING == 0
    if due:
        speakers[STACK] += speakers[FIRST + slot]
        speakers[FIRST + slot] = 0.0
        births[slot] = 0
    return due


@kernel
def keep(settings, net, bank, weights, capacity, slot, old):
    """Copy the hidden layers and the readout in force, as one linear map of all inputs.

    `weights` are its blocks'.
    """
    _copy(net.weights, old.weights[slot])
    for layer in range(net.deep_weights.shape[0]):
        _copy(net.deep_weights[layer], old.deep_weights[slot, layer])
    n_trace = settings.n_trace * settings.n_losses
    n_linear = settings.n_linear * settings.n_losses
    first = settings.n_hidden
    for j in range(old.readouts.shape[1]):
        for c in range(capacity):
            total = 0.0
            for b in range(n_trace):
                total += weights[b] * np.float64(bank.traces[j, b * capacity + c])
            if j >= first:
                for b in range(n_linear):
                    total += weights[n_trace + b] * np.float64(
                        bank.linear[j - first, b * capacity + c]
                    )
            old.readouts[slot, j, c] = np.float32(total)


@kernel
def _copy(source, target):
    for j in range(source.shape[0]):
        for i in range(source.shape[1]):
            target[j, i] = source[j, i]
