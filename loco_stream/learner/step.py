"""One sample: the only place that joins the stages, in one written order.

Predict: scale, encode -> drives -> spikes -> traces -> members -> experts -> mixture -> gate ->
recall -> correction. Learn: the same (or what predict left for this very sample), then perturbed
passes -> credit -> projection, weight change and restraint of every layer -> members -> stacks ->
mixture -> correction -> statistics. Everything learned is in `State`; `Scratch` is working memory.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import entry, kernel
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream.learner.arrays.scratch import (
    CLEAN_FOR,
    CREDIT,
    DORMANT,
    ERROR,
    N_IN,
    NOISE,
    PROBA,
    ROOM,
    SCORES,
    SPOKEN,
    STACKED,
    TARGET,
)
from loco_stream.learner.arrays.state import (
    COUNT,
    EVER_LATE,
    HIGHEST,
    LOWEST,
    MASKED,
    MEAN,
    N_CLASSES,
    N_FEATURES,
    N_SEEN,
    SKIPPED,
    SQUARES,
)
from loco_stream.learner.context import traces as memory
from loco_stream.learner.context.delays import bounded_share, push_code, recall_codes
from loco_stream.learner.delayed_labels.pending import (
    read_context,
    read_outputs,
    when_written,
    write_ticket,
)
from loco_stream.learner.delayed_labels.weights import rows_a_draw, shares
from loco_stream.learner.encoding import CLIP, REOPEN_TARGET, update_statistics, update_value
from loco_stream.learner.forward import clean_pass
from loco_stream.learner.hidden import run_hidden, settle_gains
from loco_stream.learner.kernel_args import opened
from loco_stream.learner.plasticity.credit import assign_credit
from loco_stream.learner.plasticity.update import change_hidden
from loco_stream.learner.readout import (
    calibration,
    centroids,
    gate,
    intervals,
    log_loss,
    neighbors,
)
from loco_stream.learner.readout import (
    delayed_values as late_values,
)
from loco_stream.learner.readout import ensemble as readout
from loco_stream.learner.readout import snapshots as recall
from loco_stream.options import EQUAL, MIRROR

__all__ = ["FRESH_START", "LATE", "LEARNS", "OBSERVES", "PREDICTS", "SHARE", "TIME", "run"]

# what to do with a row
PREDICTS = 1
OBSERVES = 2
LEARNS = 4
LATE = 8
TIME, FRESH_START, SHARE = range(3)  # columns of moments

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
    """Return whether the slow member may speak alone.

    There must be a faster one to compare it with.
    """
    return (
        settings.recursive
        and not settings.regression
        and settings.retention > 0.0
        and settings.n_trace > 1
    )


@kernel
def _consult_snapshots(settings, state, scratch):
    """Run every snapshot that has a say on the row in scratch."""
    old = state.recall
    net = state.net
    run = scratch.run
    z = scratch.old_features
    first, n_inputs = readout.span(settings, state.counts[N_FEATURES])
    capacity = state.classes.shape[1]
    hidden = settings.n_hidden
    for i in range(hidden, z.shape[0]):
        z[i] = scratch.features[i]
    for s in range(old.births.shape[0]):
        if old.speakers[recall.FIRST + s] == 0.0:
            continue
        run_hidden(
            settings,
            net.sizes,
            old.weights[s],
            old.deep_weights[s],
            net.gains,
            scratch.code,
            scratch.flags[N_IN],
            state.memory.targets,
            scratch.lagged,
            run.neurons[NOISE],
            np.float32(0.0),
            run,
            run.drives[1],
            z,
            z,
            run.spikes[1],
        )
        n_rows = nonzero(z, first, n_inputs, scratch.answers.old_rows)
        said = scratch.answers.snapshots[s * capacity : (s + 1) * capacity]
        weigh_rows(said, old.readouts[s], capacity, z, first, scratch.answers.old_rows, n_rows)


@kernel
def _open_gate(settings, state, scratch, dormant):
    """Blend the mixture with what the slow member says, by how new the row is to the fast ones."""
    vectors = scratch.vectors
    outputs = scratch.answers.outputs
    moments = state.newness
    n_classes = state.counts[N_CLASSES]
    proba = vectors[SPOKEN]
    room = vectors[ROOM]
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
    opened_by *= readout.forgetful_share(settings, scratch.answers.says)
    for c in range(n_classes):
        proba[c] += opened_by * (room[c] - proba[c])


@kernel
def _decide(settings, state, scratch, dormant):
    """Write the probabilities of the row in scratch.

    Return the best slot (-1: none known) or the value.
    """
    n_classes = state.counts[N_CLASSES]
    vectors = scratch.vectors
    if settings.regression:
        return _value(state.target, vectors[SCORES, 0] if n_classes > 0 else 0.0)
    if n_classes == 0:
        return -1.0
    for c in range(n_classes):
        vectors[SPOKEN, c] = vectors[PROBA, c]
    if not settings.regression and _is_gated(settings):
        _open_gate(settings, state, scratch, dormant)
    if settings.n_snapshots > 0 and recall.are_heard(state.recall.speakers, state.recall.clock):
        recall.speak(
            state.recall.speakers,
            scratch.answers.snapshots,
            n_classes,
            state.classes.shape[1],
            vectors[ROOM],
            vectors[SPOKEN],
        )
    if state.bank.corrections.shape[0] > 0:
        calibration.correct(
            state.bank.corrections, vectors[SPOKEN], n_classes, scratch.answers.correction_room
        )
    if settings.weighting != EQUAL:
        calibration.weigh_classes(
            settings.weighting, state.classes, scratch.class_weights, n_classes, vectors[SPOKEN]
        )
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
def _bounded(settings, state, scratch, value, late, ticket):
    """Take the residual of a target in.

    Return the target, no further from its prediction than residuals reach.

    So an outlier counts as one large residual and not as its size; a new level is followed, since
    the reach grows as soon as a few residuals are large. The residual of a late label is that of
    what was said then.
    """
    target = state.target
    score = scratch.vectors[SCORES, 0]
    predicted = _value(target, score)
    said = score
    if late:
        read_outputs(settings, state, scratch, ticket)
        readout.consult(settings, state, scratch.earlier, scratch.earlier_vectors)
        said = scratch.earlier_vectors[SCORES, 0]
    reach = max(
        intervals.reach(state.spread), math.sqrt(target[SQUARES, 0] / max(target[COUNT, 0], 1.0))
    )
    intervals.learn_residual(state.spread, abs(value - _value(target, said)))
    return min(max(value, predicted - reach), predicted + reach)


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
def _learn_recall(settings, state, scratch, said, vectors, label, trust):
    """Judge readout and snapshots by a label, and copy the model when it is time."""
    old = state.recall
    n_classes = state.counts[N_CLASSES]
    capacity = state.classes.shape[1]
    recall.weigh(
        old.speakers,
        old.fits,
        old.clock,
        vectors[PROBA],
        said.snapshots,
        n_classes,
        capacity,
        label,
        vectors[ROOM],
        trust,
    )
    slot = old.clock[recall.SLOT]
    if recall.tick(old.speakers, old.fits, old.clock, old.births):
        recall.keep(settings, state.net, state.bank, scratch.answers.weights, capacity, slot, old)


@kernel
def _change_readout(settings, state, scratch, said, vectors, label, trust, dormant):
    """Update the readout and what gate and recall know.

    `said` and `vectors` are of when the row was predicted.
    """
    asleep = scratch.vectors[DORMANT]
    n_classes = state.counts[N_CLASSES]
    if not settings.regression and _is_gated(settings):
        if dormant and asleep[label] == 0.0:
            gate.learn_lead(said.outputs, n_classes, asleep, state.newness)
        gate.learn_newness(said.shares, state.newness, state.counts[N_SEEN], trust)
    if settings.n_snapshots > 0:
        _learn_recall(settings, state, scratch, said, vectors, label, trust)
    mirrors = settings.learns and settings.credit == MIRROR
    readout.change_bank(settings, state, scratch, said, vectors, label, trust, mirrors)


@kernel
def _go_back(settings, state, scratch, ticket):
    """Write what all parts of the readout said when the ticket was written, and what the stacks make of it."""
    read_outputs(settings, state, scratch, ticket)
    said = scratch.earlier
    vectors = scratch.earlier_vectors
    n_classes = state.counts[N_CLASSES]
    readout.consult(settings, state, said, vectors)
    readout.error_of(
        settings, said.experts, vectors[SCORES], scratch.vectors[TARGET], n_classes, vectors[ERROR]
    )


@kernel
def _step_share(settings, state, vectors, label, share):
    """Return the share of a step that the hidden layers make.

    Less where rows that follow one another are alike.
    """
    if settings.regression and state.late[EVER_LATE] == 0.0:
        return share * late_values.own_share(state.late_values.alike, vectors[ERROR, 0])
    if settings.remembers and not settings.regression:
        return bounded_share(state.memory.steps, float(label), share)
    return share


@kernel
def _learn(settings, state, scratch, x, label, value, share, late, ticket, guarded, dormant):
    """Learn the row in scratch.

    `label` is the class's slot, or `value` the target; hidden layers make `share` of a step. If it
    is `late`, `ticket` tells what was said of the row; an empty one that nothing was known.
    """
    counts = state.counts
    vectors = scratch.vectors
    answers = scratch.answers
    n_known = counts[N_CLASSES]
    counts[N_CLASSES] = 1 if settings.regression else max(n_known, label + 1)
    n_classes = counts[N_CLASSES]
    trust = 1.0
    late = late and counts[N_SEEN] > 0
    if not settings.regression:
        gate.learn_classes(state.classes, label, counts[N_SEEN])
    if n_classes > n_known:
        readout.consult(settings, state, answers, vectors)
    elif settings.regression:
        value = _bounded(settings, state, scratch, value, late, ticket)
    _set_target(settings.regression, state.target, label, value, n_classes, vectors[TARGET])
    readout.error_of(
        settings, answers.experts, vectors[SCORES], vectors[TARGET], n_classes, vectors[ERROR]
    )
    if late:
        _go_back(settings, state, scratch, ticket)
        trust, share = shares(settings, state, label, *when_written(ticket), share)
    said, said_vectors = (scratch.earlier, scratch.earlier_vectors) if late else (answers, vectors)
    plastic = settings.learns and not guarded
    if plastic:
        assign_credit(settings, state, scratch)
    credit = scratch.run.neurons[
        CREDIT, : settings.n_hidden if plastic else 0
    ]  # else it is another sample's
    if _is_sound(vectors[ERROR], n_classes, answers.shares, credit):
        if plastic:
            change_hidden(
                settings, state, scratch, _step_share(settings, state, vectors, label, share)
            )
        _change_readout(settings, state, scratch, said, said_vectors, label, trust, dormant)
        settle_gains(
            state.net.sizes, state.net.gains, scratch.run.drives[0], settings.gain, counts[N_SEEN]
        )
        if settings.n_centroids > 0:
            centroids.learn(state, scratch, label)
        if settings.n_neighbors > 0:
            neighbors.keep(settings, state, x, label, value)
    else:
        counts[SKIPPED] += 1
    counts[MASKED] += update_statistics(x, counts[N_FEATURES], state.statistics, scratch.scaled)
    if settings.regression:
        update_value(state.target, 0, value, abs(vectors[TARGET, 0]) >= CLIP, REOPEN_TARGET)
    counts[N_SEEN] += 1


@kernel
def _prepare(settings, state, scratch, t, fresh, ticket, told):
    """Write what the rows before have left.

    To the row at `t`, or to the one of a ticket that tells of it.
    """
    if told:
        read_context(settings, state, ticket, scratch)
        scratch.flags[CLEAN_FOR] = -1
        return
    if fresh:
        memory.forget(state.memory)
        scratch.flags[CLEAN_FOR] = -1
    memory.carry(state.memory, t, scratch.run)
    recall_codes(state.memory.ring, scratch.lagged)


@kernel
def _say(settings, state, scratch, dormant, i, answers, proba):
    """Write the answer to row `i`, and its probabilities or intervals where there is room."""
    answers[i] = _decide(settings, state, scratch, dormant)
    if i >= proba.shape[0]:
        return
    if settings.regression:
        intervals.radii(state.spread, proba[i])
        return
    for c in range(state.counts[N_CLASSES]):
        proba[i, c] = scratch.vectors[SPOKEN, c]


@kernel
def _pass(settings, state, scratch, x, t, learns):
    """Run a row through everything that speaks.

    Return whether hidden layers stand still, and if a class is dormant.
    """
    cached = clean_pass(settings, state, scratch, x, t)
    if settings.recursive and learns:
        n_gains = settings.n_trace + settings.n_linear + (state.bank.logistic.shape[0] > 0)
        readout.ensure_gains(settings, state, scratch, n_gains)
    elif _is_gated(settings):
        readout.ensure_gains(settings, state, scratch, gate.N_COMPARED)
    guarded = False
    dormant = False
    if not settings.regression and settings.recursive and settings.retention > 0.0:
        guarded, dormant = gate.mark_dormant(
            state.classes,
            state.counts[N_CLASSES],
            state.counts[N_SEEN],
            rows_a_draw(state),
            scratch.vectors[DORMANT],
        )
    if not cached:
        readout.consult(settings, state, scratch.answers, scratch.vectors)
        if settings.n_snapshots > 0 and recall.are_heard(state.recall.speakers, state.recall.clock):
            _consult_snapshots(settings, state, scratch)
    return guarded, dormant


@kernel
def _run(settings, state, scratch, rows, moments, labels, values, mode, answers, proba, tickets):
    """Do as `run` says; apart from it because what settings are known to be is known of an argument alone."""
    n = rows.shape[0]
    predicts = (mode & PREDICTS) != 0
    learns = (mode & LEARNS) != 0
    late = (mode & LATE) != 0
    timed = moments.shape[0] > 0
    stays = mode == PREDICTS
    told = late and tickets.shape[1] > 0
    moves = settings.remembers and not told and not (stays and n == 1)
    if settings.remembers and stays:
        memory.keep_context(state.memory, scratch.context)
    for i in range(n):
        t = moments[i, TIME] if timed else math.nan
        fresh = timed and moments[i, FRESH_START] != 0.0
        ticket = tickets[i] if late else scratch.context[:0]
        if settings.remembers:
            _prepare(settings, state, scratch, t, fresh, ticket, told)
        guarded, dormant = _pass(settings, state, scratch, rows[i], t, learns)
        if predicts:
            _say(settings, state, scratch, dormant, i, answers, proba)
        if learns:
            share = moments[i, SHARE] if timed else 1.0
            _learn(
                settings,
                state,
                scratch,
                rows[i],
                labels[i],
                values[i],
                share,
                late,
                ticket,
                guarded,
                dormant,
            )
        elif i < tickets.shape[0]:
            write_ticket(settings, state, scratch, tickets[i])
        if moves:
            memory.advance(state.memory, t, scratch.features)
            push_code(state.memory.ring, scratch.lagged)
        if moves or fresh:
            scratch.flags[CLEAN_FOR] = -1
    if settings.remembers and stays:
        memory.put_back(state.memory, scratch.context)


@entry
def run(cell, words, rows, moments, labels, values, mode, answers, proba, tickets):
    """Predict, learn, or first predict and then learn each row in order.

    The one crossing into compiled code.

    Parameters
    ----------
    cell, words
        `Handle.door` of the model.
    rows
        (n, feature capacity) float64, NaN where masked.
    moments
        (n, 3) float64: time of each row, NaN where missing; 1 where its context is fresh; share of
        a step that the hidden layers make. Or (0, 3): no times, nothing fresh, whole steps.
    labels, values
        (n,) slots of the classes (int64) and targets (float64); read only when learning.
    mode
        The sum of what to do with each row: `PREDICTS` it; `OBSERVES` it, which makes it the one
        that the next row follows; `LEARNS` it, after predicting it if asked for both; learns it
        `LATE`, with its ticket, which leaves the context alone unless it is empty. Rows that are
        only predicted follow one another, and the context is put back.
    answers, proba
        Written when predicting: (n,) slots (-1: no class known) or values, and (n, >= classes)
        probabilities or (n, coverages) half widths of intervals; rows of `proba` beyond its length
        are not written.
    tickets
        (n, `ticket_size`) float64, or fewer rows: written when observing without learning, read
        when learning late.
    """
    model = opened(cell, words)
    _run(
        model.settings,
        model.state,
        model.scratch,
        rows,
        moments,
        labels,
        values,
        mode,
        answers,
        proba,
        tickets,
    )
