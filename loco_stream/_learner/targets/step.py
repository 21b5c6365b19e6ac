"""One row of a model with several targets; the stages are those of `_learner.step`.

With one target every number is the one that the single-target step gives.
"""

import math

from loco_stream._compiler.jit import entry, kernel
from loco_stream._learner.context import traces
from loco_stream._learner.delayed_labels.pending import (
    read_outputs,
    read_values,
    when_written,
    write_ticket,
)
from loco_stream._learner.delayed_labels.weights import delayed_label_weights
from loco_stream._learner.encoding import CLIP, REOPEN_TARGET, update_features, update_value
from loco_stream._learner.forward import forward_pass
from loco_stream._learner.hidden import settle_gains
from loco_stream._learner.plasticity.feedback import broadcast_error
from loco_stream._learner.plasticity.update import change_hidden
from loco_stream._learner.readout import delayed_values, intervals, next_value
from loco_stream._learner.readout.intervals import ResidualState
from loco_stream._learner.step import (
    ANYWHERE,
    LATE,
    LEARN,
    OBSERVE,
    PREDICT,
    advance_context,
    begin_row,
    is_learnable,
)
from loco_stream._learner.target_units import standardised, value_of
from loco_stream._learner.targets.kernel_args import opened
from loco_stream._learner.targets.readout import (
    combine,
    learn_members,
    learn_stacks,
    memoryless_share,
    write_credit_error,
    write_others,
)


@kernel
def forward(model, x, t):
    """Run a row through all stages that predict; see `forward_pass`."""
    if not forward_pass(model.settings, model.state, model.scratch, x, t):
        _combine_now(model)


@kernel
def _combine_now(model):
    """Combine what the members predict by now."""
    now = model.scratch.now
    write_others(model.settings, model.state, model.targets, now)
    combine(model.settings, model.state, model.targets, model.work.weights, now)


@kernel
def _answer_next(model, computed):
    """Write the answers to the stream's next row into `scratch.values.mixed`.

    `computed` is a `ReadoutPass` with those of the ensemble; the recent values are in scratch.
    """
    statistics = model.targets.statistics
    scratch = model.scratch
    next_value.answer(model.settings, model.state, scratch.values, statistics, computed.combined)


@kernel
def _write_answers(model, mode, answers, radii):
    """Write the value of each target, and the half widths of its intervals where there is room.

    Parameters
    ----------
    mode
        As in `_learner.step.run`.
    answers
        (targets,) float64, written.
    radii
        (targets * coverages,) float64, written; or empty.
    """
    targets = model.targets
    n_coverages = targets.residuals.risks.shape[1]
    scores = model.scratch.now.combined
    if mode & ANYWHERE == 0:
        next_value.recall_all(model.state.next_value, model.scratch.values.known)
        _answer_next(model, model.scratch.now)
        scores = model.scratch.values.mixed
    for j in range(model.state.counts.n_classes):
        answers[j] = value_of(targets.statistics, j, scores[j])
        if len(radii) > 0:
            own = targets.residuals
            residuals = ResidualState(own.counters[j], own.recent[j], own.ordered[j], own.risks[j])
            intervals.write_radii(residuals, radii[j * n_coverages : (j + 1) * n_coverages])


@kernel
def _bounded_target(targets, j, value, previous, now, then):
    """Keep the residual of target `j`; return the value as it is learned and as it is followed.

    A target without values so far has no residual.

    Parameters
    ----------
    targets
        `TargetState`.
    value, previous
        float64: the value, and the one known before it; NaN for none.
    now, then
        float64: the answer by now, and when the row was predicted, whose residual is kept.
    """
    statistics = targets.statistics
    if statistics.n_values[j] == 0.0:
        return value, value
    own = targets.residuals
    residuals = ResidualState(own.counters[j], own.recent[j], own.ordered[j], own.risks[j])
    predicted = value_of(statistics, j, now)
    residual = abs(value - value_of(statistics, j, then))
    bounded = intervals.bounded_target(residuals, statistics, j, value, predicted)
    intervals.learn_residual(residuals, residual)
    followed = intervals.followed_target(statistics, j, value, bounded, predicted, previous)
    return bounded, followed


