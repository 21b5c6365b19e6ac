"""The recursive projector of a layer's input: what of an input is still free to learn.

P starts as the identity. A step along P x leaves unchanged what the layer does for inputs that it
has learned often, since P has lost their directions: P <- P - h h' / (r + x'h) with h = P x and r
the mean square of the inputs. This is recursive least squares without a target (orthogonal weight
modification, Zeng et al. 2019). It whitens correlated inputs, anneals the step and protects what
was learned. With a leak P drifts back to the identity, and no direction is closed for ever. P is
kept in blocks along the diagonal, one per cluster of inputs; its rank falls as directions are
learned.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, weigh_rows
from loco_stream._compiler.simd.sizes import whole_vectors
from loco_stream._learner.arrays.spec import Shapes, axes
from loco_stream._learner.plasticity.plastic_part import n_frozen, plastic_span
from loco_stream._learner.plasticity.projections._definition import Projection
from loco_stream._learner.tiny import drop_tiny, drop_tiny_items

POSITION = 1  # in `PROJECTIONS`


def _identity(projector: Array, shapes: Shapes) -> None:
    """Write the identity, of which each row holds its own block of columns."""
    rows = np.arange(projector.shape[-2])
    projector[..., rows, rows % projector.shape[-1]] = 1.0


class State(NamedTuple):
    """Projectors.

    first: of the first layer's input channels, each row its own block of columns; a single block
    ends in whole vectors, of which the columns beyond the channels stay 0
    deep: of the traces below each other layer, likewise
    """

    first: Annotated[Float32, axes("projected_channels", "channel_block", start=_identity)]
    deep: Annotated[
        Float32,
        axes("projected_layers", "projected_below", "deep_block", start=_identity),
    ]


@kernel
def project_blocks(projector, layer, projected):
    """Write h = P x into `projected` and return (x'x, x'h).

    Parameters
    ----------
    projector
        (size or more, block) float32: row j holds P[j, block of j].
    layer
        `LayerInput`.
    projected
        (size or more,) float32, written.
    """
    block = projector.shape[1]
    r = 0
    square = 0.0
    energy = 0.0
    for start in range(0, layer.size, block):
        stop = min(start + block, layer.size)
        begin = r
        while r < layer.n_rows and layer.rows[r] < stop:
            r += 1
        h = projected[start:stop]
        if r == begin:
            for j in range(stop - start):
                h[j] = 0.0
            continue
        rows = layer.rows[begin:]
        weigh_rows(h, projector, stop - start, layer.values, layer.first, rows, r - begin)
        drop_tiny_items(h, stop - start)
        for k in range(begin, r):
            value = np.float64(layer.values[layer.first + layer.rows[k]])
            square += value * value
            energy += value * projected[layer.rows[k]]
    return square, energy


@kernel
def _drop_tiny_reached(projector, layer, turn):
    """Set tiny elements to 0 in the blocks that the row reaches; the others do not change.

    Parameters are those of `project_blocks` and `drop_tiny`.
    """
    block = projector.shape[1]
    r = np.int64(0)
    while r < layer.n_rows:
        start = np.int64(layer.rows[r]) // block * block
        stop = min(start + block, layer.size)
        drop_tiny(projector[start:stop], stop - start, block, turn - start)
        while r < layer.n_rows and layer.rows[r] < stop:
            r += 1


@kernel
def project(settings, state, scratch, layer):
    """Write h = P x of a layer; return (x'x, x'h)."""
    own = state.projections.recursive
    projector = own.first if layer.index == 0 else own.deep[layer.index - 1]
    _drop_tiny_reached(projector, layer, state.counts.n_seen)
    return project_blocks(projector, layer, scratch.layer.projected)


@kernel
def lose_direction(own, h, scale, leak):
    """Take a direction out of one block of P, and let the block drift back to the identity.

    Parameters
    ----------
    own
        (inputs, block or more) float32: the block.
    h
        (inputs,) float32.
    scale
        float64: minus the share that P loses, over (r + x'h).
    leak
        float64: share by which the block drifts back.
    """
    n = len(h)
    add_outer(own, n, 0, n, h, np.float32(scale), h, np.float32(1.0 - leak))
    for j in range(n):
        own[j, j] += np.float32(leak)


@kernel
def change_blocks(settings, state, scratch, layer, projector, step, power):
    """Change the weights, and take the input's direction out of P, block by block.

    A block that the row does not reach learns nothing from it and does not drift.

    Parameters
    ----------
    layer
        `LayerInput`; `scratch.layer.projected` holds its h.
    projector
        (size or more, block) float32.
    step
        float64: the learning rate over (r + x'h).
    power
        float64: r.
    """
    projected = scratch.layer.projected
    frozen = n_frozen(settings, state.net.n_post[layer.index])
    start, behind = plastic_span(settings, state.net, layer.index)
    credit = scratch.neurons.credit[start:behind]
    leak = settings.projector_leak if layer.index == 0 else 0.0
    block = projector.shape[1]
    r = 0
    for begin in range(0, layer.size, block):
        end = min(begin + block, layer.size)
        energy = 0.0
        first = r
        while r < layer.n_rows and layer.rows[r] < end:
            value = np.float64(layer.values[layer.first + layer.rows[r]])
            energy += value * projected[layer.rows[r]]
            r += 1
        if r == first:
            continue
        h = projected[begin:end]
        if step != 0.0:
            weights = layer.weights[begin:end]
            change = np.float32(-step)
            n_plastic = len(credit)
            add_outer(weights, end - begin, frozen, n_plastic, h, change, credit, np.float32(1.0))
        if power + energy > 0.0:
            scale = -settings.orthogonality / (power + energy)
            lose_direction(projector[begin:end], h, scale, leak)


@kernel
def change(settings, state, scratch, layer, step, power):
    """Change the weights and the projector."""
    own = state.projections.recursive
    projector = own.first if layer.index == 0 else own.deep[layer.index - 1]
    change_blocks(settings, state, scratch, layer, projector, step, power)


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axes of the projectors; none where they are not in force."""
    channels = n_features * layout.n_fields
    below = max(1, *layout.hidden_sizes[:-1], 1)
    in_force = settings.projection == POSITION
    return {
        "projected_channels": channels if in_force else 0,
        "channel_block": min(settings.block, whole_vectors(channels)) if in_force else 1,
        "projected_layers": settings.n_layers - 1 if in_force else 0,
        "projected_below": below,
        "deep_block": min(settings.block, whole_vectors(below)),
    }


PROJECTION = Projection("recursive", project, change, state=State, lengths=lengths)
