"""Seven loops that LLVM does not find by itself, written for it on whole vectors.

`sum_rows` keeps a tile of the sum in registers while all rows pass by, where plain loops load and
store the sum with every few rows; `weigh_rows` multiplies each row first; `add_outer` adds the
product of two vectors to a matrix, with a tile of the second in registers; `sum_dense` sums for
several times at once, reading every row once for all of them; `leak_and_fire` squeezes the numbers
of those that fire out of a vector at once; `lay_out` and `lay_out_equal` copy whole vectors where
plain loops of a few rounds would be predicted wrongly at every end. They are written for vectors of
64 bytes, which LLVM cuts into what the processor has. The plain functions say what is computed, to
the byte, and are what runs interpreted (NUMBA_DISABLE_JIT=1): every sum adds one row after the
other in the order of the events.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from loco_stream._compiler.jit import PLAIN, kernel, overloaded
from loco_stream._compiler.simd.sizes import BLOCK, BYTES, TILE, TIMES

if not PLAIN:
    from loco_stream._compiler.simd.intrinsics import (
        fire_vector,
        lay_out_block,
        lay_out_equal_block,
        multiply_tile,
        multiply_vector,
        outer_tile,
        outer_vector,
        sum_tile,
        sum_vector,
        weigh_tile,
        weigh_vector,
    )

__all__ = [
    "BLOCK",
    "TIMES",
    "add_outer",
    "lay_out",
    "lay_out_equal",
    "leak_and_fire",
    "nonzero",
    "sum_dense",
    "sum_rows",
    "weigh_rows",
]


def sum_rows(
    current: Any, weights: Any, offset: int, n_post: int, indices: Any, first: int, last: int
) -> None:
    """Set `current` to the sum of the rows of the events `first` to `last - 1`.

    Parameters
    ----------
    current
        (n_post,), written.
    weights, offset, n_post
        Row j is `weights[offset + j * n_post : offset + (j + 1) * n_post]`.
    indices, first, last
        Presynaptic neurons of the events.
    """
    for i in range(n_post):
        current[i] = 0.0
    for k in range(first, last):
        start = offset + int(indices[k]) * n_post
        row = weights[start : start + n_post]
        for i in range(n_post):
            current[i] += row[i]


def weigh_rows(
    total: Any, matrix: Any, n_columns: int, values: Any, first: int, rows: Any, n_rows: int
) -> None:
    """Set the first columns of `total` to the sum of rows of a matrix, each times its value.

    Parameters
    ----------
    total
        (n_columns or more,) float32, written.
    matrix
        (n, n_columns or more) float32.
    values, first
        Row j counts `values[first + j]` times.
    rows, n_rows
        Which rows, in this order.
    """
    for i in range(n_columns):
        total[i] = 0.0
    for k in range(n_rows):
        value = values[first + rows[k]]
        row = matrix[rows[k]]
        for i in range(n_columns):
            total[i] += value * row[i]


@kernel
def nonzero(inputs: Any, first: Any, n_inputs: Any, rows: Any) -> Any:
    """Write which of `inputs[first : first + n_inputs]` are not zero, counted from `first`.

    Return their number.
    """
    n = np.int64(0)  # a literal 0 would be compiled for apart
    for j in range(n_inputs):
        rows[n] = j
        n += inputs[first + j] != np.float32(0.0)
    return n


def add_outer(
    matrix: Any,
    n_rows: int,
    first: int,
    n_columns: int,
    left: Any,
    scale: Any,
    right: Any,
    keep: Any,
) -> None:
    """Add a product of two vectors to part of a matrix and shrink it.

    Matrix = keep (matrix + scale left right').

    Parameters
    ----------
    matrix
        (n_rows or more, first + n_columns or more) float32, written from column `first` on.
    left, right
        (n_rows or more,) and (n_columns or more,) float32.
    scale, keep
        Factors, float32.
    """
    for j in range(n_rows):
        lead = scale * left[j]
        row = matrix[j]
        for i in range(n_columns):
            row[first + i] = keep * (row[first + i] + lead * right[i])


def sum_dense(
    currents: Any, weights: Any, offset: int, n_post: int, raster: Any, n_pre: int
) -> None:
    """Set `TIMES` sums in `currents` to those of the rows of weights that each column of `raster` marks.

    The product of a matrix of zeros and ones with the weights. A row times one is the row and times
    zero adds nothing, so that the sums have the same bytes as those of `sum_rows` over the marked
    rows in ascending order.

    Parameters
    ----------
    currents
        (TIMES * n_post or more,), the sums one after the other, written.
    weights, offset, n_post
        As in `sum_rows`.
    raster, n_pre
        (n_pre or more, TIMES) of ones where a presynaptic neuron fires and zeros elsewhere, of the
        type of `weights`.
    """
    for t in range(TIMES):
        for i in range(n_post):
            currents[t * n_post + i] = 0.0
        for j in range(n_pre):
            start = offset + j * n_post
            row = weights[start : start + n_post]
            for i in range(n_post):
                currents[t * n_post + i] += raster[j, t] * row[i]


def leak_and_fire(
    v: Any,
    current: Any,
    decay: Any,
    threshold: Any,
    reset_zero: bool,
    out: NDArray[np.int32],
    count: int,
) -> int:
    """Decay membranes, add the current, reset those at or above threshold.

    Return how many have fired by now.

    Parameters
    ----------
    v, current, threshold
        (n,); `v` is written.
    decay
        Factor of the membranes.
    reset_zero
        Whether to empty a membrane that fires; otherwise its threshold is subtracted.
    out, count
        int32 with room for all neurons beyond `count`: those that fire are written from there on;
        slots after the returned count may hold rubbish.
    """
    for i in range(v.shape[0]):
        x = v[i] * decay + current[i]
        if x >= threshold[i]:
            out[count] = i
            count += 1
            x -= x if reset_zero else threshold[i]
        v[i] = x
    return count


def lay_out(
    target: Any,
    weight: Any,
    first: int,
    stop: int,
    t: float,
    factor: float,
    targets: Any,
    jumps: Any,
    whens: Any,
    place: int,
) -> None:
    """Write the connections `first` to `stop - 1` one by one as arrivals at `t`.

    Parameters
    ----------
    target, weight
        (n + BLOCK,) uint16 or int32 and float32 or float64: to whom and how strong.
    factor
        What a weight of 1 adds.
    targets, jumps, whens
        (n + BLOCK,) int32, float64 and float64, written from `place` on; what follows may be
        written as well.
    """
    for k in range(stop - first):
        targets[place + k] = target[first + k]
        jumps[place + k] = float(weight[first + k]) * factor
        whens[place + k] = t


def lay_out_equal(
    target: NDArray[np.integer],
    first: int,
    stop: int,
    t: float,
    jump: float,
    targets: NDArray[np.int32],
    jumps: NDArray[np.float64],
    whens: NDArray[np.float64],
    place: int,
) -> None:
    """Write the connections `first` to `stop - 1` as `lay_out` does, where each adds `jump`."""
    for k in range(stop - first):
        targets[place + k] = target[first + k]
        jumps[place + k] = jump
        whens[place + k] = t


def _vectorised(function: Any) -> Any:
    """Return how to replace a function in compiled code.

    Plain njit compiles the function as it stands.
    """
    return (lambda replacement: register_jitable(function)) if PLAIN else overloaded(function)


@_vectorised(sum_rows)
def _sum_rows(current, weights, offset, n_post, indices, first, last):  # type: ignore[no-untyped-def]
    lanes = BYTES * 8 // current.dtype.bitwidth

    def tiled(current, weights, offset, n_post, indices, first, last):  # type: ignore[no-untyped-def]
        column = 0
        while column + TILE * lanes <= n_post:
            sum_tile(current, weights, offset, n_post, indices, first, last, column)
            column += TILE * lanes
        while column + lanes <= n_post:
            sum_vector(current, weights, offset, n_post, indices, first, last, column)
            column += lanes
        for i in range(column, n_post):
            total = current.dtype.type(0.0)
            for k in range(first, last):
                total += weights[offset + indices[k] * n_post + i]
            current[i] = total

    return tiled


@_vectorised(sum_dense)
def _sum_dense(currents, weights, offset, n_post, raster, n_pre):  # type: ignore[no-untyped-def]
    lanes = BYTES * 8 // currents.dtype.bitwidth

    def tiled(currents, weights, offset, n_post, raster, n_pre):  # type: ignore[no-untyped-def]
        column = 0
        while column + TILE * lanes <= n_post:
            multiply_tile(currents, weights, offset, n_post, raster, n_pre, column)
            column += TILE * lanes
        while column + lanes <= n_post:
            multiply_vector(currents, weights, offset, n_post, raster, n_pre, column)
            column += lanes
        for t in range(TIMES):
            for i in range(column, n_post):
                total = currents.dtype.type(0.0)
                for j in range(n_pre):
                    total += raster[j, t] * weights[offset + j * n_post + i]
                currents[t * n_post + i] = total

    return tiled


@_vectorised(weigh_rows)
def _weigh_rows(total, matrix, n_columns, values, first, rows, n_rows):  # type: ignore[no-untyped-def]
    lanes = BYTES * 8 // total.dtype.bitwidth

    def tiled(total, matrix, n_columns, values, first, rows, n_rows):  # type: ignore[no-untyped-def]
        width = matrix.shape[1]
        column = 0
        while column + TILE * lanes <= n_columns:
            weigh_tile(total, matrix, width, values, first, rows, n_rows, column, lanes)
            column += TILE * lanes
        while column < n_columns:
            weigh_vector(
                total, matrix, width, values, first, rows, n_rows, column, n_columns - column
            )
            column += lanes

    return tiled


@_vectorised(add_outer)
def _add_outer(matrix, n_rows, first, n_columns, left, scale, right, keep):  # type: ignore[no-untyped-def]
    lanes = BYTES * 8 // matrix.dtype.bitwidth

    def tiled(matrix, n_rows, first, n_columns, left, scale, right, keep):  # type: ignore[no-untyped-def]
        width = matrix.shape[1]
        if (
            width < lanes
        ):  # a vector would be loaded across what was just stored a row above, which stalls
            for j in range(n_rows):
                lead = scale * left[j]
                row = matrix[j]
                for i in range(n_columns):
                    row[first + i] = keep * (row[first + i] + lead * right[i])
            return
        column = 0
        while column + TILE * lanes <= n_columns:
            outer_tile(matrix, width, n_rows, first, column, lanes, left, scale, right, keep)
            column += TILE * lanes
        while column < n_columns:
            outer_vector(
                matrix, width, n_rows, first, column, n_columns - column, left, scale, right, keep
            )
            column += lanes

    return tiled


@_vectorised(leak_and_fire)
def _leak_and_fire(v, current, decay, threshold, reset_zero, out, count):  # type: ignore[no-untyped-def]
    lanes = BYTES * 8 // v.dtype.bitwidth

    def squeezed(v, current, decay, threshold, reset_zero, out, count):  # type: ignore[no-untyped-def]
        n = v.shape[0]
        first = 0
        while first + lanes <= n:
            count += fire_vector(v, current, decay, threshold, reset_zero, out, count, first)
            first += lanes
        for i in range(first, n):
            x = v[i] * decay + current[i]
            fires = x >= threshold[i]
            drop = x if reset_zero else threshold[i]
            out[count] = i
            count += fires
            v[i] = x - drop if fires else x
        return count

    return squeezed


@_vectorised(lay_out)
def _lay_out(target, weight, first, stop, t, factor, targets, jumps, whens, place):  # type: ignore[no-untyped-def]
    def blockwise(target, weight, first, stop, t, factor, targets, jumps, whens, place):  # type: ignore[no-untyped-def]
        for k in range(0, stop - first, BLOCK):
            lay_out_block(target, weight, first + k, t, factor, targets, jumps, whens, place + k)

    return blockwise


@_vectorised(lay_out_equal)
def _lay_out_equal(target, first, stop, t, jump, targets, jumps, whens, place):  # type: ignore[no-untyped-def]
    def blockwise(target, first, stop, t, jump, targets, jumps, whens, place):  # type: ignore[no-untyped-def]
        for k in range(0, stop - first, BLOCK):
            lay_out_equal_block(target, first + k, t, jump, targets, jumps, whens, place + k)

    return blockwise
