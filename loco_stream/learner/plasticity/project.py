"""The recursive projector of a layer's input: what of an input is still free to learn.

P starts as the identity. The step along P x leaves alone what the layer does for inputs it has
learned often, since P has lost their directions: P <- P - h h' / (r + x' h) with h = P x and r the
mean square of the inputs, recursive least squares without a target (orthogonal weight modification,
Zeng et al. 2019). It whitens correlated inputs, anneals the step and protects what was learned, all
at once. With a leak P drifts back to the identity, and no direction is closed for ever. P is kept
in blocks along the diagonal, one for each cluster of inputs: low rank is what it has left to give.
"""

from __future__ import annotations

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, weigh_rows

__all__ = ["change_blocks", "project"]


@kernel
def project(projects, projector, inputs, first, n_inputs, rows, n_rows, projected):
    """Write h = P x into `projected` and return (x' x, x' h); without projection h is x.

    Parameters
    ----------
    projector
        (n_inputs or more, block) float32: row j holds P[j, block of j].
    inputs, first, n_inputs
        x is `inputs[first : first + n_inputs]`.
    rows, n_rows
        Which inputs are not zero, ascending.
    """
    block = projector.shape[1]
    r = 0
    square = 0.0
    energy = 0.0
    for start in range(0, n_inputs, block):
        stop = min(start + block, n_inputs)
        begin = r
        while r < n_rows and rows[r] < stop:
            r += 1
        if projects:
            h = projected[start:stop]
            weigh_rows(h, projector, stop - start, inputs, first, rows[begin:], r - begin)
        else:
            for j in range(start, stop):
                projected[j] = inputs[first + j]
        for k in range(begin, r):
            value = np.float64(inputs[first + rows[k]])
            square += value * value
            energy += value * np.float64(projected[rows[k]])
    return square, energy


@kernel
def change_blocks(
    weights,
    column,
    n_columns,
    projects,
    projector,
    inputs,
    first,
    n_inputs,
    rows,
    n_rows,
    projected,
    credit,
    step,
    power,
    orthogonality,
    leak,
):
    """Subtract step * h credit' from the weights and take the input's direction out of P, block by block.

    Parameters
    ----------
    weights, column, n_columns
        (n_inputs or more, neurons); those of the plastic neurons are changed.
    projects, projector, inputs, first, n_inputs, rows, n_rows, projected
        As in `project`.
    credit
        (n_columns,) float32.
    step, power
        The learning rate over (r + x' h); and r.
    orthogonality
        How much of the input's direction P loses: 0 none, 1 all.
    leak
        Share by which P drifts back to the identity, in blocks that the row reaches: the others
        learn nothing from it.
    """
    block = projector.shape[1]
    r = 0
    for start in range(0, n_inputs, block):
        stop = min(start + block, n_inputs)
        energy = 0.0
        begin = r
        while r < n_rows and rows[r] < stop:
            energy += np.float64(inputs[first + rows[r]]) * np.float64(projected[rows[r]])
            r += 1
        h = projected[start:stop]
        if r > begin:
            add_outer(
                weights[start:stop],
                stop - start,
                column,
                n_columns,
                h,
                np.float32(-step),
                credit,
                np.float32(1.0),
            )
        if projects and r > begin and power + energy > 0.0:
            scale = np.float32(-orthogonality / (power + energy))
            own = projector[start:stop]
            add_outer(own, stop - start, 0, stop - start, h, scale, h, np.float32(1.0 - leak))
            for j in range(stop - start):
                own[j, j] += np.float32(leak)
