"""Mirrored credit: feedback that receives the changes of the readout's weights.

Feedback that receives the increments of the forward weights comes to equal them (Kolen & Pollack
1994): local, without a perturbed pass, exact for layers that the readout sees. Neurons that it does
not see learn their feedback from perturbations, as in `learned`.
"""

from loco_stream._compiler.jit import kernel
from loco_stream._learner.plasticity.feedback import broadcast_error, is_due, learn_feedback
from loco_stream._learner.plasticity.perturbed_pass import perturb
from loco_stream._learner.plasticity.rules._definition import CreditRule
from loco_stream._learner.readout.inputs import input_span


@kernel
def _assign(settings, state, scratch):
    if settings.last_layer:  # otherwise the readout sees every neuron
        n_unseen, _ = input_span(settings, 0)
        if n_unseen > 0 and is_due(state.counts.n_seen):
            perturb(settings, state, scratch)
            learn_feedback(settings, state, scratch, n_unseen)
    broadcast_error(settings, state, scratch)


RULE = CreditRule("mirror", learning_rate=300.0, assign=_assign, mirrors=True)
