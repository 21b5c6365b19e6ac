"""One row: the only place that joins the stages, in one written order.

Predict: scale, encode -> drives -> spikes -> traces, fixed layer -> experts -> stacks, mixture ->
snapshots -> stack of the stream's next row -> calibration -> rows like earlier ones -> dormant
classes. In a regression the recent values of the target come last.
Learn: the same pass (or the one that predict left for this row), then credit -> gains of the
experts -> projection, weight change and bounds of every layer -> calibration -> weights of the next
row, snapshots -> experts -> recent rows -> stacks, mixture -> gains, statistics.
Everything that these kernels learn is in `State`; `Scratch` is working memory.
"""

import math

import numpy as np

from loco_stream._compiler.jit import entry, kernel
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream._learner.context import traces
from loco_stream._learner.context.delays import load_codes, push_code, step_share
from loco_stream._learner.delayed_labels.pending import (
    knows_classes,
    last_label_of,
    read_answers,
    read_context,
    read_next_row,
    read_outputs,
    read_values,
    when_written,
    write_ticket,
)
from loco_stream._learner.delayed_labels.weights import (
    count_observations,
    delayed_label_weights,
)
from loco_stream._learner.encoding import CLIP, REOPEN_TARGET, update_features, update_value
from loco_stream._learner.fixed_layer import carry_means, keep_means, settle_scales
from loco_stream._learner.forward import forward_pass
from loco_stream._learner.hidden import HiddenWeights, run_hidden, settle_gains
from loco_stream._learner.kernel_args import opened
from loco_stream._learner.plasticity.rules import assign_credit
from loco_stream._learner.plasticity.update import change_hidden
from loco_stream._learner.readout import (
    calibration,
    delayed_values,
    domains,
    dormancy,
    ensemble,
    intervals,
    next_row,
    next_value,
    past_rows,
    sequences,
    snapshots,
)
from loco_stream._learner.readout.domain_changes import follow
from loco_stream._learner.readout.experts.discriminant import project_change, temperature
from loco_stream._learner.readout.inputs import input_span
from loco_stream._learner.readout.softmax import softmax
from loco_stream._learner.settings import BALANCED, EQUAL
from loco_stream._learner.target_units import standardised, value_of

PREDICT = 1  # flags of what to do with a row
OBSERVE = 2
LEARN = 4
LATE = 8
ANYWHERE = 16  # of what kind a row is that is predicted; without: the stream's next one
BY_EVIDENCE = 32
SEQUENCE = 64  # the predicted rows are one, and are summed up
HELD_OUT = -1  # label of a row that is not learned among others that are
CERTAIN = 0.02  # error of all probabilities together
TIME = 0  # columns of the row times
FRESH_START = 1
STEP_SHARE = 2


@kernel
def _run_snapshots(settings, state, scratch):
    """Run every snapshot that has weight on the row in scratch."""
    own = state.snapshots
    recalled = scratch.recalled
    vector = recalled.traces
    rows = scratch.inputs.recalled_rows
    first, n_inputs = input_span(settings, state.counts.n_features)
    capacity = len(state.classes.n_rows)
    for i in range(settings.n_hidden, len(vector)):
        vector[i] = scratch.clean.traces[i]
    for s in range(len(own.ids)):
        if own.posterior[snapshots.FIRST + s] == 0.0:
            continue
        no_noise = np.float32(0.0)
        texts = state.texts.snapshots[s]
        weights = HiddenWeights(own.weights[s], own.deep_weights[s], texts)
        run_hidden(settings, state, scratch, weights, no_noise, recalled)
        n_rows = nonzero(vector, first, n_inputs, rows)
        outputs = scratch.now.snapshots[s * capacity : (s + 1) * capacity]
        weigh_rows(outputs, own.readouts[s], capacity, vector, first, rows, n_rows)


@kernel
def _mix_snapshots(state, computed):
    """Mix the probabilities of the snapshots into `computed.fast`, if they are evaluated now."""
    own = state.snapshots
    if snapshots.are_evaluated(own.posterior, own.counters.eval_rows):
        n_classes = state.counts.n_classes
        capacity = len(state.classes.n_rows)
        proba = computed.fast
        snapshots.mix_snapshots(
            own.posterior, computed.snapshots, n_classes, capacity, computed.buffer, proba
        )


