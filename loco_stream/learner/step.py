"""One sample: the only place that joins the stages, in one written order.

Predict: scale and encode -> drives -> spikes -> traces -> member outputs -> experts -> mixture -> gate -> recall.
Learn: the same (or what predict left for this very sample), then perturbed passes -> credit -> projection and weight
change of every layer -> members -> stacks -> mixture -> statistics.
Everything learned is in `State`; `Scratch` is room. Stages are handed only the groups of arrays
they use, which also keeps compilation short.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import entry, kernel
from loco_stream.learner.config import LINEAR_LEAKS, LINEAR_PRIORS
from loco_stream.learner.drive import clean_pass, ensure_gains, span
from loco_stream.learner.encoding import CLIP, update_statistics, update_value
from loco_stream.learner.packing import opened
from loco_stream.learner.plasticity.credit import mirror_readout
from loco_stream.learner.plasticity.hidden import assign_credit, change_hidden
from loco_stream.learner.readout import least_squares as readout
from loco_stream.learner.readout import log_loss, mixture, stack
from loco_stream.learner.readout import novelty_gate as gate
from loco_stream.learner.readout import snapshots as recall
from loco_stream.learner.spikes import nonzero, run_hidden, settle_gains
from loco_stream.learner.state import (
    COUNT,
    CREDIT,
    DORMANT,
    ERROR,
    HIGHEST,
    LAST_SEEN,
    LOWEST,
    MASKED,
    MEAN,
    N_CLASSES,
    N_FEATURES,
    N_IN,
    N_SEEN,
    NOISE,
    PROBA,
    ROOM,
    SCORES,
    SKIPPED,
    SPOKEN,
    SQUARES,
    STACKED,
    TARGET,
)
from loco_stream.simd.ops import weigh_rows

__all__ = ["run"]

READOUT_RATE = 0.5  # of the normalised delta rule
TARGET_CLIP = 8.0  # standardised targets beyond are clipped
RANGE_MARGIN = 0.25  # of the target's range: how far beyond it a prediction may go
STACK_EXPERT, SQUARES_EXPERT, FIRST_EXPERT = range(3)  # of the mixture; the members follow, then the logistic one


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
def _consult(settings, state, scratch):
    """Write the combined scores, and in classification what each expert and their mixture say."""
    bank, answers, vectors = state.bank, scratch.answers, scratch.vectors
    n_classes, capacity, losses = state.counts[N_CLASSES], state.classes.shape[1], settings.n_losses
    if n_classes == 0:
        return
    if settings.regression and settings.recursive:
        for a in range(bank.stack.shape[0]):
            answers.weights[a] = bank.stack[a]
    elif settings.recursive:
        log_loss.stack_weights(bank.log_stack, answers.weights)
    else:
        answers.weights[0] = 1.0
    log_loss.weighted(answers.outputs, answers.weights, answers.weights.shape[0], capacity, n_classes, vectors[SCORES])
    if settings.regression:
        return
    if not settings.recursive:
        log_loss.softmax(vectors[SCORES], 0, n_classes, 1.0, vectors[PROBA])
        return
    experts, logistic = answers.experts, FIRST_EXPERT + bank.stack.shape[0]
    stack.stacked(answers.outputs, losses * capacity, bank.stack, n_classes, vectors[STACKED])
    log_loss.softmax(vectors[SCORES], 0, n_classes, 1.0, experts[STACK_EXPERT])
    log_loss.softmax(vectors[STACKED], 0, n_classes, log_loss.SHARPNESS, experts[SQUARES_EXPERT])
    for a in range(bank.stack.shape[0]):
        log_loss.softmax(answers.outputs, (2 * a + 1) * capacity, n_classes, 1.0, experts[FIRST_EXPERT + a])
    if logistic < experts.shape[0]:
        log_loss.softmax(answers.logistic, 0, n_classes, 1.0, experts[logistic])
    mixture.mix(bank.evidence, experts, n_classes, vectors[PROBA])


@kernel
def _consult_snapshots(settings, state, scratch):
    """Run every snapshot that has a say on the row in scratch."""
    old, net, run, z = state.recall, state.net, scratch.run, scratch.old_features
    first, n_inputs = span(settings, state.counts[N_FEATURES])
    capacity, hidden = state.classes.shape[1], settings.n_hidden
    for i in range(hidden, z.shape[0]):
        z[i] = scratch.features[i]
    for s in range(old.births.shape[0]):
        if old.speakers[recall.FIRST + s] == 0.0:
            continue
        run_hidden(
            settings, net.sizes, old.weights[s], old.deep_weights[s], net.gains, scratch.code, scratch.flags[N_IN],
            run.neurons[NOISE], np.float32(0.0), run, run.drives[1], z, run.spikes[1],
        )  # fmt: skip
        n_rows = nonzero(z, first, n_inputs, scratch.answers.old_rows)
        said = scratch.answers.snapshots[s * capacity : (s + 1) * capacity]
        weigh_rows(said, old.readouts[s], capacity, z, first, scratch.answers.old_rows, n_rows)


@kernel
def _open_gate(settings, state, scratch, dormant):
    """Blend the mixture with what the slow member says, by how new the row is to the fast ones."""
    vectors, outputs, moments = scratch.vectors, scratch.answers.outputs, state.newness
    n_classes, proba, room = state.counts[N_CLASSES], vectors[SPOKEN], vectors[ROOM]
    evidence = gate.newness(scratch.answers.shares, moments)
    if dormant:
        evidence += gate.standard_lead(outputs, n_classes, vectors[DORMANT], moments)
    opened_by = gate.openness(evidence, dormant, settings.retention)
    if dormant:
        for c in range(n_classes):
            room[c] = (1.0 - opened_by) * vectors[STACKED, c] + opened_by * np.float64(outputs[c])
        log_loss.softmax(room, 0, n_classes, log_loss.SHARPNESS, proba)
        return
    log_loss.softmax(outputs, 0, n_classes, log_loss.SHARPNESS, room)
    for c in range(n_classes):
        proba[c] += opened_by * (room[c] - proba[c])


@kernel
def _decide(settings, state, scratch, dormant):
    """Write the probabilities of the row in scratch; return the best slot (-1: none known) or the value."""
    n_classes, vectors = state.counts[N_CLASSES], scratch.vectors
    if settings.regression:
        return _value(state.target, vectors[SCORES, 0] if n_classes > 0 else 0.0)
    if n_classes == 0:
        return -1.0
    for c in range(n_classes):
        vectors[SPOKEN, c] = vectors[PROBA, c]
    if _is_gated(settings):
        _open_gate(settings, state, scratch, dormant)
    if settings.n_snapshots > 0 and recall.any_speaks(state.recall.speakers):
        recall.speak(
            state.recall.speakers, scratch.answers.snapshots, n_classes, state.classes.shape[1], vectors[ROOM],
            vectors[SPOKEN],
        )  # fmt: skip
    best = 0
    for c in range(1, n_classes):
        if vectors[SPOKEN, c] > vectors[SPOKEN, best]:
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
def _write_error(settings, experts, scores, target, n_classes, error):
    """Write what the combined output has too much: probabilities or the standardised value, less the target."""
    if settings.regression:
        error[0] = scores[0] - target[0]
        return
    if settings.recursive:
        for c in range(n_classes):
            error[c] = experts[STACK_EXPERT, c] - target[c]
        return
    log_loss.softmax(scores, 0, n_classes, 1.0, error)
    for c in range(n_classes):
        error[c] -= target[c]


@kernel
def _mirror(settings, bank, answers, m, scale, n_classes, capacity, feedback, increment):
    """Give the feedback what a member's update adds to its rows of the combined readout."""
    first, _ = span(settings, 0)
    losses = settings.n_losses
    for c in range(n_classes):
        total = 0.0
        for b in range(losses):
            total += answers.weights[m * losses + b] * np.float64(answers.residual[b * capacity + c])
        increment[c] = np.float32(total)
    mirror_readout(feedback, first, settings.n_hidden - first, answers.gains[m], scale, increment, n_classes)


