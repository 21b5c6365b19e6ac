"""One row of a forecast: the heads predict it, and learn the rows that its value belongs to.

The hidden layers learn from the first head, whose value comes with the row; every other head shares
what they have learned. Values are changes from the last value of the series. Each head compares
the network with repeating a value: the last one, as for a random walk, or the one among its inputs
that has made the smallest errors, as for a season. Where repeating has made the smaller errors of
late, the forecast moves towards it.
"""

import math

import numpy as np

from loco_stream._compiler.jit import entry, kernel
from loco_stream._compiler.simd.ops import add_outer
from loco_stream._learner.encoding import CLIP, REOPEN_TARGET, update_features, update_value
from loco_stream._learner.hidden import settle_gains
from loco_stream._learner.plasticity.feedback import broadcast_error
from loco_stream._learner.plasticity.update import change_hidden
from loco_stream._learner.readout import delayed_values, intervals, stacks
from loco_stream._learner.readout.ensemble import prepare_experts
from loco_stream._learner.readout.experts.least_squares import change_projectors
from loco_stream._learner.readout.inputs import input_span
from loco_stream._learner.readout.intervals import ResidualState
from loco_stream._learner.step import (
    LEARN,
    OBSERVE,
    PREDICT,
    advance_context,
    begin_row,
    is_sound,
)
from loco_stream._learner.target_units import standardised, value_of
from loco_stream._learner.targets.kernel_args import opened_heads
from loco_stream._learner.targets.step import forward

GUARD_DECAY = 0.998  # of the errors that a head is compared by: about 500 rows count
GUARD_SLOPE = 0.05  # of the log-odds of the network, per mean error
MAX_ADVANTAGE = 5.0  # mean errors that one row counts at most
MAX_REPEATED = 2.0  # the same in the mean error of a repeated value
# An earlier value is repeated where its error is below this fraction of that of the last value.
KEEP_LAST = 0.9
# With so many errors the fraction is half as large: the smallest of a few dozen means of few errors
# is small by chance. More for each step ahead, since successive errors are alike.
FEW_ERRORS = 24.0
FEW_PER_STEP = 8.0
ERROR_RATE = 0.005  # of the mean error
REPEATED_RATE = 0.002  # of the mean errors of repeated values: about as many rows count
SCALE_RATE = 0.05  # of the logarithm of an interval's factor, per row
MIN_LOG_SCALE = -2.0
MAX_LOG_SCALE = 6.0


@kernel
def _dot(weights, column, vector, first, n):
    """Return the sum of ``weights[i, column] * vector[first + i]`` over i < n, float64."""
    total = 0.0
    for i in range(n):
        total += np.float64(weights[i, column]) * vector[first + i]
    return total


@kernel
def _move(weights, column, gains, n, lack):
    """Add `lack` (float64) times the gains to a column of the weights."""
    factor = np.float32(lack)
    for i in range(n):
        weights[i, column] += factor * gains[i]


@kernel
def _write_radii(targets, heads, j, radii):
    """Write the half widths of the intervals of head `j` (int64), (coverages,) float64."""
    own = targets.residuals
    residuals = ResidualState(own.counters[j], own.recent[j], own.ordered[j], own.risks[j])
    intervals.write_radii(residuals, radii)
    for level in range(min(len(radii), heads.log_scales.shape[1])):
        radii[level] *= math.exp(heads.log_scales[j, level])


@kernel
def _network_share(heads, j):
    """Return the share of the network's forecast in that of head `j` (int64)."""
    odds = GUARD_SLOPE * heads.guards[j].advantage
    return 1.0 / (1.0 + math.exp(min(max(odds, -50.0), 50.0)))


@kernel
def _repeated_change(heads, j, row):
    """Return the change to the value that head `j` (int64) would repeat with the least error.

    It is 0, the last value, or one of the inputs `row`, (inputs,) float64, most of which are
    changes from the last value to earlier ones.
    """
    change = 0.0
    guard = heads.guards[j]
    few = FEW_ERRORS + FEW_PER_STEP * j
    lowest = KEEP_LAST * guard.unchanged * guard.n_errors / (guard.n_errors + few)
    for k in range(len(row)):
        if heads.errors[j, k] < lowest and row[k] == row[k]:
            lowest = heads.errors[j, k]
            change = row[k]
    return change