@kernel
def _combine_prediction(settings, state, computed):
    """Write the ensemble's probabilities, and those of the stream's next row.

    `computed` is a `ReadoutPass` with opinions and their mixture.
    """
    _combine_ensemble(settings, state, computed)
    _combine_next_row(settings, state, computed)


@kernel
def _combine_ensemble(settings, state, computed):
    """Write the probabilities of the mixture and the snapshots."""
    for c in range(state.counts.n_classes):
        computed.fast[c] = computed.mixed[c]
    if settings.n_snapshots > 0:
        _mix_snapshots(state, computed)


@kernel
def _combine_next_row(settings, state, computed):
    """Write what the ensemble's probabilities and the context give to the stream's next row."""
    n_classes = state.counts.n_classes
    if settings.n_log_odds > 0:
        next_row.write_log_probabilities(computed.fast, n_classes, computed.log_odds)
        ensemble.write_log_odds(settings, state, computed)
        next_row.combine(state.next_row, computed.log_odds, n_classes, True, computed.next)
        for c in range(n_classes):
            computed.predicted[c] = computed.next[c]


@kernel
def _blend_dormant(settings, state, scratch, mode):
    """Blend dormant classes into the prediction of a row that may not be the stream's next one."""
    now = scratch.now
    n_classes = state.counts.n_classes
    factor = temperature(state.experts.discriminant.log_likelihoods)
    scores = now.scores  # those of the discriminant come first
    marks = (scratch.dormant, now.buffer)
    if mode & ANYWHERE:
        dormancy.blend_anywhere(scores, n_classes, factor, marks, scratch.answer)
        return
    moments = state.lead.moments
    reluctance = 1.0 - settings.retention
    dormancy.blend_by_evidence(
        moments, scores, n_classes, factor, marks, reluctance, scratch.answer
    )


@kernel
def _blend_discriminant(state, scratch, probability, scores):
    """Blend in the predictions of what forgets least to a row that is an earlier one.

    `probability` (float64) is that it is; `scores` are those of the discriminant that predict it.
    The first opinion of an expert is that of the least-squares member with the smallest leak.
    """
    if not probability > 0.0:  # or it is NaN, where no score is known
        return
    now = scratch.now
    n_classes = state.counts.n_classes
    factor = temperature(state.experts.discriminant.log_likelihoods)
    member = now.opinions[ensemble.FIRST_OPINION]
    softmax(scores, 0, n_classes, factor, now.buffer)
    past_rows.blend_earlier_prediction(probability, now.buffer, member, n_classes, scratch.answer)


@kernel
def _blend_earlier_prediction(state, scratch, threshold):
    """Blend in the predictions of what forgets least, as far as the row is an earlier one.

    `threshold` (float64) is that of `earlier_row_probability` and `earlier_domain_probability`.
    """
    own = scratch.domains
    if state.domains.counters.n_domains > 1:
        probability = domains.earlier_domain_probability(own.lead[0], threshold)
        _blend_discriminant(state, scratch, probability, own.scores)
    probability = past_rows.earlier_row_probability(state.past, scratch.fixed.outputs, threshold)
    _blend_discriminant(state, scratch, probability, scratch.now.scores)


@kernel
def _learn_past(state, scratch):
    """Take the row in scratch into the recent rows."""
    own = state.past
    discriminant = state.experts.discriminant
    n_rows = np.float64(state.counts.n_seen)
    past_rows.learn_recent(own, scratch.fixed.outputs, n_rows)
    n_learned = state.counts.n_seen + 1
    if n_learned >= past_rows.FIRST_TURN and n_learned % past_rows.TURN_EVERY == 0:
        work = scratch.experts.discriminant
        project_change(discriminant, work, state.counts.n_classes, own.recent)
        past_rows.update_direction(own, work.rests[0], work.gains[0], discriminant.total[0])


@kernel
def _follow_domains(state, scratch, computed, label):
    """Find the domain that the stream is in by now."""
    discriminant = state.experts.discriminant
    work = scratch.experts.discriminant
    error = 1.0 - computed.predicted[label]
    follow(state.domains, discriminant, work, state.counts.n_classes, label, error)


@kernel
def _next_value(settings, state, scratch, computed):
    """Return the answer to the stream's next row, in the target's units.

    `computed` is a `ReadoutPass` with the ensemble's answer; the recent values are in scratch.
    """
    next_value.answer(settings, state, scratch.values, state.target, computed.combined)
    return value_of(state.target, 0, scratch.values.mixed[0])


