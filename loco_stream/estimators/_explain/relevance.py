"""What each feature adds to a prediction.

The readout decomposed, and traced back through the spikes.

An expert's output is a sum over its inputs, so an input adds exactly its value times its weight.
What a hidden neuron adds is shared among the features by their shares of its drive, which is a sum
over features as well (layer-wise relevance propagation, Bach et al. 2015, rule z; neurons that fire
have a drive well above 0). The parts of all features, of earlier rows, of the nearest centroids and
kept rows, and the constant add up to the score.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Float64
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.state import State
from loco_stream._learner.context.delays import lag_range
from loco_stream._learner.readout.ensemble import FIRST_OPINION, LOG_STACK, SQUARES_STACK
from loco_stream._learner.readout.experts import EXPERTS, Contribution, Expert, Weighting
from loco_stream._learner.readout.softmax import SHARPNESS
from loco_stream._learner.settings import Settings
from loco_stream.estimators._show import shares


class Parts(NamedTuple):
    """What the slots, (slots,), the constant, earlier rows, and points nearby add to a score."""

    slots: Float64
    constant: float
    before: float
    nearest: float


def decompose(
    settings: Settings, state: State, scratch: Scratch, n_classes: int, slot: int
) -> Parts:
    """Decompose the score of an output for the row whose pass is in scratch.

    n_classes: outputs that are known
    slot: the output: its log-odds less the mean of the others', or the standardised value of a
        regression
    """
    hidden = settings.n_hidden
    inputs = np.zeros((hidden + 1 + int(state.counts.n_features), n_classes))
    present = np.zeros_like(inputs)
    other = np.zeros(n_classes)
    for _, _, part in contributions(settings, state, scratch, n_classes):
        inputs += part.inputs
        present += part.present
        other += part.other
    column = inputs[:, slot] if settings.regression else _against_others(inputs, slot)
    of_traces, of_spikes = _shares(settings, state, scratch)
    through_spikes = column[:hidden] @ of_traces
    if settings.n_memoryless:
        through_spikes += present[:hidden, slot] @ of_spikes
        column = column + present[:, slot]
    before = float(column[:hidden].sum() - through_spikes.sum())
    near = other[slot] if settings.regression else _against_others(other[None, :], slot)[0]
    nearest = float(near)
    return Parts(column[hidden + 1 :] + through_spikes, float(column[hidden]), before, nearest)


def contributions(
    settings: Settings, state: State, scratch: Scratch, n_classes: int
) -> Iterator[tuple[Expert, Weighting, Contribution]]:
    """Yield every expert, how much it counts, and what it adds for the row in scratch."""
    for expert, weighting in zip(EXPERTS, _weightings(settings, state, scratch), strict=True):
        part = expert.contribution(settings, state, scratch, weighting, n_classes)
        yield expert, weighting, part


def _against_others(of_classes: Float64, slot: int) -> Float64:
    """Return the column of a class less the mean of the others', where there are any."""
    column = of_classes[:, slot]
    others = of_classes.shape[1] - 1
    return column - (of_classes.sum(axis=1) - column) / others if others else column


def _weightings(settings: Settings, state: State, scratch: Scratch) -> list[Weighting]:
    """Return how much each expert counts in the score."""
    outputs, opinions = _block_weights(settings, state, scratch)
    capacity = len(state.classes.n_rows)
    values = scratch.now.outputs.reshape(settings.n_outputs, capacity).astype(np.float64)
    weightings = []
    first = 0
    first_opinion = 0
    for expert in EXPERTS:
        last = first + expert.n_outputs(settings)
        last_opinion = first_opinion + expert.n_opinions(settings)
        scores = np.zeros(expert.n_scores(settings))  # of no weight where they give no opinion
        n = min(len(scores), last_opinion - first_opinion)
        scores[:n] = opinions[first_opinion : first_opinion + n]
        weightings.append(Weighting(outputs[first:last], scores, values[first:last]))
        first = last
        first_opinion = last_opinion
    return weightings


def _block_weights(settings: Settings, state: State, scratch: Scratch) -> tuple[Float64, Float64]:
    """Return the weight of each block of outputs in the score, and of each expert's opinions."""
    if settings.regression or not settings.recursive:
        return scratch.now.weights.copy(), np.zeros(settings.n_opinions)
    weights = shares(state.mixture.log_weights)
    losses = settings.n_losses
    stack = state.stacks.weights
    n_members = len(stack)
    outputs = weights[LOG_STACK] * scratch.now.weights
    outputs[: n_members * losses : losses] += weights[SQUARES_STACK] * SHARPNESS * stack
    own = weights[FIRST_OPINION : FIRST_OPINION + n_members]
    outputs[1 : n_members * losses : losses] += own
    return outputs, weights[FIRST_OPINION:]


def _shares(settings: Settings, state: State, scratch: Scratch) -> tuple[Float64, Float64]:
    """Return each slot's share of each hidden trace, (hidden, slots), and of its present part.

    What is missing to 1 belongs to earlier rows.
    """
    net = state.net
    sizes = net.n_post
    n_slots = int(state.counts.n_features)
    traces = scratch.clean.traces[: settings.n_hidden].astype(np.float64)
    drives = scratch.clean.drives.astype(np.float64)
    fresh = scratch.clean.fresh.astype(np.float64)
    channels = scratch.code.channels.astype(np.float64)
    first = _undelayed(settings, state)
    by_channel = channels[:, None] * first
    by_field = by_channel.reshape(-1, settings.n_fields, first.shape[1])
    is_text = state.texts.is_text[:n_slots] != 0
    by_slot = np.zeros((first.shape[1], n_slots))
    by_slot[:, ~is_text] = by_field.sum(axis=1)[: n_slots - is_text.sum()].T
    texts = scratch.texts.rows[: scratch.texts.n[0]]
    by_slot[:, np.flatnonzero(is_text)[texts]] = state.texts.weights[texts].T
    ends = [0, *np.cumsum(sizes).tolist()]
    parts: list[Float64] = []
    of_drives: list[Float64] = []
    for layer, (start, end) in enumerate(pairwise(ends)):
        if layer:
            below = slice(ends[layer - 1], start)
            weights = net.deep_weights[layer - 1, : sizes[layer - 1], : end - start]
            by_slot = weights.T @ (traces[below, None] * parts[-1])
        of_drive = _ratio(by_slot, drives[start:end, None])
        is_new = _ratio(fresh[start:end], traces[start:end]) if settings.remembers else 1.0
        of_drives.append(of_drive)
        parts.append(of_drive * np.reshape(is_new, (-1, 1)))
    return np.concatenate(parts), np.concatenate(of_drives)


def _undelayed(settings: Settings, state: State) -> Float32:
    """Return the first layer's weights of synapses without delay, 0 elsewhere."""
    weights: Float32 = state.net.weights
    if settings.max_delay == 0:
        return weights
    at_once = state.context.delay_targets[:, : lag_range(settings, weights.shape[1], 0)[1]]
    kept = np.zeros_like(weights)
    np.put_along_axis(kept, at_once, np.take_along_axis(weights, at_once, axis=1), axis=1)
    return kept


def _ratio(parts: Float64, whole: Float64) -> Float64:
    """Return parts / whole, 0 where the whole is 0."""
    shape = np.broadcast_shapes(parts.shape, whole.shape)
    return np.divide(parts, whole, out=np.zeros(shape), where=whole != 0.0)