@kernel
def _forecast(heads, j, predicted, repeated):
    """Return the change that head `j` (int64) forecasts between those two, float64."""
    share = _network_share(heads, j)
    return share * predicted + (1.0 - share) * repeated


@kernel
def _keep_errors(heads, j, slot, value):
    """Take in how far 0 and the inputs at `slot` (int64) were from the change `value`, float64.

    A single error counts for little: an outage, which each input repeats after a time of its own,
    must not decide for hundreds of rows.
    """
    guard = heads.guards[j]
    errors = heads.errors[j]
    most = MAX_REPEATED * guard.error
    rate = max(REPEATED_RATE, 1.0 / guard.n_errors)
    guard.unchanged += rate * (min(abs(value), most) - guard.unchanged)
    for k in range(len(errors)):
        if heads.rows[slot, k] == heads.rows[slot, k]:
            error = min(abs(heads.rows[slot, k] - value), most)
            errors[k] = error if errors[k] == math.inf else errors[k] + rate * (error - errors[k])


@kernel
def _compare(heads, j, slot, value):
    """Compare the network's forecast with repeating a value; `value` (float64) has come."""
    guard = heads.guards[j]
    error = abs(heads.predicted[slot, j] - value)
    others = abs(heads.repeated[slot, j] - value)
    guard.n_errors += 1.0
    rate = max(ERROR_RATE, 1.0 / guard.n_errors)
    guard.error += rate * (min(error, others) - guard.error)
    _keep_errors(heads, j, slot, value)
    if guard.error > 0.0:
        difference = (error - others) / guard.error
        guard.advantage += min(max(difference, -MAX_ADVANTAGE), MAX_ADVANTAGE)
    elif error != others:  # one of them has made no error at all
        guard.advantage += math.copysign(MAX_ADVANTAGE, error - others)
    guard.advantage *= GUARD_DECAY


@kernel
def _write_answers(model, row, answers, radii):
    """Write the value of each head, and the half widths of its intervals where there is room.

    Parameters
    ----------
    row
        (inputs,) float64.
    answers
        (heads,) float64, written.
    radii
        (heads * coverages,) float64, written; or empty.
    """
    n_coverages = model.heads.log_scales.shape[1]
    for j in range(len(answers)):
        value = value_of(model.targets.statistics, j, model.scratch.now.combined[j])
        repeated = _repeated_change(model.heads, j, row)
        answers[j] = _forecast(model.heads, j, value, repeated)
        if len(radii) > 0:
            own = radii[j * n_coverages : (j + 1) * n_coverages]
            _write_radii(model.targets, model.heads, j, own)


@kernel
def _adapt_scales(heads, j, slot, residual):
    """Move the factors of the intervals of head `j` by whether the one of the time was missed.

    A quantile of residuals lags behind errors that grow, and those of a late value come in runs.
    With the factor a share of the values as large as the coverage lies inside in the long run
    (Gibbs & Candes 2021, on the logarithm). A series that stands still says nothing about it.
    """
    for level in range(heads.log_scales.shape[1]):
        radius = heads.radii[slot, j, level]
        if 0.0 < radius < math.inf:
            missed = 1.0 if residual > radius else 0.0
            aim = 1.0 - intervals.COVERAGES[level]
            moved = heads.log_scales[j, level] + SCALE_RATE * (missed - aim)
            heads.log_scales[j, level] = min(max(moved, MIN_LOG_SCALE), MAX_LOG_SCALE)


@kernel
def _bounded_value(targets, heads, j, slot, value, now):
    """Keep the residual of head `j`; return the value, as far from its prediction as they reach.

    Parameters
    ----------
    slot
        int64: place of the row that the value belongs to.
    value, now
        float64: the value, and the output for that row by now.
    """
    statistics = targets.statistics
    if statistics.n_values[j] == 0.0:
        return value
    own = targets.residuals
    residuals = ResidualState(own.counters[j], own.recent[j], own.ordered[j], own.risks[j])
    predicted = value_of(statistics, j, now)
    residual = abs(value - heads.forecasts[slot, j])
    _compare(heads, j, slot, value)
    _adapt_scales(heads, j, slot, residual)
    value = intervals.bounded_target(residuals, statistics, j, value, predicted)
    intervals.keep_residual(residuals, residual)
    return value


