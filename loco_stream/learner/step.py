"""One sample: the only place that joins the stages, in one written order.

Predict: scale and encode -> clean pass -> member outputs -> stack -> gate -> recall.
Learn: the same (or what predict left for this very sample), then perturbed passes -> credit ->
projection and weight change of every layer -> readout -> stack -> statistics.
Everything learned is in `State`; `Scratch` is room. Stages are handed only the groups of arrays
they use, which also keeps compilation short.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import entry, kernel
from loco_stream.learner.drive import clean_pass, combine, ensure_gains, span
from loco_stream.learner.encoding import CLIP, update_statistics, update_value
from loco_stream.learner.packing import opened
from loco_stream.learner.plasticity.hidden import assign_credit, change_hidden, loss_and_error
from loco_stream.learner.readout import least_squares as readout
from loco_stream.learner.readout import novelty_gate as gate
from loco_stream.learner.readout import snapshots as recall
from loco_stream.learner.readout import stack
from loco_stream.learner.state import (
    COUNT,
    CREDIT,
    ERROR,
    HIGHEST,
    LAST_SEEN,
    LINEAR_LEAKS,
    LINEAR_PRIORS,
    LOWEST,
    MASKED,
    MEAN,
    N_CLASSES,
    N_FEATURES,
    N_IN,
    N_SEEN,
    PROBA,
    SCORES,
    SHARPNESS,
    SKIPPED,
    SQUARES,
    STACK_PRIOR,
    TARGET,
)

__all__ = ["run"]

TARGET_CLIP = 8.0  # standardised targets beyond are clipped
RANGE_MARGIN = 0.25  # of the target's range: how far beyond it a prediction may go


@kernel
def _value(target, score):
    """Return a regression output in the target's units, bounded by its range and a margin."""
    if target[COUNT, 0] == 0.0:
        return 0.0
    spread = math.sqrt(target[SQUARES, 0] / target[COUNT, 0])
    margin = RANGE_MARGIN * (target[HIGHEST, 0] - target[LOWEST, 0])
    value = target[MEAN, 0] + spread * score
    if not math.isfinite(value):
        return target[MEAN, 0]
    return min(max(value, target[LOWEST, 0] - margin), target[HIGHEST, 0] + margin)


@kernel
def _is_gated(settings):
    """Return whether the slow member may speak alone: there must be a faster one to compare it with."""
    return settings.recursive and not settings.regression and settings.retention > 0.0 and settings.n_trace > 1


@kernel
def _plasticity_frozen(settings, state):
    """Return whether memory is to be plasticity_frozen, since a known class is dormant.

    Its readout must then neither be outvoted nor go stale because the hidden layers move.
    """
    if not settings.recursive or settings.regression or settings.retention == 0.0:
        return False
    return gate.any_dormant(state.classes, state.counts[N_CLASSES], state.counts[N_SEEN])


@kernel
def _decide(settings, state, scratch, plasticity_frozen):
    """Write the probabilities of the row in scratch; return the best slot (-1: none known) or the value."""
    n_classes, capacity = state.counts[N_CLASSES], state.classes.shape[1]
    scores, proba = scratch.vectors[SCORES], scratch.vectors[PROBA]
    if n_classes == 0:
        return _value(state.target, 0.0) if settings.regression else -1.0
    combine(state.bank, scratch.answers, settings.recursive, n_classes, capacity, scores)
    if settings.regression:
        return _value(state.target, scores[0])
    sharpness = state.scalars[SHARPNESS] if settings.recursive else 1.0
    if _is_gated(settings):
        new = gate.newness(scratch.answers.shares, state.newness)
        gate.blend(scores, scratch.answers.outputs, n_classes, new, plasticity_frozen, settings.retention)
    if settings.n_snapshots > 0:
        recall.speak(state.recall.weights, scratch.answers.snapshot_outputs, n_classes, capacity, scores)
    gate.to_proba(scores, sharpness, n_classes, proba)
    best = 0
    for c in range(1, n_classes):
        if proba[c] > proba[best]:
            best = c
    return float(best)


