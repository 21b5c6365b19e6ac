"""Feedback: what a neuron's drive does to each output, and the credit that follows from it.

A neuron is sensitive where it fired on this row, otherwise not: its trace is graded in its drive
and flat below its first spike. What earlier rows left of the trace no longer depends on a weight.
"""

import math

import numpy as np

from loco_stream._compiler.jit import kernel

FEEDBACK_RATE = 0.03  # of the regression of output changes on noise
ALWAYS_UNTIL = 500  # rows; from then on feedback is good enough to perturb only
EVERY = 4  # one row in four


@kernel
def is_due(n_seen):
    """Return whether the row after `n_seen` (int64) rows is perturbed."""
    return n_seen < ALWAYS_UNTIL or n_seen % EVERY == 0


@kernel
def learn_feedback(settings, state, scratch, n_learned):
    """Regress the change of the outputs on the noise: one normalised least-mean-squares step.

    The feedback of a neuron that fires estimates d(output)/d(drive). What the estimate predicts of
    the change is subtracted first, so that the noise of all other neurons, which grows with their
    number, fades as the estimate improves. `scratch.output_change` is overwritten by the remainder.

    Parameters
    ----------
    n_learned
        int64: the feedback of the first so many neurons is changed.
    """
    change = scratch.output_change
    noise = scratch.neurons.noise
    fresh = scratch.clean.fresh
    feedback = state.net.feedback
    n_classes = state.counts.n_classes
    n_firing = 0
    for i in range(settings.n_hidden):
        n_firing += fresh[i] > 0.0
    for c in range(n_classes):
        row = feedback[c]
        for i in range(settings.n_hidden):
            if fresh[i] > 0.0:
                change[c] -= np.float64(noise[i]) * row[i]
        if not math.isfinite(change[c]):
            return  # a pass that overflowed teaches nothing
    size = settings.noise
    step = FEEDBACK_RATE / (size * size * (1.0 + FEEDBACK_RATE * n_firing))
    for c in range(n_classes):
        row = feedback[c]
        for i in range(n_learned):
            if fresh[i] > 0.0:
                row[i] += np.float32(step * np.float64(noise[i])) * np.float32(change[c])


@kernel
def broadcast_error(settings, state, scratch):
    """Write feedback . error where a neuron fired: one broadcast vector reaches every neuron."""
    error = scratch.now.error
    fresh = scratch.clean.fresh
    feedback = state.net.feedback
    credit = scratch.neurons.credit
    for i in range(settings.n_hidden):
        credit[i] = 0.0
    for c in range(state.counts.n_classes):
        row = feedback[c]
        excess = np.float32(error[c])
        for i in range(settings.n_hidden):
            credit[i] += row[i] * excess
    for i in range(settings.n_hidden):
        if not fresh[i] > 0.0:
            credit[i] = 0.0
