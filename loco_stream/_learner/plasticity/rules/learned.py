"""Learned credit: feedback from a regression of the outputs' change on the noise.

Lansdell, Prakash & Kording (2020) average noise times change; here what the feedback already
predicts is subtracted first.
"""

from loco_stream._compiler.jit import kernel
from loco_stream._learner.plasticity.feedback import broadcast_error, is_due, learn_feedback
from loco_stream._learner.plasticity.perturbed_pass import perturb
from loco_stream._learner.plasticity.rules._definition import CreditRule


@kernel
def _assign(settings, state, scratch):
    if is_due(state.counts.n_seen):
        perturb(settings, state, scratch)
        learn_feedback(settings, state, scratch, settings.n_hidden)
    broadcast_error(settings, state, scratch)


RULE = CreditRule("learned", learning_rate=900.0, assign=_assign)
