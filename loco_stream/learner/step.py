"""One row: the only place that joins the stages, in one written order.

Predict: scale, encode -> drives -> spikes -> traces -> experts -> stacks, mixture -> gate ->
snapshots -> calibration.
Learn: the same pass (or the one that predict left for this row), then credit -> projection, weight
change and bounds of every layer -> experts -> stacks, mixture, calibration -> statistics.
Everything learned is in `State`; `Scratch` is working memory.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import entry, kernel
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream.learner.context import traces
from loco_stream.learner.context.delays import load_codes, push_code, step_share
from loco_stream.learner.delayed_labels.pending import (
    read_context,
    read_outputs,
    when_written,
    write_ticket,
)
from loco_stream.learner.delayed_labels.weights import rows_per_draw, shares
from loco_stream.learner.encoding import (
    CLIP,
    REOPEN_TARGET,
    Robust,
    update_statistics,
    update_value,
)
from loco_stream.learner.forward import forward_pass
from loco_stream.learner.hidden import run_hidden, settle_gains
from loco_stream.learner.kernel_args import opened
from loco_stream.learner.plasticity.rules import assign_credit
from loco_stream.learner.plasticity.update import change_hidden
from loco_stream.learner.readout import (
    calibration,
    delayed_values,
    ensemble,
    gate,
    intervals,
    snapshots,
)
from loco_stream.learner.readout.experts.least_squares import ensure_gains
from loco_stream.learner.readout.inputs import input_span
from loco_stream.learner.readout.softmax import SHARPNESS, softmax
from loco_stream.learner.settings import BALANCED, EQUAL

__all__ = ["FRESH_START", "LATE", "LEARN", "OBSERVE", "PREDICT", "STEP_SHARE", "TIME", "run"]

PREDICT = 1  # flags of what to do with a row
OBSERVE = 2
LEARN = 4
LATE = 8
TIME = 0  # columns of the row times
FRESH_START = 1
STEP_SHARE = 2

TARGET_CLIP = 8.0  # standardised targets beyond are clipped
RANGE_MARGIN = 0.25  # of the target's range: how far beyond it a prediction may go


@kernel
def _value(target, score):
    """Return a regression output in the target's units, within its range and a margin."""
    if target.n_values[0] == 0.0:
        return 0.0
    deviation = math.sqrt(target.squares[0] / target.n_values[0])
    margin = RANGE_MARGIN * (target.highest[0] - target.lowest[0])
    value = target.mean[0] + deviation * score
    if not math.isfinite(value):
        return target.mean[0]
    return min(max(value, target.lowest[0] - margin), target.highest[0] + margin)


@kernel
def _is_gated(settings):
    """Return whether there is a gate: a slow member and a faster one to compare it with."""
    mixes = settings.recursive and not settings.regression
    return mixes and settings.retention > 0.0 and settings.n_trace > 1


@kernel
def _run_snapshots(settings, state, scratch):
    """Run every snapshot that has weight on the row in scratch."""
    own = state.snapshots
    recalled = scratch.recalled
    vector = recalled.traces
    rows = scratch.inputs.recalled_rows
    first, n_inputs = input_span(settings, state.counts.n_features)
    capacity = state.classes.n_rows.shape[0]
    for i in range(settings.n_hidden, vector.shape[0]):
        vector[i] = scratch.clean.traces[i]
    for s in range(own.ids.shape[0]):
        if own.posterior[snapshots.FIRST + s] == 0.0:
            continue
        no_noise = np.float32(0.0)
        deep = own.deep_weights[s]
        run_hidden(settings, state, scratch, own.weights[s], deep, no_noise, recalled)
        n_rows = nonzero(vector, first, n_inputs, rows)
        outputs = scratch.now.snapshots[s * capacity : (s + 1) * capacity]
        weigh_rows(outputs, own.readouts[s], capacity, vector, first, rows, n_rows)


@kernel
def _open_gate(settings, state, scratch, dormant):
    """Blend the mixture with the slow member's outputs, by how novel the row is."""
    now = scratch.now
    moments = state.gate.moments
    n_classes = state.counts.n_classes
    evidence = gate.novelty(now.relative_energies, moments)
    if dormant:
        evidence += gate.standard_margin(now.outputs, n_classes, scratch.dormant, moments)
    share = gate.activation(evidence, dormant, settings.retention)
    if dormant:
        for c in range(n_classes):
            blend = (1.0 - share) * now.stacked[c] + share * np.float64(now.outputs[c])
            now.buffer[c] = blend
        softmax(now.buffer, 0, n_classes, SHARPNESS, scratch.answer)
        return
    softmax(now.outputs, 0, n_classes, SHARPNESS, now.buffer)
    share *= ensemble.fading_share(state.mixture, now.opinion_weights)
    for c in range(n_classes):
        scratch.answer[c] += share * (now.buffer[c] - scratch.answer[c])


