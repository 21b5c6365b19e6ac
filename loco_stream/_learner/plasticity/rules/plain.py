"""Plain node perturbation: each trial changes the weights by itself.

It is chosen by ``rule="np"`` together with ``credit="perturbation"``.
"""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.plasticity.perturbed_pass import loss_change, perturb
from loco_stream._learner.plasticity.rules._definition import CreditRule


@kernel
def one_trial_credit(settings, scratch, change):
    """Write the one-row estimate of the loss gradient by each drive.

    It is the change of the loss (float64) times the noise over the variance of the noise, and 0 for
    neurons that did not fire.
    """
    noise = scratch.neurons.noise
    fresh = scratch.clean.fresh
    credit = scratch.neurons.credit
    factor = np.float32(change / (settings.noise * settings.noise))
    for i in range(settings.n_hidden):
        credit[i] = factor * noise[i] if fresh[i] > np.float32(0.0) else np.float32(0.0)


@kernel
def _assign(settings, state, scratch):
    perturb(settings, state, scratch)
    one_trial_credit(settings, scratch, loss_change(settings, state, scratch))


RULE = CreditRule("plain", learning_rate=0.1, assign=_assign)