@kernel
def _decide(settings, state, scratch, dormant, mode):
    """Write the probabilities of the row in scratch; return the best slot or the value.

    The slot is -1 while no class is known. `dormant` (bool): some class is; `mode` as in `run`.
    """
    n_classes = state.counts.n_classes
    now = scratch.now
    if settings.regression:
        if n_classes == 0:
            return value_of(state.target, 0, 0.0)
        if mode & ANYWHERE:
            return value_of(state.target, 0, now.combined[0])
        return _next_value(settings, state, scratch, now)
    if n_classes == 0:
        return -1.0
    answer = scratch.answer
    known = now.fast if settings.n_log_odds == 0 else now.next
    for c in range(n_classes):
        answer[c] = known[c]
    if settings.n_log_odds > 0:
        if mode & ANYWHERE:
            next_row.combine(state.next_row, now.log_odds, n_classes, False, answer)
        next_row.mix_experts(state.next_row, now.log_odds, n_classes, answer)
    log_weights = state.calibration.log_weights
    if len(log_weights) > 0:
        calibration.correct(log_weights, answer, n_classes, now.power_sums, now.power_factors)
    if settings.n_log_odds > 0:
        by_evidence = (mode & BY_EVIDENCE) != 0 and settings.retention > 0.0
        if mode & ANYWHERE:
            _blend_earlier_prediction(state, scratch, past_rows.THRESHOLD)
        elif by_evidence:
            _blend_earlier_prediction(
                state, scratch, past_rows.RELUCTANCE * (1.0 - settings.retention)
            )
        if dormant and (by_evidence or (mode & ANYWHERE) != 0):
            _blend_dormant(settings, state, scratch, mode)
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
def _set_target(settings, state, scratch, label, value):
    """Write the target of each output: one-hot, or the standardised value."""
    target = scratch.target
    for c in range(state.counts.n_classes):
        target[c] = 0.0
    if not settings.regression:
        target[label] = 1.0
        return
    target[0] = standardised(state.target, 0, value)


@kernel
def _bounded_target(settings, state, scratch, value, late, ticket):
    """Keep the residual of a target; return the target, as far from its prediction as they reach.

    The residual of a late value is that of what was predicted then.
    """
    next_value.recall_all(state.next_value, scratch.values.known)
    predicted = _next_value(settings, state, scratch, scratch.now)
    at_the_time = predicted
    if late:
        read_outputs(settings, state, scratch, ticket)
        read_values(ticket, scratch.values.known)
        ensemble.combine_outputs(settings, state, scratch.then)
        at_the_time = _next_value(settings, state, scratch, scratch.then)
    residual = abs(value - at_the_time)
    previous = next_value.last_value(state.next_value, 0)
    bounded = intervals.bounded_target(state.residuals, state.target, 0, value, predicted)
    scratch.values.followed[0] = intervals.followed_target(
        state.target, 0, value, bounded, predicted, previous
    )
    intervals.learn_residual(state.residuals, residual)
    return bounded


@kernel
def _learn_next_value(state, scratch):
    """Learn from the target what the stream's next row is answered by."""
    own = state.next_value
    errors = state.delayed_values.errors
    is_delayed = state.delayed.is_delayed > 0.0
    scratch.values.shares[0] = next_value.observation_share(errors, is_delayed)
    next_value.learn_values(own, scratch.values, state.target, 1)


@kernel
def is_sound(error, n_classes, credit):
    """Return whether the numbers of this step may reach a weight."""
    total = 0.0
    for c in range(n_classes):
        total += abs(error[c])
    for i in range(len(credit)):
        total += abs(np.float64(credit[i]))
    return math.isfinite(total)


@kernel
def is_learnable(settings, state, scratch):
    """Prepare the experts for the row in scratch; return whether all its numbers are finite."""
    credit = scratch.neurons.credit[: settings.n_hidden if settings.learns else 0]
    is_ready = ensemble.prepare_experts(settings, state, scratch)
    return is_ready and is_sound(scratch.now.error, state.counts.n_classes, credit)


@kernel
def _learn_snapshots(settings, state, scratch, computed, label, share):
    """Score the current readout and the snapshots by a label, and copy the model when it is due."""
    own = state.snapshots
    observed = (label, state.counts.n_classes, len(state.classes.n_rows))
    snapshots.update_posterior(own, computed, observed, share)
    slot = own.counters.slot
    if snapshots.tick(own):
        snapshots.keep_snapshot(settings, state, scratch.now.weights, slot)