@kernel
def _decide(settings, state, scratch, dormant):
    """Write the probabilities of the row in scratch; return the best slot or the value.

    The slot is -1 while no class is known.
    """
    n_classes = state.counts.n_classes
    now = scratch.now
    if settings.regression:
        return _value(state.target, now.combined[0] if n_classes > 0 else 0.0)
    if n_classes == 0:
        return -1.0
    answer = scratch.answer
    for c in range(n_classes):
        answer[c] = now.mixed[c]
    if not settings.regression and _is_gated(settings):
        _open_gate(settings, state, scratch, dormant)
    if settings.n_snapshots > 0:
        _recall(state, now, answer)
    log_weights = state.calibration.log_weights
    if log_weights.shape[0] > 0:
        calibration.correct(log_weights, answer, n_classes, now.power_sums, now.power_factors)
    if settings.weighting != EQUAL:
        balanced = settings.weighting == BALANCED
        counts = state.classes.n_rows
        calibration.weigh_classes(balanced, counts, scratch.class_weights, n_classes, answer)
    best = 0
    for c in range(1, n_classes):
        if answer[c] > answer[best]:
            best = c
    return float(best)


@kernel
def _recall(state, now, answer):
    """Mix the snapshots into an answer, if they are evaluated on this row."""
    own = state.snapshots
    if snapshots.are_evaluated(own.posterior, own.counters.eval_rows):
        n_classes = state.counts.n_classes
        capacity = state.classes.n_rows.shape[0]
        outputs = now.snapshots
        snapshots.mix_snapshots(own.posterior, outputs, n_classes, capacity, now.buffer, answer)


@kernel
def _set_target(settings, state, scratch, label, value):
    """Write the target of each output: one-hot, or the standardised value."""
    target = scratch.target
    for c in range(state.counts.n_classes):
        target[c] = 0.0
    if not settings.regression:
        target[label] = 1.0
        return
    statistics = state.target
    deviation = math.sqrt(statistics.squares[0] / max(statistics.n_values[0], 1.0))
    z = (value - statistics.mean[0]) / deviation if deviation > 0.0 else 0.0
    target[0] = min(max(z, -TARGET_CLIP), TARGET_CLIP)


@kernel
def _bounded_target(settings, state, scratch, value, late, ticket):
    """Keep the residual of a target; return the target, as far from its prediction as they reach.

    An outlier counts as one large residual and not as its size; a new level is followed, since the
    reach grows as soon as a few residuals are large. The residual of a late value is that of what
    was predicted then.
    """
    target = state.target
    score = scratch.now.combined[0]
    predicted = _value(target, score)
    if late:
        read_outputs(settings, state, scratch, ticket)
        ensemble.combine_outputs(settings, state, scratch.then)
        score = scratch.then.combined[0]
    deviation = math.sqrt(target.squares[0] / max(target.n_values[0], 1.0))
    reach = max(intervals.reach(state.residuals), deviation)
    intervals.learn_residual(state.residuals, abs(value - _value(target, score)))
    return min(max(value, predicted - reach), predicted + reach)


@kernel
def _is_sound(error, n_classes, credit):
    """Return whether the numbers of this step may reach a weight."""
    total = 0.0
    for c in range(n_classes):
        total += abs(error[c])
    for i in range(credit.shape[0]):
        total += abs(np.float64(credit[i]))
    return math.isfinite(total)


@kernel
def _learn_snapshots(settings, state, scratch, row, label, share):
    """Score the current readout and the snapshots by a label, and copy the model when it is due."""
    own = state.snapshots
    observed = (label, state.counts.n_classes, state.classes.n_rows.shape[0])
    snapshots.update_posterior(own, row, observed, share)
    slot = own.counters.slot
    if snapshots.tick(own):
        snapshots.keep_snapshot(settings, state, scratch.now.weights, slot)


