"""One perturbed pass of a row: noise on every drive, and what it changes in the output."""

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.init_weights import NEURON_CLUSTER
from loco_stream._learner.hidden import HiddenWeights, run_hidden
from loco_stream._learner.plasticity.noise import draw_noise
from loco_stream._learner.readout.experts.least_squares import write_output_change
from loco_stream._learner.readout.softmax import loss_of

BASELINE_RATE = 0.01  # of the mean change of the loss, for which no neuron is responsible


@kernel
def _draw(settings, state, scratch):
    """Draw one perturbation of every layer."""
    net = state.net
    for layer in range(settings.n_layers):
        start = net.first[layer]
        n_post = net.n_post[layer]
        key = settings.seed_key + layer
        noise = scratch.neurons.noise[start : start + n_post]
        draw_noise(key, state.counts.noise_round, n_post, NEURON_CLUSTER, settings.noise, noise)
    state.counts.noise_round += 1


@kernel
def perturb(settings, state, scratch):
    """Run the row in scratch with noise on every drive; write the change of the combined output."""
    _draw(settings, state, scratch)
    net = state.net
    weights = HiddenWeights(net.weights, net.deep_weights, state.texts.weights)
    run_hidden(settings, state, scratch, weights, np.float32(1.0), scratch.perturbed)
    write_output_change(settings, state, scratch)


@kernel
def loss_change(settings, state, scratch):
    """Return what the perturbed pass changed in the loss, beyond the mean change."""
    outputs = scratch.now.combined
    target = scratch.target
    changed = scratch.now.buffer
    n_classes = state.counts.n_classes
    before = loss_of(settings.regression, outputs, target, n_classes)
    for c in range(n_classes):
        changed[c] = outputs[c] + scratch.output_change[c]
    change = loss_of(settings.regression, changed, target, n_classes) - before
    baseline = state.net.loss_baseline[0]
    if math.isfinite(change):  # otherwise the step is refused, and must not harm later ones
        state.net.loss_baseline[0] += BASELINE_RATE * (change - baseline)
    return change - baseline
