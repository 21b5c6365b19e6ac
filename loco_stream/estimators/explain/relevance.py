"""What each feature adds to an answer.

The linear readout taken apart, and led back through the spikes to the row.

A readout member's output is a sum over its inputs, so an input adds exactly its value times its
weight. What a hidden neuron adds is shared out among the features by their shares of its drive,
which is a sum over features as well (layer-wise relevance propagation, Bach et al. 2015, rule z;
neurons that fire have a drive well above 0). What naive Bayes says is a sum over features by
itself. So the parts of all features, of the rows before, of the nearest centroids and kept rows,
and the constant add up to the score.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.learner.arrays.scratch import FRESH, Scratch
from loco_stream.learner.arrays.state import CLASS_COUNT, CLASS_ROWS, SPREAD, State
from loco_stream.learner.context.delays import lag_range
from loco_stream.learner.readout import naive_bayes
from loco_stream.learner.readout.ensemble import FIRST_EXPERT, SQUARES_EXPERT, STACK_EXPERT
from loco_stream.learner.readout.log_loss import SHARPNESS
from loco_stream.options import Settings

__all__ = ["Parts", "attribute"]

Float64 = NDArray[np.float64]


class Parts(NamedTuple):
    """What slots, (slots,), constant, rows before, and the nearest centroids and kept rows add to a score."""

    slots: Float64
    constant: float
    before: float
    nearest: float


def attribute(
    settings: Settings, state: State, scratch: Scratch, n_slots: int, n_classes: int, slot: int
) -> Parts:
    """Take the score of an output apart, for the row whose pass is in scratch.

    Parameters
    ----------
    n_slots, n_classes
        Features and texts, and outputs, that are known.
    slot
        The output: its log-odds less the mean of the others', or the standardised value of a
        regression.
    """
    hidden, (blocks, logistic, bayes) = settings.n_hidden, _says(settings, state, scratch)
    z = scratch.features[: hidden + 1 + n_slots].astype(np.float64)
    adds = z[:, None] * _weights(settings, state, blocks, logistic, n_slots, n_classes)
    if bayes > 0.0:
        adds[hidden:] += bayes * _bayes(state, z[hidden + 1 :], n_classes)
    column = _against_others(adds, slot)
    through_spikes = column[:hidden] @ _shares(settings, state, scratch, n_slots)
    before = float(column[:hidden].sum() - through_spikes.sum())
    nearest = 0.0
    if settings.n_says:
        nearest = float(
            _against_others(_nearest(settings, state, scratch, blocks, n_classes), slot)[0]
        )
    return Parts(column[hidden + 1 :] + through_spikes, float(column[hidden]), before, nearest)


def _against_others(of_classes: Float64, slot: int) -> Float64:
    """Return the column of a class less the mean of the others', where there are any."""
    column = of_classes[:, slot]
    others = of_classes.shape[1] - 1
    return column - (of_classes.sum(axis=1) - column) / others if others else column


def _nearest(
    settings: Settings, state: State, scratch: Scratch, blocks: Float64, n_classes: int
) -> Float64:
    """Return what centroids and kept rows add to the score of each output, (1, classes)."""
    said = scratch.answers.outputs.reshape(settings.n_blocks, state.classes.shape[1])[
        -settings.n_says :, :n_classes
    ]
    return (blocks[-settings.n_says :] @ said.astype(np.float64))[None, :]


def _bayes(state: State, z: Float64, n_classes: int) -> Float64:
    """Return what the constant and each feature add to the log-odds of naive Bayes, (1 + slots, classes)."""
    of_class = state.gaussians
    counts = state.classes[CLASS_COUNT, :n_classes]
    n = of_class.moments[CLASS_ROWS, :n_classes, None]
    means = of_class.means[:n_classes, : len(z)]
    variances = (n * of_class.squares[:n_classes, : len(z)] + naive_bayes.PRIOR) / (
        n + naive_bayes.PRIOR
    )
    without = -0.5 * means**2 / variances
    rest = np.clip(z, -naive_bayes.REACH, naive_bayes.REACH) - means
    spread = of_class.moments[SPREAD, :n_classes]
    constant = np.log(counts + naive_bayes.UNSEEN) - 0.5 * spread + without.sum(axis=1)
    return np.vstack([constant, (-0.5 * rest**2 / variances - without).T])


