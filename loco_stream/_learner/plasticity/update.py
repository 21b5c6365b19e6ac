"""How the hidden layers change: the projected input and the credit give each layer's step."""

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import nonzero
from loco_stream._learner.plasticity.delayed import change_delayed
from loco_stream._learner.plasticity.plastic_part import n_frozen, plastic_span, track_power
from loco_stream._learner.plasticity.projections import (
    LayerInput,
    change_layer,
    prepare_row,
    project_layer,
)
from loco_stream._learner.plasticity.weight_bounds import apply_max_norm, bounded_step
from loco_stream._learner.texts import change_texts, project_texts


@kernel
def _change(settings, state, scratch, layer, share):
    """Make `share` (float64) of a step of one layer (`LayerInput`)."""
    net = state.net
    square, energy = project_layer(settings, state, scratch, layer)
    has_texts = layer.index == 0 and state.texts.n[0] > 0
    if has_texts:
        text_square, text_energy = project_texts(settings, state, scratch.texts)
        square += text_square
        energy += text_energy
    power = track_power(net, layer.index, square, state.counts.n_seen)
    if power + energy <= 0.0:
        return
    begin, end = plastic_span(settings, net, layer.index)
    credit = scratch.neurons.credit[begin:end]
    gain = net.gain[layer.index]
    step = share * settings.learning_rate / (gain * (power + energy))
    is_wide = layer.index == 0 and settings.n_fields == 1
    step = bounded_step(step, gain, energy, credit, is_wide)
    change_layer(settings, state, scratch, layer, step, power)
    if has_texts:
        change_texts(settings, state, scratch, step, power)


@kernel
def _bound_weights(settings, state, layer):
    """Keep one neuron of a layer (`LayerInput`) within bounds."""
    n_post = state.net.n_post[layer.index]
    frozen = n_frozen(settings, n_post)
    apply_max_norm(layer.weights, layer.size, frozen, n_post, state.counts.n_seen)


@kernel
def change_hidden(settings, state, scratch, share):
    """Make `share` (float64) of a step of every hidden layer, and bound one neuron of each.

    No layer reads what another one wrote in the same step, so their order is free.
    """
    net = state.net
    code = scratch.code
    traces = scratch.clean.traces
    rows = scratch.layer.rows
    prepare_row(settings, state, scratch)
    n_channels = (state.counts.n_features - state.texts.n[0]) * settings.n_fields
    layer = LayerInput(
        0, net.weights, code.channels, 0, n_channels, code.rows, scratch.cache.n_channels
    )
    if settings.max_delay > 0:
        change_delayed(settings, state, scratch, share)
    else:
        _change(settings, state, scratch, layer, share)
    _bound_weights(settings, state, layer)
    for index in range(1, settings.n_layers):
        first = net.first[index - 1]
        size = net.n_post[index - 1]
        n_rows = nonzero(traces, first, size, rows)
        weights = net.deep_weights[index - 1]
        layer = LayerInput(index, weights, traces, first, size, rows, n_rows)
        _change(settings, state, scratch, layer, share)
        _bound_weights(settings, state, layer)