@kernel
def _change_readout(settings, state, scratch, row, observed, dormant):
    """Update the readout, the gate and the snapshots.

    `row` is the `ReadoutPass` of the time when the row was predicted, `observed` its (label, value,
    share of an observation).
    """
    label, value, share = observed
    if not settings.regression and _is_gated(settings):
        moments = state.gate.moments
        n_classes = state.counts.n_classes
        if dormant and scratch.dormant[label] == 0.0:
            gate.learn_margin(row.outputs, n_classes, scratch.dormant, moments)
        gate.learn_novelty(row.relative_energies, moments, state.counts.n_seen, share)
    if settings.n_snapshots > 0:
        _learn_snapshots(settings, state, scratch, row, label, share)
    ensemble.learn_experts(settings, state, scratch, label, value)
    ensemble.update_weights(settings, state, scratch, row, label, share)


@kernel
def _go_back(settings, state, scratch, ticket):
    """Write what was predicted when a ticket was written, and how it is combined by now."""
    read_outputs(settings, state, scratch, ticket)
    ensemble.combine_outputs(settings, state, scratch.then)
    ensemble.write_error(settings, state, scratch, scratch.then)


@kernel
def _step_share(settings, state, row, label, share):
    """Return the share of a step that the hidden layers make.

    Less where successive rows are alike.
    """
    if settings.regression and state.delayed.is_delayed == 0.0:
        errors = state.delayed_values.errors
        return share * delayed_values.independent_share(errors, row.error[0])
    if settings.remembers and not settings.regression:
        return step_share(state.context.run, float(label), share)
    return share


@kernel
def _know_label(settings, state, scratch, label):
    """Count a label and make room for its class; the combined outputs then include it."""
    counts = state.counts
    n_known = counts.n_classes
    if settings.regression:
        counts.n_classes = 1
    else:
        counts.n_classes = max(n_known, label + 1)
        gate.count_label(state.classes, label, counts.n_seen)
    if counts.n_classes > n_known:
        ensemble.combine_outputs(settings, state, scratch.now)
        return True
    return False


@kernel
def _learn(settings, state, scratch, label, value, share, late, ticket, guarded, dormant):
    """Learn the row in scratch.

    Parameters
    ----------
    label, value
        Slot of its class (int64), or its target (float64).
    share
        float64: share of a step that the hidden layers make.
    late, ticket
        Whether the label is late, and what was predicted then; an empty ticket: nothing was known.
    guarded, dormant
        Whether hidden layers stand still, and whether a class is dormant.
    """
    counts = state.counts
    weight = 1.0
    late = late and counts.n_seen > 0
    is_new = _know_label(settings, state, scratch, label)
    if settings.regression and not is_new:
        value = _bounded_target(settings, state, scratch, value, late, ticket)
    _set_target(settings, state, scratch, label, value)
    ensemble.write_error(settings, state, scratch, scratch.now)
    row = scratch.now
    if late:
        _go_back(settings, state, scratch, ticket)
        weight, share = shares(settings, state, label, when_written(ticket), share)
        row = scratch.then
    plastic = settings.learns and not guarded
    if plastic:
        assign_credit(settings, state, scratch)
    credit = scratch.neurons.credit[: settings.n_hidden if plastic else 0]
    is_ready = ensemble.prepare_experts(settings, state, scratch)
    if is_ready and _is_sound(scratch.now.error, counts.n_classes, credit):
        if plastic:
            step = _step_share(settings, state, row, label, share)
            change_hidden(settings, state, scratch, step)
        _change_readout(settings, state, scratch, row, (label, value, weight), dormant)
        settle_gains(state.net, scratch.clean.drives, settings.gain, counts.n_seen)
    else:
        counts.n_skipped += 1
    robust = Robust(state.scale_guard, state.kept_scales, scratch.block, scratch.moments)
    counts.n_masked += update_statistics(
        scratch.given, counts.n_features, state.statistics, scratch.scaled, robust
    )
    if settings.regression:
        clipped = abs(scratch.target[0]) >= CLIP
        update_value(state.target, 0, value, clipped, REOPEN_TARGET)
    counts.n_seen += 1


@kernel
def _prepare_context(settings, state, scratch, t, fresh, ticket):
    """Write what the rows before left to the row at `t`, or to the one of a ticket."""
    if ticket.shape[0] > 0:
        read_context(settings, state, scratch, ticket)
        scratch.cache.valid_for = -1
        return
    if fresh:
        traces.forget(state.context)
        scratch.cache.valid_for = -1
    traces.carry(state.context, scratch, t)
    load_codes(state.context.ring, scratch.lagged)


