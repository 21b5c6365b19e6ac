"""How a first layer with delays changes: each synapse by the projected input at its own lag."""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.context.delays import lag_span
from loco_stream._learner.plasticity.plastic_part import n_frozen, plastic_span, track_power
from loco_stream._learner.plasticity.projections import RECURSIVE, LayerInput
from loco_stream._learner.plasticity.projections.none import copy_input
from loco_stream._learner.plasticity.projections.recursive import lose_direction, project_blocks
from loco_stream._learner.plasticity.weight_bounds import bounded_step


@kernel
def _change_weights(settings, state, scratch, n_channels, step):
    """Subtract `step` (float64) times h credit', with the h of each synapse's own lag."""
    lagged = scratch.lagged
    weights = state.net.weights
    credit = scratch.neurons.credit
    n_post = state.net.n_post[0]
    frozen = n_frozen(settings, n_post)
    for lag in range(len(lagged.n)):
        first, last = lag_span(settings, n_post, lag)
        for channel in range(n_channels):
            change = np.float32(-step) * lagged.projected[lag, channel]
            if change == 0.0:
                continue
            for k in range(first, last):
                neuron = state.context.delay_targets[channel, k]
                if neuron >= frozen:
                    weights[channel, neuron] += change * credit[neuron]


@kernel
def _project_lag(settings, state, scratch, layer, lag):
    """Write the projected encoded row of one lag; return (x'x, x'h)."""
    projected = scratch.lagged.projected[lag]
    if settings.projection == RECURSIVE:
        return project_blocks(state.projections.recursive.first, layer, projected)
    square = copy_input(layer, projected)
    return square, square


@kernel
def _learn_input(settings, state, scratch, layer, power):
    """Take the row of lag 0 out of the projector, one part in as many as there are lags."""
    lagged = scratch.lagged
    projector = state.projections.recursive.first
    orthogonality = settings.orthogonality / len(lagged.n)
    block = projector.shape[1]
    r = 0
    for begin in range(0, layer.size, block):
        end = min(begin + block, layer.size)
        h = lagged.projected[0, begin:end]
        energy = 0.0
        first = r
        while r < layer.n_rows and layer.rows[r] < end:
            value = np.float64(layer.values[layer.rows[r]])
            energy += value * lagged.projected[0, layer.rows[r]]
            r += 1
        if r > first and power + energy > 0.0:
            scale = -orthogonality / (power + energy)
            lose_direction(projector[begin:end], h, scale, settings.projector_leak)


@kernel
def change_delayed(settings, state, scratch, share):
    """Make `share` (float64) of a step of the first layer, and learn the row in its projector.

    All lags share one projector, because encoded rows have the same distribution at every lag. The
    projector learns each row once, at lag 0, with the n-th part of `orthogonality` for n lags: the
    layer's input has n times the directions of one row. Energies are means over the lags, since a
    neuron has each of them equally often.
    """
    net = state.net
    lagged = scratch.lagged
    n_channels = state.counts.n_features * settings.n_fields
    n_taps = len(lagged.n)
    square = 0.0
    energy = 0.0
    for lag in range(n_taps):
        channels = lagged.channels[lag]
        rows = lagged.rows[lag]
        layer = LayerInput(0, net.weights, channels, 0, n_channels, rows, lagged.n[lag])
        squared, inner = _project_lag(settings, state, scratch, layer, lag)
        square += squared / n_taps
        energy += inner / n_taps
    power = track_power(net, 0, square, state.counts.n_seen)
    if power + energy <= 0.0:
        return
    begin, end = plastic_span(settings, net, 0)
    credit = scratch.neurons.credit[begin:end]
    step = share * settings.learning_rate / (net.gain[0] * (power + energy))
    step = bounded_step(step, net.gain[0], energy, credit, settings.n_fields == 1)
    _change_weights(settings, state, scratch, n_channels, step)
    if settings.projection == RECURSIVE:
        channels = lagged.channels[0]
        layer = LayerInput(0, net.weights, channels, 0, n_channels, lagged.rows[0], lagged.n[0])
        _learn_input(settings, state, scratch, layer, power)