@kernel
def _go_back(model, answered, late, ticket):
    """Write the answers by now and those at the time, and in a late row what was predicted then.

    Return the `ReadoutPass` of the time. The other parameters are those of `_learn`.
    """
    scratch = model.scratch
    values = scratch.values
    if not answered:
        next_value.recall_all(model.state.next_value, values.known)
        _answer_next(model, scratch.now)
    for j in range(model.state.counts.n_classes):
        values.expected[j] = values.mixed[j]
    if not late:
        return scratch.now
    read_outputs(model.settings, model.state, scratch, ticket)
    read_values(ticket, values.known)
    combine(model.settings, model.state, model.targets, model.work.then, scratch.then)
    _answer_next(model, scratch.then)
    return scratch.then


@kernel
def _set_targets(state, scratch, targets, values):
    """Bound and standardise each value; NaN where it is missing. Return how many are known.

    `values` (targets,) float64 is overwritten by the bounded ones. Each becomes the last known one
    as it came.
    """
    n_known = 0
    answers = scratch.values
    for j in range(len(values)):
        answers.followed[j] = values[j]
        if values[j] != values[j]:
            scratch.target[j] = math.nan
            continue
        n_known += 1
        own = state.next_value
        value = values[j]
        previous = next_value.last_value(own, j)
        now = answers.expected[j]
        bounded, followed = _bounded_target(targets, j, value, previous, now, answers.mixed[j])
        next_value.keep_value(own, j, value)
        values[j] = bounded
        answers.followed[j] = followed
        scratch.target[j] = standardised(targets.statistics, j, values[j])
    return n_known


@kernel
def _learn_next_values(state, scratch, targets):
    """Learn from the targets what the stream's next row is answered by."""
    n = state.counts.n_classes
    is_delayed = state.delayed.is_delayed > 0.0
    for j in range(n):
        errors = targets.delayed.errors[j]
        scratch.values.shares[j] = next_value.observation_share(errors, is_delayed)
    own = state.next_value
    next_value.learn_values(own, scratch.values, targets.statistics, n)


@kernel
def _step_share(state, scratch, targets, share):
    """Return the share of a step that the hidden layers make: less where successive rows are alike.

    It is the mean over the known targets. Before any value was late, what is predicted by now is
    what was predicted when the row came.
    """
    if state.delayed.is_delayed > 0.0:
        return share
    total = 0.0
    n_known = 0.0
    for j in range(state.counts.n_classes):
        if scratch.target[j] == scratch.target[j]:
            errors = targets.delayed.errors[j]
            total += delayed_values.independent_share(errors, scratch.now.error[j])
            n_known += 1.0
    return share * total / n_known


@kernel
def _average_error(state, scratch, n_known):
    """Divide the errors that reach the hidden layers by the root of the number of known targets.

    Steps are then as large as with one target if their errors are independent.
    """
    factor = 1.0 / math.sqrt(float(n_known))
    for j in range(state.counts.n_classes):
        scratch.now.error[j] *= factor


@kernel
def _change(model, computed, n_known, weight, share):
    """Make the step of the hidden layers and the readout; refuse numbers that are not finite.

    Parameters
    ----------
    computed
        `ReadoutPass` of the time when the row was predicted.
    n_known
        int64: known targets, at least 1.
    weight, share
        float64: share of an observation that the row is, and of a step of the hidden layers.
    """
    settings = model.settings
    state = model.state
    scratch = model.scratch
    if settings.learns:
        _average_error(state, scratch, n_known)
        broadcast_error(settings, state, scratch)
        if state.delayed.is_delayed > 0.0:
            share_without = memoryless_share(settings, state, model.targets)
            traces.reduce_credit(state.context, scratch.neurons.credit, share_without)
    if not is_learnable(settings, state, scratch):
        state.counts.n_skipped += 1
        return
    if settings.learns:
        step = _step_share(state, scratch, model.targets, share)
        change_hidden(settings, state, scratch, step)
    learn_members(settings, state, scratch, model.work.credit_weights)
    learn_stacks(settings, state, scratch, model.targets, computed, weight)
    settle_gains(state.net, scratch.clean.drives, settings.gain, state.counts.n_seen)