@kernel
def _learn_next_row(settings, state, scratch, computed, label, share, dormant):
    """Update what weighs context, and the moments by which dormant classes may answer."""
    n_classes = state.counts.n_classes
    n_observations = count_observations(state)
    stack = state.next_row
    log_odds = computed.log_odds
    predicted = (log_odds, computed.predicted)
    next_row.learn_mixture(stack, predicted, n_classes, label, n_observations, share)
    next_row.learn_weights(stack, log_odds, computed.next, n_classes, label, n_observations, share)
    if dormant:
        dormancy.learn_lead(state.lead.moments, computed.scores, n_classes, scratch.dormant, label)


@kernel
def _learn_correction(settings, state, computed, label, share):
    """Take `share` of a label into the weights of the last corrections."""
    n_classes = state.counts.n_classes
    proba = computed.buffer
    predicted = computed.fast if settings.n_log_odds == 0 else computed.predicted
    for c in range(n_classes):
        proba[c] = predicted[c]
    if settings.n_log_odds > 0:
        next_row.mix_experts(state.next_row, computed.log_odds, n_classes, proba)
    row = (label, n_classes, count_observations(state))
    log_weights = state.calibration.log_weights
    calibration.learn_correction(log_weights, proba, row, share, computed.power_sums)


@kernel
def _change_readout(settings, state, scratch, computed, observed, dormant, has_prediction):
    """Update the readout, its weights and the snapshots.

    `computed` is the `ReadoutPass` of the time when the row was predicted, `observed` its (label,
    value, share of an observation). A row that came before any class was known has no prediction
    (`has_prediction`, bool): `computed` is then that of now.
    """
    label, value, share = observed
    if not settings.regression and settings.recursive and state.classes.n_rows[label] > 1.0:
        _learn_correction(settings, state, computed, label, share)
    if settings.n_log_odds > 0 and state.classes.n_rows[label] > 1.0:
        _learn_next_row(settings, state, scratch, computed, label, share, dormant)
    if settings.n_snapshots > 0:
        _learn_snapshots(settings, state, scratch, computed, label, share)
    ensemble.learn_experts(settings, state, scratch, label, value)
    if settings.n_log_odds > 0:
        _learn_past(state, scratch)
        _follow_domains(state, scratch, computed, label)
    ensemble.update_weights(settings, state, scratch, computed, label, share, has_prediction)


@kernel
def _go_back(settings, state, scratch, ticket):
    """Write what was predicted when a ticket was written, and how it is combined by now.

    The weights of the snapshots have since learned rows that were predicted together with this one.
    With a fixed layer, a ticket therefore holds what the ensemble answered.
    """
    read_outputs(settings, state, scratch, ticket)
    ensemble.combine_outputs(settings, state, scratch.then)
    ensemble.write_error(settings, state, scratch, scratch.then)
    if settings.regression:
        return
    place = read_answers(settings, state, ticket, scratch.then)
    n_classes = state.counts.n_classes
    if place < 0:
        _combine_ensemble(settings, state, scratch.then)
    _combine_next_row(settings, state, scratch.then)
    read_next_row(place, n_classes, ticket, scratch.then)


@kernel
def _is_certain(error, n_classes):
    """Return whether the (n_classes or more,) float64 error of the probabilities is next to 0."""
    total = 0.0
    for c in range(n_classes):
        total += abs(error[c])
    return total < CERTAIN


@kernel
def _step_share(settings, state, scratch, computed, label, share):
    """Return the share of a step that the hidden layers make.

    Less where successive rows are alike. None where a class was predicted for certain, if rows are
    wide: a step so small is not worth a pass over all weights.
    """
    if settings.regression and state.delayed.is_delayed == 0.0:
        errors = state.delayed_values.errors
        return share * delayed_values.independent_share(errors, computed.error[0])
    if settings.remembers and not settings.regression:
        share = step_share(state.context.run, float(label), share)
    is_costly = settings.n_fields == 1 and not settings.regression
    if is_costly and _is_certain(scratch.now.error, state.counts.n_classes):
        return 0.0
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
        dormancy.count_label(state.classes, label, counts.n_seen)
    if counts.n_classes > n_known:
        ensemble.combine_outputs(settings, state, scratch.now)
        if not settings.regression:
            _combine_prediction(settings, state, scratch.now)
        return True
    return False