@kernel
def _change_delta(settings, state, scratch, mirrors):
    """Update the readout of one normalised delta rule, and give the feedback what that adds to its rows."""
    features, error, n_classes = scratch.features, scratch.vectors[ERROR], state.counts[N_CLASSES]
    first, n_inputs = span(settings, state.counts[N_FEATURES])
    step = readout.delta_update(state.bank.traces, n_inputs, features, first, error, n_classes, READOUT_RATE)
    if mirrors:
        lack, n_read, feedback = scratch.answers.increment, settings.n_hidden - first, state.net.feedback
        for c in range(n_classes):
            lack[c] = np.float32(-error[c])
        mirror_readout(feedback, first, n_read, features[first:], np.float32(step), lack, n_classes)


@kernel
def _change_bank(settings, state, scratch, mirrors):
    """Update every member of the recursive readout, then the stacks."""
    bank, answers, vectors, classes = state.bank, scratch.answers, scratch.vectors, state.classes
    n_classes, n_seen, n_features = state.counts[N_CLASSES], state.counts[N_SEEN], state.counts[N_FEATURES]
    capacity, losses, target, residual = classes.shape[1], settings.n_losses, vectors[TARGET], answers.residual
    last_seen = classes[LAST_SEEN, : 0 if settings.regression else capacity]
    n_columns, n_trace = losses * capacity, settings.n_trace
    _, n_inputs = span(settings, n_features)
    for m in range(n_trace):
        leak, column = bank.members[0, m], m * n_columns
        readout.write_residual(
            target, answers.outputs, column, capacity, last_seen, n_classes, n_seen, leak, losses, residual
        )
        if mirrors:
            scale = np.float32(1.0 / (1.0 + answers.shares[0, m]))
            _mirror(settings, bank, answers, m, scale, n_classes, capacity, state.net.feedback, answers.increment)
        readout.recursive_update(
            bank.projectors[m], bank.traces, column, n_columns, n_inputs, answers.gains[m], answers.shares[0, m], leak,
            bank.members[1, m], residual,
        )  # fmt: skip
    for m in range(settings.n_linear):
        leak, column = LINEAR_LEAKS[m], m * n_columns
        readout.write_residual(
            target, answers.outputs, n_trace * n_columns + column, capacity, last_seen, n_classes, n_seen, leak,
            losses, residual,
        )  # fmt: skip
        readout.recursive_update(
            bank.linear_projectors[m], bank.linear, column, n_columns, n_features + 1, answers.linear_gains[m],
            answers.shares[0, n_trace + m], leak, LINEAR_PRIORS[m], residual,
        )  # fmt: skip
    stack.stack_update(
        answers.outputs, n_columns, target, n_classes, bank.stack, bank.stack_projector, answers.stack_room
    )


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
def _learn_mixture(settings, state, scratch, label):
    """Update what only classification has: log-loss stack, logistic member, evidence of the experts."""
    bank, answers, vectors = state.bank, scratch.answers, scratch.vectors
    n_classes, capacity, n_members = state.counts[N_CLASSES], state.classes.shape[1], bank.stack.shape[0]
    log_loss.learn_stack(bank.log_stack, answers.outputs, vectors[ERROR], capacity, n_classes)
    logistic = FIRST_EXPERT + n_members
    if logistic < answers.experts.shape[0]:
        log_loss.learn_logistic(
            bank.logistic, bank.logistic_projector, state.counts[N_FEATURES] + 1, answers.logistic_gain,
            answers.shares[0, n_members], answers.experts[logistic], vectors[TARGET], n_classes, answers.residual,
        )  # fmt: skip
    mixture.judge(bank.evidence, answers.experts, label)


