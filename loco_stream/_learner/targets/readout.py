"""The readout of several targets: the members share their projectors, each target has a stack.

The gain of a member depends on the row alone, so one projector serves all targets. A target that is
missing from a row leaves its own weights as they are; the projectors learn the row once any target
is known.
"""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer
from loco_stream._learner.readout import delayed_values, stacks
from loco_stream._learner.readout.delayed_values import DelayedValueState
from loco_stream._learner.readout.experts.least_squares import (
    change_linear_weights,
    change_projectors,
    change_trace_weights,
)
from loco_stream._learner.readout.weighted_sum import weighted_sum
from loco_stream._learner.target_units import output_bounds


@kernel
def combine(settings, state, targets, weights, computed):
    """Write the combined output of each target.

    Parameters
    ----------
    targets
        `TargetState`.
    weights
        (targets, blocks of outputs) float64: weights of the members, written.
    computed
        `ReadoutPass` with the outputs of the members; `combined` is written.
    """
    capacity = state.classes.n_rows.shape[0]
    late = targets.delayed
    for j in range(state.counts.n_classes):
        own = weights[j]
        stack = targets.stacks.weights[j]
        if state.delayed.is_delayed > 0.0:
            delayed = DelayedValueState(
                late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
            )
            delayed_values.write_weights(settings, delayed, stack, 0, own)
            predicted = _delayed_outputs(targets, computed, j, capacity)
            computed.combined[j] = delayed_values.mix(delayed, predicted)
        else:
            for a in range(own.shape[0]):
                own[a] = stack[a]
            weighted_sum(computed.outputs[j:], stack, capacity, 1, computed.combined[j:])


@kernel
def _delayed_outputs(targets, computed, j, capacity):
    """Return what experts predicted for target `j`, and its bounds; see `delayed_values.mix`."""
    lowest, highest = output_bounds(targets.statistics, j)
    return computed.outputs[j:], computed.others[j:], capacity, lowest, highest


@kernel
def write_others(settings, state, targets, computed):
    """Write what the stacks and means of each target predict; see `delayed_values`.

    `computed` is a `ReadoutPass` with the outputs of the members by now.
    """
    capacity = state.classes.n_rows.shape[0]
    late = targets.delayed
    for j in range(state.counts.n_classes):
        delayed = DelayedValueState(
            late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
        )
        stack = targets.stacks.weights[j]
        outputs = computed.outputs[j:]
        others = computed.others[j:]
        delayed_values.write_others(settings, delayed, stack, outputs, capacity, others)


@kernel
def write_credit_error(settings, state, scratch, targets, weights):
    """Write the error of each output that the hidden layers learn from, 0 for a missing target.

    Parameters
    ----------
    targets
        `TargetState`.
    weights
        (targets, members) float64: weights of the members in these outputs, written.
    """
    now = scratch.now
    capacity = state.classes.n_rows.shape[0]
    without = delayed_values.first_without_memory(settings)
    late = targets.delayed
    for j in range(state.counts.n_classes):
        stack = targets.stacks.weights[j]
        delayed = DelayedValueState(
            late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
        )
        if state.delayed.is_delayed > 0.0:
            delayed_values.write_weights(settings, delayed, stack, without, weights[j])
        else:
            delayed_values.write_mean_weights(settings, delayed, stack, weights[j])
        weighted_sum(now.outputs[j:], weights[j], capacity, 1, now.error[j:])
        error = now.error[j] - scratch.target[j]
        now.error[j] = error if error == error else 0.0


@kernel
def memoryless_share(settings, state, targets):
    """Return the mean of `delayed_values.memoryless_share` over the targets."""
    late = targets.delayed
    total = 0.0
    for j in range(state.counts.n_classes):
        delayed = DelayedValueState(
            late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
        )
        total += delayed_values.memoryless_share(settings, delayed)
    return total / state.counts.n_classes


@kernel
def _write_residual(state, target, outputs, column, residual):
    """Write what the outputs of a member lack; nothing where the target is missing (NaN)."""
    for j in range(state.counts.n_classes):
        is_known = target[j] == target[j]
        lack = np.float32(target[j] - outputs[column + j])
        residual[j] = lack if is_known else np.float32(0.0)


@kernel
def _mirror(settings, state, scratch, weights, m):
    """Add what the update of member `m` (int64) adds to the combined readout to the feedback."""
    work = scratch.experts.least_squares
    n_targets = state.counts.n_classes
    for j in range(n_targets):
        work.increment[j] = np.float32(weights[j, m] * np.float64(work.residual[j]))
    scale = np.float32(1.0 / (1.0 + work.energies[m]))
    feedback = state.net.feedback
    n_neurons = settings.n_hidden
    k = work.gains[m]
    add_outer(feedback, n_targets, 0, n_neurons, work.increment, scale, k, np.float32(1.0))


@kernel
def learn_members(settings, state, scratch, weights):
    """Make one recursive step of every member for all targets.

    Parameters
    ----------
    weights
        (targets, blocks of outputs) float64: weights of the members in the outputs that the hidden
        layers learn from.
    """
    work = scratch.experts.least_squares
    outputs = scratch.now.outputs
    capacity = state.classes.n_rows.shape[0]
    for m in range(settings.n_trace):
        column = m * capacity
        _write_residual(state, scratch.target, outputs, column, work.residual)
        if settings.learns:
            _mirror(settings, state, scratch, weights, m)
        change_trace_weights(settings, state, scratch, m, (column, capacity))
    for m in range(settings.n_linear):
        column = (settings.n_trace + m) * capacity
        _write_residual(state, scratch.target, outputs, column, work.residual)
        change_linear_weights(settings, state, scratch, m, (m * capacity, capacity))
    change_projectors(settings, state, scratch)


@kernel
def learn_stacks(settings, state, scratch, targets, computed, share):
    """Update the stack of each target that is known, and its weights where values are late.

    Parameters
    ----------
    targets
        `TargetState`.
    computed
        `ReadoutPass` of the time when the row was predicted.
    share
        float64: share of an observation that the row is.
    """
    capacity = state.classes.n_rows.shape[0]
    buffers = computed.stack_buffers
    for j in range(state.counts.n_classes):
        target = scratch.target[j:]
        if target[0] != target[0]:
            continue
        stack = targets.stacks.weights[j]
        if state.delayed.is_delayed > 0.0 or settings.n_memoryless > 0:
            _learn_delayed(settings, state, scratch, targets, j, computed, share)
        projector = targets.stacks.projectors[j]
        outputs = computed.outputs[j:]
        stacks.learn_stack(stack, projector, outputs, capacity, target, 1, buffers, share)


@kernel
def _learn_delayed(settings, state, scratch, targets, j, computed, share):
    """Update the weights of target `j` (int64) for late values, and its second stack.

    `computed` is the `ReadoutPass` of the time, `share` the share of an observation (float64).
    """
    late = targets.delayed
    own = DelayedValueState(late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j])
    capacity = targets.stacks.weights.shape[0]
    target = scratch.target[j:]
    if state.delayed.is_delayed > 0.0:
        error = computed.combined[j] - target[0]
        predicted = _delayed_outputs(targets, computed, j, capacity)
        delayed_values.learn_weights(own, predicted, error, target[0], share)
    outputs = scratch.now.outputs[j:]
    buffers = scratch.now.stack_buffers
    delayed_values.learn_stack(settings, own, outputs, capacity, target, buffers, share)