@kernel
def _keep_row(model, row):
    """Keep the row in scratch, whose gains are computed, for the values to come.

    `row` is (inputs,) float64.
    """
    settings = model.settings
    scratch = model.scratch
    heads = model.heads
    work = scratch.experts.least_squares
    n_heads = len(heads.vectors)
    slot = heads.counters.n_rows % n_heads
    now = scratch.now
    for k in range(len(row)):
        heads.rows[slot, k] = row[k]
    vector = heads.vectors[slot]
    for i in range(len(vector)):
        vector[i] = scratch.clean.traces[i]
    for a in range(len(now.outputs)):
        heads.outputs[slot, a] = now.outputs[a]
    for j in range(n_heads):
        value = value_of(model.targets.statistics, j, now.combined[j])
        heads.predicted[slot, j] = value
        heads.repeated[slot, j] = _repeated_change(heads, j, row)
        heads.forecasts[slot, j] = _forecast(heads, j, value, heads.repeated[slot, j])
        _write_radii(model.targets, heads, j, heads.radii[slot, j])
    for m in range(settings.n_trace):
        scale = np.float32(1.0 / (1.0 + work.energies[m]))
        own = heads.gains[slot, m]
        for i in range(len(own)):
            own[i] = scale * work.gains[m, i]
    for m in range(settings.n_linear):
        scale = np.float32(1.0 / (1.0 + work.energies[settings.n_trace + m]))
        own = heads.linear_gains[slot, m]
        for i in range(len(own)):
            own[i] = scale * work.linear_gains[m, i]
    heads.counters.n_rows += 1


@kernel
def _present_outputs(settings, state, heads, slot, j, outputs):
    """Write what each member outputs by now for head `j` on the row at `slot`.

    `outputs` is (members,) float64.
    """
    own = state.experts.least_squares
    capacity = len(heads.vectors)
    n_features = state.counts.n_features
    first, n_inputs = input_span(settings, n_features)
    vector = heads.vectors[slot]
    for m in range(settings.n_trace):
        outputs[m] = _dot(own.weights, m * capacity + j, vector, first, n_inputs)
    for m in range(settings.n_linear):
        column = m * capacity + j
        hidden = settings.n_hidden
        total = _dot(own.linear_weights, column, vector, hidden, n_features + 1)
        outputs[settings.n_trace + m] = total


@kernel
def _move_head(settings, state, heads, place, target, outputs):
    """Make the step of every member for one head.

    Parameters
    ----------
    place
        (place of the row, head), int64.
    target
        float64, standardised.
    outputs
        (members,) float64: what each member outputs by now.
    """
    slot, j = place
    own = state.experts.least_squares
    capacity = len(heads.vectors)
    n_features = state.counts.n_features
    _, n_inputs = input_span(settings, n_features)
    for m in range(settings.n_trace):
        lack = target - outputs[m]
        _move(own.weights, m * capacity + j, heads.gains[slot, m], n_inputs, lack)
    for m in range(settings.n_linear):
        lack = target - outputs[settings.n_trace + m]
        gains = heads.linear_gains[slot, m]
        _move(own.linear_weights, m * capacity + j, gains, n_features + 1, lack)


@kernel
def _learn_head(model, j, value):
    """Let head `j` (int64) learn the row that its value (float64) belongs to."""
    settings = model.settings
    state = model.state
    targets = model.targets
    heads = model.heads
    scratch = model.scratch
    capacity = len(heads.vectors)
    slot = (heads.counters.n_rows - 1 - j) % capacity
    outputs = model.work.then[j]
    _present_outputs(settings, state, heads, slot, j, outputs)
    stack = targets.stacks.weights[j]
    now = 0.0
    for a in range(len(outputs)):
        now += stack[a] * outputs[a]
    value = _bounded_value(targets, heads, j, slot, value, now)
    target = standardised(targets.statistics, j, value)
    _move_head(settings, state, heads, (slot, j), target, outputs)
    scratch.target[j] = target
    outputs_then = heads.outputs[slot][j:]
    projector = targets.stacks.projectors[j]
    buffers = scratch.now.stack_buffers
    wanted = scratch.target[j:]
    stacks.learn_stack(stack, projector, outputs_then, capacity, wanted, 1, buffers, 1.0)
    if update_value(targets.statistics, j, value, abs(target) >= CLIP, REOPEN_TARGET):
        targets.residuals.counters[j].n_residuals = 0