@kernel
def _learn(settings, state, scratch, observed, late, ticket, dormant):
    """Learn the row in scratch.

    Parameters
    ----------
    observed
        Slot of its class (int64), its target (float64), and the share of a step that the hidden
        layers make (float64).
    late, ticket
        Whether the label is late, and what was predicted then; an empty ticket: nothing was known.
    dormant
        bool: whether a class is dormant.
    """
    label, value, share = observed
    counts = state.counts
    label_share = 1.0
    late = late and counts.n_seen > 0
    scratch.past.last_label = last_label_of(ticket) if late else counts.last_label
    is_new = _know_label(settings, state, scratch, label)
    if settings.regression:
        known_value = value
        if not is_new:
            value = _bounded_target(settings, state, scratch, value, late, ticket)
    _set_target(settings, state, scratch, label, value)
    if settings.regression:
        if not is_new and settings.n_lags > 0:
            _learn_next_value(state, scratch)
        next_value.keep_value(state.next_value, 0, known_value)
    ensemble.write_error(settings, state, scratch, scratch.now)
    computed = scratch.now
    has_prediction = True
    if late:
        _go_back(settings, state, scratch, ticket)
        was_delayed = state.delayed.is_delayed
        label_share, share = delayed_label_weights(
            settings, state, label, when_written(ticket), share
        )
        if state.delayed.is_delayed > was_delayed:
            next_value.learn_anew(state.next_value)
        has_prediction = settings.regression or knows_classes(ticket)
        if has_prediction:
            computed = scratch.then
    if settings.learns:
        assign_credit(settings, state, scratch)
        if settings.regression and state.delayed.is_delayed > 0.0:
            share_without = delayed_values.memoryless_share(settings, state.delayed_values)
            traces.reduce_credit(state.context, scratch.neurons.credit, share_without)
    if is_learnable(settings, state, scratch):
        if settings.learns:
            step = _step_share(settings, state, scratch, computed, label, share)
            change_hidden(settings, state, scratch, step)
        scratch.past.share = label_share
        observed = (label, value, label_share)
        _change_readout(settings, state, scratch, computed, observed, dormant, has_prediction)
        settle_gains(state.net, scratch.clean.drives, settings.gain, counts.n_seen)
    else:
        counts.n_skipped += 1
    if not settings.regression:
        counts.last_label = label
    counts.n_masked += update_features(state, scratch)
    if settings.n_fixed > 0:
        settle_scales(settings, state, scratch)
    if settings.regression:
        clipped = abs(scratch.target[0]) >= CLIP
        if update_value(state.target, 0, value, clipped, REOPEN_TARGET):
            state.residuals.counters.n_residuals = 0
    counts.n_seen += 1


@kernel
def begin_row(settings, state, scratch, times, i, ticket):
    """Load the context of row `i`: that of the stream, or the one kept in a ticket.

    Return its time, whether its context is fresh, and its share of a step. `times` as in `run`.
    """
    t = math.nan
    fresh = False
    share = 1.0
    if len(times) > 0:
        t = times[i, TIME]
        fresh = times[i, FRESH_START] != 0.0
        share = times[i, STEP_SHARE]
    if settings.remembers:
        _prepare_context(settings, state, scratch, t, fresh, ticket)
    return t, fresh, share


@kernel
def _prepare_context(settings, state, scratch, t, fresh, ticket):
    """Load the context of the row at `t`: that of the stream, or that in a ticket."""
    if len(ticket) > 0:
        read_context(settings, state, scratch, ticket)
        scratch.cache.valid_for = -1
        return
    if fresh:
        traces.forget(state.context)
        scratch.cache.valid_for = -1
    traces.carry(state.context, scratch, t)
    carry_means(state, scratch)
    load_codes(state.context.ring, scratch.lagged)


@kernel
def advance_context(state, scratch, t):
    """Advance the context past the row in scratch, whose time is `t` (float64)."""
    traces.advance(state.context, t, scratch.clean.traces)
    keep_means(state, scratch)
    push_code(state.context.ring, scratch.lagged)
    scratch.cache.valid_for = -1


@kernel
def _write_answer(settings, state, scratch, dormant, mode, i, answers, proba):
    """Write the answer to row `i`, and its probabilities or intervals where there is room."""
    answers[i] = _decide(settings, state, scratch, dormant, mode)
    if i >= len(proba):
        return
    if settings.regression:
        intervals.write_radii(state.residuals, proba[i])
        return
    for c in range(state.counts.n_classes):
        proba[i, c] = scratch.answer[c]


