"""The part of a hidden layer that learns, and the size of its input."""

import math

from loco_stream._compiler.jit import kernel

POWER_ROWS = 300.0  # over which a layer's mean square input is averaged


@kernel
def n_frozen(settings, n_post):
    """Return how many neurons, the first of a layer of `n_post` (int64), do not learn."""
    return n_post - math.ceil(settings.plastic * n_post)


@kernel
def plastic_span(settings, net, index):
    """Return the first neuron of layer `index` (int64) that learns, and the one behind the last."""
    end = net.first[index] + net.n_post[index]
    return end - math.ceil(settings.plastic * net.n_post[index]), end


@kernel
def track_power(net, index, square, n_seen):
    """Take the squared norm of an input into the mean of layer `index`.

    Return the mean (float64).
    """
    rows = min(n_seen + 1.0, POWER_ROWS)
    net.input_power[index] += (square - net.input_power[index]) / rows
    return net.input_power[index]