def _weights(
    settings: Settings, state: State, blocks: Float64, logistic: float, n_slots: int, n_classes: int
) -> Float64:
    """Return the weights of the linear experts, (inputs, classes), each times its say."""
    bank = state.bank
    hidden = settings.n_hidden
    capacity = state.classes.shape[1]
    weights = np.zeros((hidden + 1 + n_slots, n_classes))
    first = hidden - settings.n_last if settings.last_layer else 0
    n_inputs = min(bank.traces.shape[0], len(weights) - first)
    n_trace = settings.n_trace * settings.n_losses
    for block, say in enumerate(blocks[: len(blocks) - settings.n_says]):
        on_traces = block < n_trace
        table, at = (bank.traces, block) if on_traces else (bank.linear, block - n_trace)
        rows = slice(first, first + n_inputs) if on_traces else slice(hidden, None)
        weights[rows] += (
            say * table[: len(weights[rows]), at * capacity : at * capacity + n_classes]
        )
    if logistic:
        weights[hidden:] += logistic * bank.logistic[: n_slots + 1, :n_classes]
    return weights


def _says(settings: Settings, state: State, scratch: Scratch) -> tuple[Float64, float, float]:
    """Return the weight of each block of outputs in the score, of the logistic member, and of naive Bayes."""
    bank = state.bank
    losses = settings.n_losses
    if settings.regression or not settings.recursive:
        return scratch.answers.weights.copy(), 0.0, 0.0
    n_members = len(bank.stack)
    say = np.exp(bank.evidence - bank.evidence.max())
    say /= say.sum()
    blocks = say[STACK_EXPERT] * scratch.answers.weights
    blocks[: n_members * losses : losses] += say[SQUARES_EXPERT] * SHARPNESS * bank.stack
    blocks[1 : n_members * losses : losses] += say[FIRST_EXPERT : FIRST_EXPERT + n_members]
    logistic, bayes = say[FIRST_EXPERT + n_members :] if len(bank.logistic) else (0.0, 0.0)
    return blocks, float(logistic), float(bayes)


def _shares(settings: Settings, state: State, scratch: Scratch, n_slots: int) -> Float64:
    """Return each slot's share of each hidden trace, (hidden, slots).

    What is missing to 1 is of the rows before.
    """
    net = state.net
    sizes = state.net.sizes[0]
    traces = scratch.features[: settings.n_hidden].astype(np.float64)
    drives = scratch.run.drives[0].astype(np.float64)
    fresh = scratch.run.neurons[FRESH].astype(np.float64)
    lines = scratch.code.lines.astype(np.float64)
    n_fields = settings.n_fields
    first = _undelayed(settings, state)
    by_slot = (lines[:, None] * first).reshape(-1, n_fields, first.shape[1]).sum(axis=1)[:n_slots].T
    ends = [0, *np.cumsum(sizes).tolist()]
    parts: list[Float64] = []
    for layer, (start, end) in enumerate(pairwise(ends)):
        if layer:
            below = slice(ends[layer - 1], start)
            weights = net.deep_weights[layer - 1, : sizes[layer - 1], : end - start]
            by_slot = weights.T @ (traces[below, None] * parts[-1])
        of_drive = _ratio(by_slot, drives[start:end, None])
        is_new = _ratio(fresh[start:end], traces[start:end]) if settings.remembers else 1.0
        parts.append(of_drive * np.reshape(is_new, (-1, 1)))
    return np.concatenate(parts)


def _undelayed(settings: Settings, state: State) -> NDArray[np.float32]:
    """Return the first layer's weights of synapses without delay, 0 elsewhere.

    Others carry the rows before.
    """
    weights = state.net.weights
    if settings.max_delay == 0:
        return weights
    at_once = state.memory.targets[:, : lag_range(settings, weights.shape[1], 0)[1]]
    kept = np.zeros_like(weights)
    np.put_along_axis(kept, at_once, np.take_along_axis(weights, at_once, axis=1), axis=1)
    return kept


def _ratio(parts: Float64, whole: Float64) -> Float64:
    """Return parts / whole, 0 where the whole is 0."""
    return np.divide(
        parts,
        whole,
        out=np.zeros(np.broadcast_shapes(parts.shape, whole.shape)),
        where=whole != 0.0,
    )