@kernel
def _learn_recall(settings, state, scratch, label):
    """Judge readout and snapshots by a label, and copy the model when it is time."""
    old, n_classes, capacity = state.recall, state.counts[N_CLASSES], state.classes.shape[1]
    recall.weigh(
        old.speakers, old.fits, scratch.vectors[PROBA], scratch.answers.snapshots, n_classes, capacity, label,
        scratch.vectors[ROOM],
    )  # fmt: skip
    slot = old.clock[recall.SLOT]
    if recall.tick(old.speakers, old.fits, old.clock, old.births):
        recall.keep(settings, state.net, state.bank, scratch.answers.weights, capacity, slot, old)


@kernel
def _change_readout(settings, state, scratch, label, dormant, mirrors):
    """Update the readout and what gate and recall know."""
    counts, vectors, answers = state.counts, scratch.vectors, scratch.answers
    n_classes = counts[N_CLASSES]
    if not settings.recursive:
        _change_delta(settings, state, scratch, mirrors)
        return
    if _is_gated(settings):
        if dormant and vectors[DORMANT, label] == 0.0:
            gate.learn_lead(answers.outputs, n_classes, vectors[DORMANT], state.newness)
        gate.learn_newness(answers.shares, state.newness, counts[N_SEEN])
    if settings.n_snapshots > 0:
        _learn_recall(settings, state, scratch, label)
    _change_bank(settings, state, scratch, mirrors)
    if not settings.regression:
        _learn_mixture(settings, state, scratch, label)


