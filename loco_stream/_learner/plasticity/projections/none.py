"""No projection: the weight change follows the input as it is."""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer
from loco_stream._learner.plasticity.plastic_part import n_frozen, plastic_span
from loco_stream._learner.plasticity.projections._definition import Projection


@kernel
def copy_input(layer, projected):
    """Copy a layer's input into `projected`, (size or more,) float32; return x'x."""
    square = 0.0
    for j in range(layer.size):
        projected[j] = layer.values[layer.first + j]
    for r in range(layer.n_rows):
        value = np.float64(layer.values[layer.first + layer.rows[r]])
        square += value * value
    return square


@kernel
def project(settings, state, scratch, layer):
    """Copy the input; return (x'x, x'x)."""
    square = copy_input(layer, scratch.layer.projected)
    return square, square


@kernel
def change_dense(settings, state, scratch, layer, step, power):
    """Subtract `step` (float64) times h credit' from the weights of the plastic neurons."""
    frozen = n_frozen(settings, state.net.n_post[layer.index])
    begin, end = plastic_span(settings, state.net, layer.index)
    credit = scratch.neurons.credit[begin:end]
    add_outer(
        layer.weights,
        layer.size,
        frozen,
        len(credit),
        scratch.layer.projected,
        np.float32(-step),
        credit,
        np.float32(1.0),
    )


PROJECTION = Projection("none", project, change_dense)
