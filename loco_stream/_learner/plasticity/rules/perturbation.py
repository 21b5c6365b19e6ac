"""The paper's credit, averaged over rows: feedback from the change of the loss alone.

What noise does to the outputs it does to the loss in proportion to the error, so the change of the
loss, one number, teaches the same feedback as the change of all outputs. Every row is perturbed.
"""

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.plasticity.feedback import FEEDBACK_RATE, broadcast_error
from loco_stream._learner.plasticity.perturbed_pass import loss_change, perturb
from loco_stream._learner.plasticity.rules._definition import CreditRule

MIN_SQUARED_ERROR = 0.05  # added to the squared error that a step is divided by


@kernel
def learn_from_loss(settings, state, scratch, change):
    """Regress the change of the loss on noise times error: one normalised least-mean-squares step.

    Parameters
    ----------
    change
        float64: what the perturbed pass changed in the loss, beyond the mean change.
    """
    error = scratch.now.error
    noise = scratch.neurons.noise
    fresh = scratch.clean.fresh
    feedback = state.net.feedback
    n_classes = state.counts.n_classes
    predicted = 0.0
    n_firing = 0
    square = MIN_SQUARED_ERROR
    for c in range(n_classes):
        square += error[c] * error[c]
    for i in range(settings.n_hidden):
        n_firing += fresh[i] > 0.0
    for c in range(n_classes):
        row = feedback[c]
        for i in range(settings.n_hidden):
            if fresh[i] > 0.0:
                predicted += np.float64(noise[i]) * row[i] * error[c]
    rest = change - predicted
    if not math.isfinite(rest):
        return  # a pass that overflowed teaches nothing
    size = settings.noise
    step = FEEDBACK_RATE * rest / (size * size * square * (1.0 + FEEDBACK_RATE * n_firing))
    for c in range(n_classes):
        row = feedback[c]
        for i in range(settings.n_hidden):
            if fresh[i] > 0.0:
                row[i] += np.float32(step * np.float64(noise[i]) * error[c])


@kernel
def _assign(settings, state, scratch):
    perturb(settings, state, scratch)
    learn_from_loss(settings, state, scratch, loss_change(settings, state, scratch))
    broadcast_error(settings, state, scratch)


RULE = CreditRule("perturbation", learning_rate=900.0, assign=_assign)