@kernel
def _learn(settings, state, scratch, x, label, value, guarded, dormant):
    """Learn the row in scratch: `label` is the class's slot (classification), `value` the target (regression)."""
    counts, vectors, answers = state.counts, scratch.vectors, scratch.answers
    n_known = counts[N_CLASSES]
    counts[N_CLASSES] = 1 if settings.regression else max(n_known, label + 1)
    n_classes = counts[N_CLASSES]
    if not settings.regression:
        gate.learn_classes(state.classes, label, counts[N_SEEN])
    if n_classes > n_known:
        _consult(settings, state, scratch)
    _set_target(settings.regression, state.target, label, value, n_classes, vectors[TARGET])
    _write_error(settings, answers.experts, vectors[SCORES], vectors[TARGET], n_classes, vectors[ERROR])
    plastic = settings.learns and not guarded
    if plastic:
        assign_credit(settings, state, scratch)
    credit = scratch.run.neurons[CREDIT, : settings.n_hidden if plastic else 0]  # else it is another sample's
    if _is_sound(vectors[ERROR], n_classes, answers.shares, credit):
        if plastic:
            change_hidden(settings, state, scratch)
        _change_readout(settings, state, scratch, label, dormant, settings.learns and settings.mirrored_credit)
        settle_gains(state.net.sizes, state.net.gains, scratch.run.drives[0], settings.gain, counts[N_SEEN])
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
    gated, snapshots = _is_gated(settings), settings.n_snapshots > 0
    n_gains = settings.n_trace + settings.n_linear + (state.bank.logistic.shape[0] > 0)
    for i in range(rows.shape[0]):
        cached = clean_pass(settings, state, scratch, rows[i])
        if settings.recursive and learns:
            ensure_gains(settings, state, scratch, n_gains)
        elif gated:
            ensure_gains(settings, state, scratch, gate.N_COMPARED)
        guarded, dormant = False, False
        if not settings.regression and settings.recursive and settings.retention > 0.0:
            guarded, dormant = gate.mark_dormant(
                state.classes, state.counts[N_CLASSES], state.counts[N_SEEN], scratch.vectors[DORMANT]
            )
        if not cached:
            _consult(settings, state, scratch)
            if snapshots and recall.any_speaks(state.recall.speakers):
                _consult_snapshots(settings, state, scratch)
        if predicts:
            answers[i] = _decide(settings, state, scratch, dormant)
            if i < proba.shape[0]:
                for c in range(state.counts[N_CLASSES]):
                    proba[i, c] = scratch.vectors[SPOKEN, c]
        if learns:
            _learn(settings, state, scratch, rows[i], labels[i], values[i], guarded, dormant)