@kernel
def _set_target(regression, statistics, label, value, n_classes, target):
    """Write the target of each output: one-hot, or the standardised value."""
    for c in range(n_classes):
        target[c] = 0.0
    if not regression:
        target[label] = 1.0
        return
    spread = math.sqrt(statistics[SQUARES, 0] / max(statistics[COUNT, 0], 1.0))
    z = (value - statistics[MEAN, 0]) / spread if spread > 0.0 else 0.0
    target[0] = min(max(z, -TARGET_CLIP), TARGET_CLIP)


@kernel
def _write_residual(target, outputs, column, classes, n_classes, n_seen, leak, regression, residual):
    """Write what a member's outputs lack; nothing where a leaky one leaves an absent class alone."""
    for c in range(n_classes):
        absent = n_seen - classes[LAST_SEEN, c]
        learns = regression or leak == 0.0 or absent < readout.RECENT_SAMPLES
        residual[c] = np.float32(target[c]) - outputs[column + c] if learns else np.float32(0.0)


@kernel
def _change_bank(bank, answers, target, classes, n_classes, n_seen, n_inputs, n_features, regression):
    """Update every member of the recursive readout, then the stack."""
    capacity, residual = classes.shape[1], answers.residual
    n_trace, n_linear = bank.projectors.shape[0], bank.linear_projectors.shape[0]
    for m in range(n_trace):
        leak, prior, column = bank.members[0, m], bank.members[1, m], m * capacity
        _write_residual(target, answers.outputs, column, classes, n_classes, n_seen, leak, regression, residual)
        readout.recursive_update(
            bank.projectors[m], bank.traces, column, n_inputs, answers.gains[m], answers.shares[0, m], leak, prior,
            residual, n_classes,
        )  # fmt: skip
    for m in range(n_linear):
        leak, prior, column = LINEAR_LEAKS[m], LINEAR_PRIORS[m], m * capacity
        _write_residual(target, answers.linear_outputs, column, classes, n_classes, n_seen, leak, regression, residual)
        readout.recursive_update(
            bank.linear_projectors[m], bank.linear, column, n_features + 1, answers.linear_gains[m],
            answers.shares[0, n_trace + m], leak, prior, residual, n_classes,
        )  # fmt: skip
    stack.stack_update(
        answers.outputs, answers.linear_outputs, n_trace, n_linear, capacity, target, n_classes,
        bank.stack, bank.stack_projector, answers.stack_room, STACK_PRIOR,
    )  # fmt: skip


@kernel
def _is_sound(error, n_classes, shares, credit):
    """Return whether the numbers of this step may reach a weight."""
    total = 0.0
    for c in range(n_classes):
        total += abs(error[c])
    for m in range(shares.shape[1]):
        if shares[0, m] < 0.0:
            return False
        total += shares[0, m]
    for i in range(credit.shape[0]):
        total += abs(np.float64(credit[i]))
    return math.isfinite(total)


@kernel
def _learn_recall(settings, state, scratch, label):
    """Judge readout and snapshots by a label, and copy the readout when it is time."""
    bank, old, capacity = state.bank, state.recall, state.classes.shape[1]
    recall.weigh(
        old.weights, old.fits, scratch.vectors[SCORES], scratch.answers.snapshot_outputs, state.counts[N_CLASSES],
        capacity, label, state.scalars[SHARPNESS],
    )  # fmt: skip
    slot = old.clock[recall.SLOT]
    if recall.tick(old.weights, old.fits, old.clock, old.births):
        recall.keep(
            bank.traces, bank.linear, bank.stack, settings.n_linear, settings.n_hidden, capacity, slot, old.snapshots
        )


