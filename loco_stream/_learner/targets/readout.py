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
    change_member,
    change_projectors,
    member_of,
)
from loco_stream._learner.readout.weighted_sum import weighted_sum


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
    late = targets.delayed
    for j in range(state.counts.n_classes):
        delayed = DelayedValueState(
            late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
        )
        stack = targets.stacks.weights[j]
        delayed_values.combine(
            settings, state, delayed, stack, targets.statistics, computed, j, weights[j]
        )


@kernel
def write_others(settings, state, targets, computed):
    """Write what the stacks and means of each target predict; see `delayed_values`.

    `computed` is a `ReadoutPass` with the outputs of the members by now.
    """
    capacity = len(state.classes.n_rows)
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
    capacity = len(state.classes.n_rows)
    late = targets.delayed
    for j in range(state.counts.n_classes):
        stack = targets.stacks.weights[j]
        delayed = DelayedValueState(
            late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
        )
        delayed_values.write_credit_weights(settings, state, delayed, stack, weights[j])
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
        work.increment[j] = weights[j, m] * work.residual[j]
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
    capacity = len(state.classes.n_rows)
    for m in range(settings.n_trace + settings.n_linear):
        _write_residual(state, scratch.target, outputs, m * capacity, work.residual)
        if settings.learns and m < settings.n_trace:
            _mirror(settings, state, scratch, weights, m)
        change_member(settings, state, scratch, member_of(settings, state, scratch, m))
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
    capacity = len(state.classes.n_rows)
    buffers = computed.stack_buffers
    late = targets.delayed
    statistics = targets.statistics
    for j in range(state.counts.n_classes):
        target = scratch.target[j:]
        if target[0] != target[0]:
            continue
        stack = targets.stacks.weights[j]
        own = DelayedValueState(
            late.errors[j], late.log_weights[j], late.stacks[j], late.projectors[j]
        )
        delayed_values.learn(settings, state, scratch, own, statistics, computed, j, share)
        projector = targets.stacks.projectors[j]
        outputs = computed.outputs[j:]
        stacks.learn_stack(stack, projector, outputs, capacity, target, 1, buffers, share)