@kernel
def _write_answer(settings, state, scratch, dormant, i, answers, proba):
    """Write the answer to row `i`, and its probabilities or intervals where there is room."""
    answers[i] = _decide(settings, state, scratch, dormant)
    if i >= proba.shape[0]:
        return
    if settings.regression:
        intervals.write_radii(state.residuals, proba[i])
        return
    for c in range(state.counts.n_classes):
        proba[i, c] = scratch.answer[c]


@kernel
def _pass(settings, state, scratch, x, t):
    """Run a row through all stages that predict.

    Return whether hidden layers stand still, and whether a class is dormant.
    """
    cached = forward_pass(settings, state, scratch, x, t)
    if _is_gated(settings):
        ensure_gains(settings, state, scratch, gate.N_COMPARED)
    guarded = False
    dormant = False
    if not settings.regression and settings.recursive and settings.retention > 0.0:
        n_classes = state.counts.n_classes
        n_seen = state.counts.n_seen
        rows = rows_per_draw(state)
        guarded, dormant = gate.mark_dormant(
            state.classes, n_classes, n_seen, rows, scratch.dormant
        )
    if not cached:
        ensemble.combine_outputs(settings, state, scratch.now)
        if settings.n_snapshots > 0:
            own = state.snapshots
            if snapshots.are_evaluated(own.posterior, own.counters.eval_rows):
                _run_snapshots(settings, state, scratch)
    return guarded, dormant


@kernel
def _run(settings, state, scratch, rows, times, labels, values, mode, answers, proba, tickets):
    """Do as `run` says; separate because known settings are known of an argument alone."""
    n = rows.shape[0]
    predicts = (mode & PREDICT) != 0
    learns = (mode & LEARN) != 0
    late = (mode & LATE) != 0
    timed = times.shape[0] > 0
    stays = mode == PREDICT
    told = late and tickets.shape[1] > 0
    moves = settings.remembers and not told and not (stays and n == 1)
    if settings.remembers and stays:
        traces.save_context(state.context, scratch.context)
    for i in range(n):
        t = times[i, TIME] if timed else math.nan
        fresh = timed and times[i, FRESH_START] != 0.0
        ticket = tickets[i] if late else scratch.no_ticket
        if settings.remembers:
            _prepare_context(settings, state, scratch, t, fresh, ticket)
        guarded, dormant = _pass(settings, state, scratch, rows[i], t)
        if predicts:
            _write_answer(settings, state, scratch, dormant, i, answers, proba)
        if learns:
            share = times[i, STEP_SHARE] if timed else 1.0
            label = labels[i]
            _learn(
                settings, state, scratch, label, values[i], share, late, ticket, guarded, dormant
            )
        elif i < tickets.shape[0]:
            write_ticket(settings, state, scratch, tickets[i])
        if moves:
            traces.advance(state.context, t, scratch.clean.traces)
            push_code(state.context.ring, scratch.lagged)
        if moves or fresh:
            scratch.cache.valid_for = -1
    if settings.remembers and stays:
        traces.restore_context(state.context, scratch.context)


@entry
def run(cell, words, rows, times, labels, values, mode, answers, proba, tickets):
    """Predict, learn, or first predict and then learn each row in order.

    This is the one crossing into compiled code.

    Parameters
    ----------
    cell, words
        `KernelArgs.args` of the model.
    rows
        (n, feature capacity) float64, NaN where masked.
    times
        (n, 3) float64: time of each row, NaN where missing; 1 where its context is fresh; share of
        a step that the hidden layers make. Or (0, 3): no times, nothing fresh, whole steps.
    labels, values
        (n,) slots of the classes (int64) and targets (float64); read only when learning.
    mode
        Sum of flags of what to do with each row: `PREDICT` it; `OBSERVE` it, which makes it the one
        that the next row follows; `LEARN` it, after predicting it if both are set; learn it `LATE`,
        with its ticket, which leaves the context alone unless the ticket is empty. Rows that are
        only predicted follow one another, and the context is restored.
    answers
        (n,) float64, written when predicting: slots (-1: no class known) or values.
    proba
        (up to n, columns) float64, written when predicting: probabilities, or half widths of
        intervals.
    tickets
        (up to n, `ticket_size`) float64: written when observing without learning, read when
        learning late.
    """
    model = opened(cell, words)
    settings = model.settings
    state = model.state
    scratch = model.scratch
    _run(settings, state, scratch, rows, times, labels, values, mode, answers, proba, tickets)