@kernel
def _pass(settings, state, scratch, x, t):
    """Run a row through all stages that predict; return whether a class is dormant."""
    cached = forward_pass(settings, state, scratch, x, t)
    dormant = False
    if settings.n_log_odds > 0:
        n_classes = state.counts.n_classes
        n_seen = state.counts.n_seen
        dormant = dormancy.mark_dormant(state.classes, n_classes, n_seen, scratch.dormant)
    if settings.n_lags > 0:
        next_value.recall_all(state.next_value, scratch.values.known)
    if not cached:
        ensemble.write_others(settings, state, scratch.now)
        ensemble.combine_outputs(settings, state, scratch.now)
        if settings.n_snapshots > 0:
            own = state.snapshots
            if snapshots.are_evaluated(own.posterior, own.counters.eval_rows):
                _run_snapshots(settings, state, scratch)
        if not settings.regression and state.counts.n_classes > 0:
            _combine_prediction(settings, state, scratch.now)
    return dormant


@kernel
def _summarise(settings, scratch):
    """Take the row in scratch into the summary of its sequence."""
    if settings.n_log_odds > 0:
        sequences.add_scores(scratch.now.scores, scratch.sequence.scores)
    sequences.add_hidden(scratch.clean.traces, settings.n_hidden, scratch.sequence)
    sequences.add_fixed(scratch.fixed.traces, settings.n_fixed, scratch.sequence)


@kernel
def _run(settings, state, scratch, given, mode, written):
    """Do what `run` does with `given` (rows, times, labels, values).

    `written` are its (answers, proba, tickets). It is separate because constant settings are known
    to the compiler only where they are an argument.
    """
    rows, times, labels, values = given
    answers, proba, tickets = written
    n = len(rows)
    predicts = (mode & PREDICT) != 0
    learns = (mode & LEARN) != 0
    late = (mode & LATE) != 0
    only_predicts = mode & (OBSERVE | LEARN) == 0
    has_tickets = late and tickets.shape[1] > 0
    advances = settings.remembers and not has_tickets and not (only_predicts and n == 1)
    if settings.remembers and only_predicts:
        traces.save_context(state.context, scratch.context)
    summarises = (mode & SEQUENCE) != 0 and not settings.regression
    if summarises:
        sequences.forget(scratch.sequence)
    for i in range(n):
        ticket = tickets[i] if late else scratch.no_ticket
        t, fresh, share = begin_row(settings, state, scratch, times, i, ticket)
        dormant = _pass(settings, state, scratch, rows[i], t)
        if predicts:
            if summarises:
                _summarise(settings, scratch)
            _write_answer(settings, state, scratch, dormant, mode, i, answers, proba)
        if learns and labels[i] != HELD_OUT:
            observed = (labels[i], values[i], share)
            _learn(settings, state, scratch, observed, late, ticket, dormant)
        elif learns:
            state.delayed.n_tickets += 1.0  # as if it were observed, though no one keeps its ticket
        elif i < len(tickets):
            write_ticket(settings, state, scratch, tickets[i])
        if advances:
            advance_context(state, scratch, t)
        elif fresh:
            scratch.cache.valid_for = -1
    if settings.remembers and only_predicts:
        traces.restore_context(state.context, scratch.context)


@entry
def run(cell, words, rows, times, labels, values, mode, written):
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
        (n,) slots of the classes (int64) and targets (float64); read only when learning. Where the
        slot is `HELD_OUT`, the row is observed and not learned.
    mode
        Sum of flags of what to do with each row: `PREDICT` it; `OBSERVE` it, which makes it the one
        that the next row follows; `LEARN` it, after predicting it if both are set; learn it `LATE`,
        with its ticket, which leaves the context alone unless the ticket is empty. Rows that are
        only predicted follow one another, and the context is restored. A row that is only
        predicted is the stream's next one, or one from `ANYWHERE`, or which of both is decided
        `BY_EVIDENCE`. Predicted rows of one `SEQUENCE` are also summed up.
    written
        Three arrays of float64. Answers, (n,), written when predicting: slots (-1: no class known)
        or values. Then (up to n, columns), written when predicting: probabilities, or half widths
        of intervals. Tickets, (up to n, `Places.end`): written when observing without learning,
        read when learning late.
    """
    model = opened(cell, words)
    settings = model.settings
    state = model.state
    scratch = model.scratch
    given = (rows, times, labels, values)
    _run(settings, state, scratch, given, mode, written)