@kernel
def _know_targets(model, n):
    """Make the first `n` (int64) targets known; the combined outputs then include them."""
    n_before = model.state.counts.n_classes
    if n > n_before:
        next_value.admit_joint_models(model.state.next_value, n_before, n)
        model.state.counts.n_classes = n
        _combine_now(model)


@kernel
def _learn(model, values, share, answered, late, ticket):
    """Learn the row in scratch.

    Parameters
    ----------
    values
        (targets,) float64, NaN where missing; overwritten.
    share
        float64: share of a step that the hidden layers make.
    answered
        bool: whether the answers to the stream's next row, of all targets, are in scratch.
    late, ticket
        Whether the values are late, and what was predicted then; an empty ticket: nothing was
        known.
    """
    settings = model.settings
    state = model.state
    scratch = model.scratch
    targets = model.targets
    counts = state.counts
    late = late and counts.n_seen > 0
    answered = answered and counts.n_classes == len(values)
    _know_targets(model, len(values))
    computed = _go_back(model, answered, late, ticket)
    n_known = _set_targets(state, scratch, targets, values)
    if n_known == 0:
        state.delayed.n_tickets += 1.0  # as if it were observed, though no one keeps its ticket
        return
    targets.counters.n_missing += len(values) - n_known
    if settings.n_lags > 0:
        _learn_next_values(state, scratch, targets)
    write_credit_error(settings, state, scratch, targets, model.work.credit_weights)
    weight = 1.0
    if late:
        was_delayed = state.delayed.is_delayed
        weight, share = delayed_label_weights(settings, state, 0, when_written(ticket), share)
        if state.delayed.is_delayed > was_delayed:
            next_value.learn_anew(state.next_value)
    _change(model, computed, n_known, weight, share)
    counts.n_masked += update_features(state, scratch)
    for j in range(len(values)):
        if values[j] == values[j]:
            clipped = abs(scratch.target[j]) >= CLIP
            if update_value(targets.statistics, j, values[j], clipped, REOPEN_TARGET):
                targets.residuals.counters[j].n_residuals = 0
    counts.n_seen += 1


@kernel
def _run(model, rows, times, values, mode, written):
    """Do what `run` does with an opened model."""
    predicted, radii, tickets = written
    settings = model.settings
    state = model.state
    scratch = model.scratch
    n = len(rows)
    learns = (mode & LEARN) != 0
    late = (mode & LATE) != 0
    only_predicts = mode & (OBSERVE | LEARN) == 0
    has_tickets = late and tickets.shape[1] > 0
    advances = settings.remembers and not has_tickets and not (only_predicts and n == 1)
    if settings.remembers and only_predicts:
        traces.save_context(state.context, scratch.context)
    for i in range(n):
        ticket = tickets[i] if late else scratch.no_ticket
        t, fresh, share = begin_row(settings, state, scratch, times, i, ticket)
        forward(model, rows[i], t)
        if (mode & PREDICT) != 0:
            own = radii[i] if i < len(radii) else scratch.no_ticket
            _write_answers(model, mode, predicted[i], own)
        if learns:
            answered = (mode & PREDICT) != 0 and mode & ANYWHERE == 0
            _learn(model, values[i], share, answered, late, ticket)
        elif i < len(tickets):
            write_ticket(settings, state, scratch, tickets[i])
        if advances:
            advance_context(state, scratch, t)
        elif fresh:
            scratch.cache.valid_for = -1
    if settings.remembers and only_predicts:
        traces.restore_context(state.context, scratch.context)


@entry
def run(cell, words, rows, times, values, mode, written):
    """Predict, learn, or first predict and then learn each row in order, in one crossing.

    Parameters
    ----------
    cell, words
        `KernelArgs.args` of the model.
    rows, times, mode
        As in `_learner.step.run`.
    values
        (n, targets) float64, NaN where missing; overwritten; read only when learning.
    written
        Values, (n, targets) float64, and half widths of intervals, (up to n, targets * coverages)
        float64, written when predicting; and tickets as in `_learner.step.run`.
    """
    _run(opened(cell, words), rows, times, values, mode, written)