@kernel
def _change_hidden(model, value):
    """Make a step of the hidden layers along the error of the first head, and mirror its update.

    `value` (float64) came with the row in scratch. Return False if a number is not finite.
    """
    settings = model.settings
    state = model.state
    scratch = model.scratch
    work = scratch.experts.least_squares
    now = scratch.now
    capacity = len(model.heads.vectors)
    target = standardised(model.targets.statistics, 0, value)
    for j in range(capacity):
        now.error[j] = 0.0
    now.error[0] = now.combined[0] - target
    broadcast_error(settings, state, scratch)
    if not is_sound(now.error, capacity, scratch.neurons.credit):
        return False
    errors = model.targets.delayed.errors[0]
    change_hidden(settings, state, scratch, delayed_values.independent_share(errors, now.error[0]))
    for m in range(settings.n_trace):
        lack = target - np.float64(now.outputs[m * capacity])
        work.increment[0] = model.work.weights[0, m] * lack
        scale = np.float32(1.0 / (1.0 + work.energies[m]))
        feedback = state.net.feedback
        one = np.float32(1.0)
        n_neurons = settings.n_hidden
        add_outer(feedback, 1, 0, n_neurons, work.increment, scale, work.gains[m], one)
    return True


@kernel
def _learn(model, row, values):
    """Learn the row in scratch, and the rows before that its values belong to.

    `row` is (inputs,) float64. `values`, (heads,) float64, is NaN where there is none.
    """
    settings = model.settings
    state = model.state
    scratch = model.scratch
    heads = model.heads
    counts = state.counts
    is_sound_row = prepare_experts(settings, state, scratch)
    is_known = values[0] == values[0] and model.targets.statistics.n_values[0] > 0.0
    if is_sound_row and settings.learns and is_known:
        is_sound_row = _change_hidden(model, values[0])
    if not is_sound_row:
        counts.n_skipped += 1
        return
    _keep_row(model, row)
    change_projectors(settings, state, scratch)
    for j in range(len(values)):
        if values[j] == values[j] and j < heads.counters.n_rows:
            _learn_head(model, j, values[j])
    settle_gains(state.net, scratch.clean.drives, settings.gain, counts.n_seen)
    counts.n_masked += update_features(state, scratch)
    counts.n_seen += 1


@kernel
def _run(model, rows, times, values, mode, answers, radii):
    """Do as `run` says."""
    settings = model.settings
    state = model.state
    scratch = model.scratch
    learns = (mode & LEARN) != 0
    advances = settings.remembers and mode & (OBSERVE | LEARN) != 0
    state.counts.n_classes = values.shape[1]
    for i in range(len(rows)):
        t, _, _ = begin_row(settings, state, scratch, times, i, scratch.no_ticket)
        forward(model, rows[i], t)
        if (mode & PREDICT) != 0:
            own = radii[i] if i < len(radii) else scratch.no_ticket
            _write_answers(model, rows[i], answers[i], own)
        if learns:
            _learn(model, rows[i], values[i])
        if advances:
            advance_context(state, scratch, t)


@entry
def run(cell, words, rows, times, values, mode, answers, radii):
    """Predict, learn, or first predict and then learn each row in order, in one crossing.

    Parameters
    ----------
    cell, words
        `KernelArgs.args` of the model.
    rows, times, mode
        As in `_learner.step.run`. A row that is only predicted leaves the context alone.
    values
        (n, heads) float64: element (i, j) came with row i and belongs to row i - j; NaN where there
        is none. Read only when learning.
    answers
        (n, heads) float64, written when predicting.
    radii
        (up to n, heads * coverages) float64, written when predicting: half widths of intervals.
    """
    _run(opened_heads(cell, words), rows, times, values, mode, answers, radii)