@kernel
def _change_readout(settings, state, scratch, label):
    """Update the readout and what the gate knows."""
    n_features, n_classes, n_seen = state.counts[N_FEATURES], state.counts[N_CLASSES], state.counts[N_SEEN]
    vectors, answers, bank = scratch.vectors, scratch.answers, state.bank
    first, n_inputs = span(settings.all_layers, settings.n_hidden, settings.n_last, n_features)
    if not settings.recursive:
        readout.delta_update(
            bank.traces, n_inputs, scratch.features, first, vectors[ERROR], n_classes, settings.readout_rate
        )
        return
    _change_bank(
        bank, answers, vectors[TARGET], state.classes, n_classes, n_seen, n_inputs, n_features, settings.regression
    )
    if _is_gated(settings):
        gate.learn_newness(answers.shares, state.newness, n_seen)
    if settings.n_snapshots > 0:
        _learn_recall(settings, state, scratch, label)
    if not settings.regression:
        state.scalars[SHARPNESS] = gate.learn_sharpness(vectors[SCORES], n_classes, label, state.scalars[SHARPNESS])


@kernel
def _learn(settings, state, scratch, x, label, value):
    """Learn the row in scratch: `label` is the class's slot (classification), `value` the target (regression)."""
    counts, vectors = state.counts, scratch.vectors
    counts[N_CLASSES] = 1 if settings.regression else max(counts[N_CLASSES], label + 1)
    n_classes, capacity = counts[N_CLASSES], state.classes.shape[1]
    _set_target(settings.regression, state.target, label, value, n_classes, vectors[TARGET])
    if not settings.regression:
        gate.learn_classes(state.classes, label, counts[N_SEEN])
    combine(state.bank, scratch.answers, settings.recursive, n_classes, capacity, vectors[SCORES])
    squared = settings.recursive or settings.regression
    loss = loss_and_error(squared, vectors[SCORES], vectors[TARGET], n_classes, vectors[ERROR])
    plastic = settings.learns and not _plasticity_frozen(settings, state)
    if plastic:
        assign_credit(settings, state, scratch, loss)
    credit = scratch.workspace.neurons[CREDIT, : settings.n_hidden if plastic else 0]  # else it is another sample's
    if _is_sound(vectors[ERROR], n_classes, scratch.answers.shares, credit):
        if plastic:
            n_in = scratch.flags[N_IN]
            change_hidden(
                settings, counts, state.net, state.clusters, scratch.features, scratch.spikes, n_in, scratch.workspace
            )
        _change_readout(settings, state, scratch, label)
    else:
        counts[SKIPPED] += 1
    counts[MASKED] += update_statistics(x, counts[N_FEATURES], state.statistics, scratch.scaled)
    if settings.regression:
        update_value(state.target, 0, value, abs(vectors[TARGET, 0]) >= CLIP)
    counts[N_SEEN] += 1


@entry
def run(cell, words, rows, labels, values, predicts, learns, answers, proba):
    """Predict, learn, or first predict and then learn each row in order: the one crossing into compiled code.

    Parameters
    ----------
    cell, words
        `Handle.door` of the model.
    rows
        (n, feature capacity) float64, NaN where masked.
    labels, values
        (n,) slots of the classes (int64) and targets (float64); read only when learning.
    predicts, learns
        What to do with each row; both: the prediction is made before learning it.
    answers, proba
        Written when predicting: (n,) slots (-1: no class known) or values, and (n, >= classes) probabilities;
        rows of `proba` beyond its length are not written.
    """
    settings, state, scratch = opened(cell, words)
    for i in range(rows.shape[0]):
        clean_pass(settings, state, scratch, rows[i])
        plasticity_frozen = _plasticity_frozen(settings, state)
        if settings.recursive and learns:
            ensure_gains(settings, state, scratch, settings.n_trace + settings.n_linear)
        elif _is_gated(settings):
            ensure_gains(settings, state, scratch, gate.N_COMPARED)
        if predicts:
            answers[i] = _decide(settings, state, scratch, plasticity_frozen)
            if i < proba.shape[0]:
                for c in range(state.counts[N_CLASSES]):
                    proba[i, c] = scratch.vectors[PROBA, c]
        if learns:
            _learn(settings, state, scratch, rows[i], labels[i], values[i])
