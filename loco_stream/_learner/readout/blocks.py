"""Projectors of the features that came late, in blocks along the diagonal.

A projector of all inputs costs the square of their number in every row, also for features without a
value. So only the first features of a model, `Layout.n_joint`, share one with the traces. Those
that come later have blocks of `BLOCK` features. A block that the row does not reach learns nothing
from it and does not drift, so the work follows the values of the row.

Every block takes its step over the energy of the whole row, 1 + x'Px, so that all of them together
move the output no further than one projector would.
"""

from __future__ import annotations

import numpy as np

from loco_stream._arrays import Array
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, nonzero, weigh_rows
from loco_stream._learner.tiny import drop_tiny, drop_tiny_items

BLOCK = 64  # features


def start_blocks(blocks: Array, prior: float) -> None:
    """Write `prior` on the diagonal of every block; row j holds the columns of its own block."""
    rows = np.arange(len(blocks))
    blocks[rows, rows % blocks.shape[1]] = prior


@kernel
def find_reached(settings, state, scratch):
    """Write which of the late features of the row in scratch are not 0, counted from the first."""
    rows = scratch.inputs.late_rows
    if len(rows) == 0:
        return
    n_joint = len(state.statistics.n_values) - len(rows)
    first = settings.n_hidden + 1 + n_joint
    n_late = max(state.counts.n_features - n_joint, 0)
    scratch.cache.n_late_rows = nonzero(scratch.clean.traces, first, n_late, rows)


@kernel
def late_inputs(settings, state, scratch):
    """Return the late features of the row in scratch, and (which are not 0, how many)."""
    rows = scratch.inputs.late_rows
    n_joint = len(state.statistics.n_values) - len(rows)
    late = scratch.clean.traces[settings.n_hidden + 1 + n_joint :]
    return late, (rows, scratch.cache.n_late_rows)


@kernel
def _block_of(blocks, reached, r):
    """Return the first row of a block, the row after its last, and the first input behind it.

    Parameters
    ----------
    blocks
        (late features, BLOCK) float32.
    reached
        (rows, n_rows), as in `write_block_gains`.
    r
        int64: the first of the inputs, among those that are not 0, that lies in the block.
    """
    rows, n_rows = reached
    width = blocks.shape[1]
    begin = np.int64(rows[r]) // width * width
    end = min(begin + width, len(blocks))
    while r < n_rows and rows[r] < end:
        r += 1
    return begin, end, r


@kernel
def write_block_gains(blocks, inputs, reached, k):
    """Write k = P x, 0 in blocks that x does not reach, and return x'Px.

    Parameters
    ----------
    blocks
        (late features, BLOCK) float32: row j holds the columns of its own block. There may be none.
    inputs
        (late features or more,) float32: x.
    reached
        (rows, n_rows): which elements of x are not 0, ascending, int32 and int64.
    k
        (late features or more,) float32, written.
    """
    rows, n_rows = reached
    q = 0.0
    if len(blocks) == 0:
        return q
    for j in range(len(blocks)):
        k[j] = 0.0
    r = np.int64(0)
    while r < n_rows:
        begin, end, behind = _block_of(blocks, reached, r)
        own = k[begin:end]
        weigh_rows(own, blocks, end - begin, inputs, 0, rows[r:], behind - r)
        drop_tiny_items(own, end - begin)
        for i in range(r, behind):
            q += np.float64(inputs[rows[i]]) * k[rows[i]]
        r = behind
    return q


@kernel
def change_blocks(blocks, reached, k, scale, leak, prior, turn):
    """Take a row into the blocks that it reaches, and let these drift back to the prior.

    Each becomes (1 - leak) (P - scale k k') + leak prior I.

    Parameters
    ----------
    blocks, reached, k
        As in `write_block_gains`, which wrote `k`.
    scale, leak, prior
        float64.
    turn
        int64: number of rows before.
    """
    if len(blocks) == 0:
        return
    r = np.int64(0)
    while r < reached[1]:
        begin, end, r = _block_of(blocks, reached, r)
        own = blocks[begin:end]
        n = end - begin
        h = k[begin:end]
        add_outer(own, n, 0, n, h, np.float32(-scale), h, np.float32(1.0 - leak))
        for j in range(n):
            own[j, j] += np.float32(leak * prior)
        drop_tiny(own, n, n, turn)


@kernel
def change_block_weights(weights, columns, blocks, reached, k, scale, residual):
    """Add scale k residual' to the weights of the blocks that a row reaches.

    Parameters
    ----------
    weights
        (late features, columns of all members) float32.
    columns
        (first, number) of the member's columns, int64.
    blocks, reached, k
        As in `write_block_gains`, which wrote `k`.
    scale
        float32.
    residual
        (number of columns or more,) float32.
    """
    if len(blocks) == 0:
        return
    column, n_columns = columns
    one = np.float32(1.0)
    r = np.int64(0)
    while r < reached[1]:
        begin, end, r = _block_of(blocks, reached, r)
        own = weights[begin:end]
        add_outer(own, end - begin, column, n_columns, k[begin:end], scale, residual, one)
