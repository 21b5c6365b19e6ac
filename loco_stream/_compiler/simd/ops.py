"""Loops over rows of weights and over neurons, as plain Python and as explicit vector code.

Each operation is a plain function, which defines the result and runs when interpreted
(NUMBA_DISABLE_JIT=1), and a vectorized version for compiled code with bit-identical results: every
sum adds one row after the other, in the order given, and `dot` adds in `SINGLES` lanes.

The vectorized versions do what LLVM does not find by itself: `sum_rows`, `weigh_rows` and
`sum_dense` keep a tile of the sum in registers while all rows pass by, `add_outer` a tile of the
second factor, `add_outers` those of `RANK` factors, and `subtract_squares` a tile of `ROWS` rows
while all factors pass by; `leak_and_fire` packs the indices of the neurons that fire;
`write_arrivals` and `write_equal_arrivals` copy whole vectors where loops of a few rounds would be
mispredicted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numba import types
from numba.extending import register_jitable

from loco_stream._arrays import AnyFloat, AnyInt, Float32, Float64, Int32
from loco_stream._compiler.jit import inlined, kernel, overloaded
from loco_stream._compiler.simd.sizes import (
    DOUBLES,
    GROUP,
    RANK,
    ROWS,
    SINGLES,
    STEPS,
    TILE,
    VECTOR_BYTES,
)
from loco_stream._compiler.simd.vectors import (
    add,
    at_least,
    fold,
    item,
    keep_one_copy,
    load,
    load_first,
    multiply,
    select,
    spread,
    store,
    store_first,
    store_true,
    subtract,
    zeros,
)

Float: TypeAlias = np.floating[Any]
Function: TypeAlias = Callable[..., Any]


class Arrivals(Protocol):
    """Spikes that arrive at neurons: a named tuple with these fields, (n + DOUBLES,) each."""

    @property
    def targets(self) -> Int32: ...
    @property
    def jumps(self) -> Float64: ...
    @property
    def times(self) -> Float64: ...


def sum_rows(
    current: AnyFloat,
    weights: AnyFloat,
    offset: int,
    n_post: int,
    indices: AnyInt,
    first: int,
    last: int,
) -> None:
    """Set `current` to the sum of the weight rows of events `first` to `last - 1`.

    Parameters
    ----------
    current
        (n_post,) float32 or float64, written.
    weights
        1-d, of the same dtype; row j is ``weights[offset + j * n_post :][:n_post]``.
    indices
        (n,) int32 or int64, presynaptic neuron of each event.
    """
    for i in range(n_post):
        current[i] = 0.0
    for k in range(first, last):
        start = offset + int(indices[k]) * n_post
        row = weights[start : start + n_post]
        for i in range(n_post):
            current[i] += row[i]


def sum_dense(
    currents: AnyFloat,
    weights: AnyFloat,
    offset: int,
    n_post: int,
    raster: AnyFloat,
    n_pre: int,
) -> None:
    """Set `STEPS` sums to the sums of the weight rows that each column of `raster` marks.

    The product of a matrix of zeros and ones with the weights. The sums are bit-identical to those
    of `sum_rows` over the marked rows in ascending order.

    Parameters
    ----------
    currents
        (STEPS * n_post or more,) float32 or float64, one sum after the other, written.
    weights, offset, n_post
        As in `sum_rows`.
    raster
        (n_pre or more, STEPS), of the same dtype: 1 where a presynaptic neuron fires, 0 elsewhere.
    """
    for t in range(STEPS):
        for i in range(n_post):
            currents[t * n_post + i] = 0.0
        for j in range(n_pre):
            start = offset + j * n_post
            row = weights[start : start + n_post]
            for i in range(n_post):
                currents[t * n_post + i] += raster[j, t] * row[i]


def weigh_rows(
    total: Float32,
    matrix: Float32,
    n_columns: int,
    values: Float32,
    first: int,
    rows: AnyInt,
    n_rows: int,
) -> None:
    """Set the first columns of `total` to the sum of chosen rows of a matrix times their values.

    Parameters
    ----------
    total
        (n_columns or more,) float32, written.
    matrix
        (n, n_columns or more) float32.
    values, first
        1-d float32; the factor of row j is ``values[first + j]``.
    rows, n_rows
        (n_rows or more,) int32 or int64, the rows to add, in this order.
    """
    for i in range(n_columns):
        total[i] = 0.0
    for k in range(n_rows):
        value = values[first + rows[k]]
        row = matrix[rows[k]]
        for i in range(n_columns):
            total[i] += value * row[i]


def weigh_groups(
    total: Float32,
    weights: Float32,
    groups: Int32,
    values: Float32,
    rows: AnyInt,
    n_rows: int,
) -> None:
    """Set `total` to the sum of chosen sparse rows of a matrix times their values.

    A row has items in whole groups of `GROUP` columns, and zeros elsewhere.

    Parameters
    ----------
    total
        (a multiple of `GROUP`,) float32, written.
    weights, groups
        (n, k * GROUP) float32 and (n, k) int32: the items of each row, and the first column of each
        of their groups.
    values
        1-d float32, the factor of each row.
    rows, n_rows
        (n_rows or more,) int32 or int64, the rows to add, in this order.
    """
    for i in range(total.shape[0]):
        total[i] = 0.0
    for k in range(n_rows):
        value = values[rows[k]]
        row = weights[rows[k]]
        for g in range(groups.shape[1]):
            start = groups[rows[k], g]
            for i in range(GROUP):
                total[start + i] += value * row[g * GROUP + i]


@kernel
def nonzero(inputs: Float32, first: int, n_inputs: int, rows: Int32) -> np.int64:
    """Write the indices j below `n_inputs` with ``inputs[first + j] != 0``; return their number.

    Parameters
    ----------
    inputs
        1-d float32.
    rows
        (n_inputs or more,) int32, written.
    """
    n = np.int64(0)  # a literal would get a type of its own
    for j in range(n_inputs):
        rows[n] = j
        n += inputs[first + j] != 0.0
    return n


def add_outer(
    matrix: Float32,
    n_rows: int,
    first: int,
    n_columns: int,
    left: Float32,
    scale: np.float32,
    right: Float32,
    keep: np.float32,
) -> None:
    """Add an outer product to part of a matrix and scale it: keep * (matrix + scale left right').

    Parameters
    ----------
    matrix
        (n_rows or more, first + n_columns or more) float32, written from column `first` on.
    left, right
        (n_rows or more,) and (n_columns or more,) float32.
    """
    for j in range(n_rows):
        lead = scale * left[j]
        row = matrix[j]
        for i in range(n_columns):
            row[first + i] = keep * (row[first + i] + lead * right[i])


def add_outers(
    matrix: Float32,
    n_rows: int,
    first: int,
    n_columns: int,
    left: Float32,
    right: Float32,
) -> None:
    """Add `RANK` outer products left right' to part of a matrix, one after the other.

    Parameters
    ----------
    matrix
        (n_rows or more, first + n_columns or more) float32, written from column `first` on.
    left, right
        (RANK, n_rows or more) and (RANK, n_columns or more) float32.
    """
    for j in range(n_rows):
        row = matrix[j]
        for i in range(n_columns):
            total = row[first + i]
            for k in range(RANK):
                total += left[k, j] * right[k, i]
            row[first + i] = total


def dot(left: Float32, first: int, right: Float32, start: int, n: int) -> np.float32:
    """Return the sum of ``left[first + i] * right[start + i]`` over `n` items.

    Parameters
    ----------
    left, right
        Contiguous float32 of any shape; positions count items of the flat array.
    """
    lanes = np.zeros(SINGLES, np.float32)
    flat_left = left.reshape(-1)
    flat_right = right.reshape(-1)
    for i in range(n):
        lanes[i % SINGLES] += flat_left[first + i] * flat_right[start + i]
    return _sum_of_lanes(lanes)


def _sum_of_lanes(lanes: Float32) -> np.float32:
    """Return the sum of `SINGLES` lanes as `fold` computes it; the lanes are overwritten."""
    half = SINGLES // 2
    while half > 0:
        for i in range(half):
            lanes[i] += lanes[half + i]
        half //= 2
    return lanes[0]


def add_symmetric_rows(
    total: Float32,
    matrix: Float32,
    first: int,
    n: int,
    vector: Float32,
) -> None:
    """Add to `total` what `ROWS` rows of a symmetric matrix add to its product with a vector.

    The items before column `first` are not read: they are those of earlier rows, which counted for
    both triangles. Over all rows half the memory is read that the whole matrix takes. The `ROWS`
    items from column `first` on are symmetric to the last bit.

    Parameters
    ----------
    total
        (n or more,) float32, written.
    matrix
        (n or more, n or more) float32.
    first
        The first row, a multiple of `ROWS`; the last ones may be fewer than `ROWS`.
    vector
        (n or more,) float32.
    """
    behind = min(first + ROWS, n)
    for j in range(first, behind):
        for i in range(first, behind):
            total[j] += matrix[j, i] * vector[i]
    if behind == n:
        return
    lanes = np.zeros((ROWS, SINGLES), np.float32)
    for i in range(behind, n):
        lane = (i - behind) % SINGLES
        change = total[i]
        for k in range(ROWS):
            lanes[k, lane] += matrix[first + k, i] * vector[i]
            change += matrix[first + k, i] * vector[first + k]
        total[i] = change
    for k in range(ROWS):
        total[first + k] += _sum_of_lanes(lanes[k])


def subtract_squares(
    matrix: Float32,
    first: int,
    start: int,
    n: int,
    factors: Float32,
    keep: np.float32,
) -> None:
    """Subtract the outer squares of vectors from `ROWS` rows of a matrix, and scale these.

    The result is keep * (matrix - sum of factor factor').

    Parameters
    ----------
    matrix
        (n or more, n or more) float32, of which columns `start` to `n - 1` are written.
    first
        The first of `ROWS` rows, or of fewer at the end of the matrix.
    factors
        (any, n or more) float32, subtracted one after the other.
    """
    for j in range(first, min(first + ROWS, n)):
        row = matrix[j]
        for i in range(start, n):
            total = row[i]
            for k in range(factors.shape[0]):
                total -= factors[k, j] * factors[k, i]
            row[i] = keep * total


def leak_and_fire(
    v: AnyFloat,
    current: AnyFloat,
    decay: Float,
    threshold: AnyFloat,
    reset_zero: bool,
    out: Int32,
    count: int,
) -> int:
    """Decay membranes, add currents, reset the neurons that fire; return the new count.

    Parameters
    ----------
    v, current, threshold
        (n,) float32 or float64; `v` is written.
    decay
        Factor of the membranes, of the same dtype.
    reset_zero
        Whether a neuron that fires is reset to 0; otherwise its threshold is subtracted.
    out, count
        int32 with room for n items beyond `count`: the neurons that fire are written from there on.
        Items after the returned count may be overwritten.
    """
    for i in range(v.shape[0]):
        x = v[i] * decay + current[i]
        if x >= threshold[i]:
            out[count] = i
            count += 1
            x -= x if reset_zero else threshold[i]
        v[i] = x
    return count


def write_arrivals(
    target: AnyInt,
    weight: AnyFloat,
    first: int,
    stop: int,
    t: float,
    factor: float,
    arrivals: Arrivals,
    start: int,
) -> None:
    """Write connections `first` to `stop - 1` as arrivals at time `t`.

    Parameters
    ----------
    target, weight
        (n + DOUBLES,) uint16 or int32 and float32 or float64, target neuron and weight of each
        connection.
    factor
        The jump that a weight of 1 causes.
    arrivals
        Written from item `start` on; up to `DOUBLES` items after the last may be overwritten.
    """
    for k in range(stop - first):
        arrivals.targets[start + k] = target[first + k]
        arrivals.jumps[start + k] = float(weight[first + k]) * factor
        arrivals.times[start + k] = t


def write_equal_arrivals(
    target: AnyInt,
    first: int,
    stop: int,
    t: float,
    jump: float,
    arrivals: Arrivals,
    start: int,
) -> None:
    """Write connections as `write_arrivals` does, each with the same jump."""
    for k in range(stop - first):
        arrivals.targets[start + k] = target[first + k]
        arrivals.jumps[start + k] = jump
        arrivals.times[start + k] = t


def _lanes(array: Any) -> int:
    return VECTOR_BYTES * 8 // array.dtype.bitwidth


@overloaded(sum_rows, forceinline=True)
def _sum_rows(current, weights, offset, n_post, indices, first, last):
    lanes = _lanes(current)
    sum_tile = _sum_columns(zeros(current.dtype, TILE * lanes))
    sum_vector = _sum_columns(zeros(current.dtype, lanes))

    def tiled(current, weights, offset, n_post, indices, first, last):
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


def _sum_columns(zero: Function) -> Function:
    @inlined
    def sum_columns(current, weights, offset, n_post, indices, first, last, column):
        start = offset + column
        total = zero()
        for k in range(first, last):
            row = load(total, weights, start + np.int64(item(indices, k)) * n_post)
            total = add(total, row)
        store(current, column, total)

    return sum_columns


@overloaded(sum_dense)
def _sum_dense(currents, weights, offset, n_post, raster, n_pre):
    lanes = _lanes(currents)
    sum_tile = _sum_marked_columns(zeros(currents.dtype, TILE * lanes))
    sum_vector = _sum_marked_columns(zeros(currents.dtype, lanes))

    def tiled(currents, weights, offset, n_post, raster, n_pre):
        column = 0
        while column + TILE * lanes <= n_post:
            sum_tile(currents, weights, offset, n_post, raster, n_pre, column)
            column += TILE * lanes
        while column + lanes <= n_post:
            sum_vector(currents, weights, offset, n_post, raster, n_pre, column)
            column += lanes
        for t in range(STEPS):
            for i in range(column, n_post):
                total = currents.dtype.type(0.0)
                for j in range(n_pre):
                    total += raster[j, t] * weights[offset + j * n_post + i]
                currents[t * n_post + i] = total

    return tiled


def _sum_marked_columns(zero: Function) -> Function:
    @inlined
    def sum_marked(mark, row, total):
        return add(total, multiply(spread(total, mark), row))

    @inlined
    def sum_columns(currents, weights, offset, n_post, raster, n_pre, column):
        start = offset + column
        a = b = c = d = zero()  # one sum per step
        for j in range(n_pre):
            row = load(a, weights, start + j * n_post)
            a = sum_marked(item(raster, STEPS * j), row, a)
            b = sum_marked(item(raster, STEPS * j + 1), row, b)
            c = sum_marked(item(raster, STEPS * j + 2), row, c)
            d = sum_marked(item(raster, STEPS * j + 3), row, d)
        store(currents, column, a)
        store(currents, n_post + column, b)
        store(currents, 2 * n_post + column, c)
        store(currents, 3 * n_post + column, d)

    return sum_columns


@overloaded(weigh_rows)
def _weigh_rows(total, matrix, n_columns, values, first, rows, n_rows):
    lanes = _lanes(total)
    tile = zeros(total.dtype, TILE * lanes)
    vector = zeros(total.dtype, lanes)

    def tiled(total, matrix, n_columns, values, first, rows, n_rows):
        keep_one_copy()  # a learning step calls it in many places
        width = matrix.shape[1]
        column = 0
        while column + TILE * lanes <= n_columns:
            wide = tile()
            for k in range(n_rows):
                row = np.int64(item(rows, k))
                lead = spread(wide, item(values, first + row))
                wide = add(wide, multiply(lead, load(wide, matrix, row * width + column)))
            store(total, column, wide)
            column += TILE * lanes
        while column < n_columns:
            n_left = n_columns - column
            part = vector()
            for k in range(n_rows):
                row = np.int64(item(rows, k))
                lead = spread(part, item(values, first + row))
                found = load_first(part, matrix, row * width + column, n_left)
                part = add(part, multiply(lead, found))
            store_first(total, column, part, n_left)
            column += lanes

    return tiled


@overloaded(weigh_groups)
def _weigh_groups(total, weights, groups, values, rows, n_rows):
    vector = zeros(weights.dtype, GROUP)

    def in_groups(total, weights, groups, values, rows, n_rows):
        keep_one_copy()
        like = vector()
        n_groups = groups.shape[1]
        for i in range(0, total.shape[0], GROUP):
            store(total, i, like)
        for k in range(n_rows):
            row = item(rows, k)
            value = spread(like, item(values, row))
            for g in range(row * n_groups, (row + 1) * n_groups):
                start = item(groups, g)
                part = multiply(value, load(like, weights, g * GROUP))
                store(total, start, add(load(like, total, start), part))

    return in_groups


@overloaded(add_outer)
def _add_outer(matrix, n_rows, first, n_columns, left, scale, right, keep):
    lanes = _lanes(matrix)
    tile = zeros(matrix.dtype, TILE * lanes)
    vector = zeros(matrix.dtype, lanes)
    quad = zeros(matrix.dtype, 4)

    def tiled(matrix, n_rows, first, n_columns, left, scale, right, keep):
        keep_one_copy()
        width = matrix.shape[1]
        if width < lanes:  # a vector would be loaded across a row that was just stored: it stalls
            n_quads = n_columns // 4 * 4
            for column in range(0, n_quads, 4):
                few = load(quad(), right, column)
                for j in range(n_rows):
                    k = j * width + first + column
                    step = multiply(spread(few, scale * item(left, j)), few)
                    store(matrix, k, multiply(spread(few, keep), add(load(few, matrix, k), step)))
            for j in range(n_rows):
                lead = scale * left[j]
                row = matrix[j]
                for i in range(n_quads, n_columns):
                    row[first + i] = keep * (row[first + i] + lead * right[i])
            return
        column = 0
        while column + TILE * lanes <= n_columns:
            wide = load(tile(), right, column)
            for j in range(n_rows):
                k = j * width + first + column
                step = multiply(spread(wide, scale * item(left, j)), wide)
                store(matrix, k, multiply(spread(wide, keep), add(load(wide, matrix, k), step)))
            column += TILE * lanes
        while column < n_columns:
            n_left = n_columns - column
            part = load_first(vector(), right, column, n_left)
            for j in range(n_rows):
                k = j * width + first + column
                step = multiply(spread(part, scale * item(left, j)), part)
                moved = add(load_first(part, matrix, k, n_left), step)
                store_first(matrix, k, multiply(spread(part, keep), moved), n_left)
            column += lanes

    return tiled


@register_jitable
def _spread_four(like, factors, k):
    """Return item `k` of each factor in all lanes of a vector."""
    height = factors.shape[1]
    return (
        spread(like, item(factors, k)),
        spread(like, item(factors, height + k)),
        spread(like, item(factors, 2 * height + k)),
        spread(like, item(factors, 3 * height + k)),
    )


@register_jitable
def _load_four(like, factors, k, n):
    """Return the first `n` items from `k` on of each factor."""
    height = factors.shape[1]
    return (
        load_first(like, factors, k, n),
        load_first(like, factors, height + k, n),
        load_first(like, factors, 2 * height + k, n),
        load_first(like, factors, 3 * height + k, n),
    )


@register_jitable
def _add_four(matrix, k, n, left, right):
    """Return the first `n` items from `k` on plus four products, added one after the other."""
    total = load_first(left[0], matrix, k, n)
    for i in range(RANK):
        total = add(total, multiply(left[i], right[i]))
    return total


@overloaded(add_outers)
def _add_outers(matrix, n_rows, first, n_columns, left, right):
    lanes = SINGLES
    pair = zeros(matrix.dtype, 2 * lanes)
    vector = zeros(matrix.dtype, lanes)

    def tiled(matrix, n_rows, first, n_columns, left, right):
        keep_one_copy()
        width = matrix.shape[1]
        column = 0
        while column + 2 * lanes <= n_columns:
            like = pair()
            parts = _load_four(like, right, column, 2 * lanes)
            for j in range(n_rows):
                k = j * width + first + column
                total = _add_four(matrix, k, 2 * lanes, _spread_four(like, left, j), parts)
                store(matrix, k, total)
            column += 2 * lanes
        while column < n_columns:
            n_left = n_columns - column
            one = vector()
            parts = _load_four(one, right, column, n_left)
            for j in range(n_rows):
                k = j * width + first + column
                total = _add_four(matrix, k, n_left, _spread_four(one, left, j), parts)
                store_first(matrix, k, total, n_left)
            column += lanes

    return tiled


@overloaded(dot)
def _dot(left, first, right, start, n):
    vector = zeros(left.dtype, SINGLES)

    def in_lanes(left, first, right, start, n):
        keep_one_copy()
        total = vector()
        i = 0
        while i + SINGLES <= n:
            product = multiply(load(total, left, first + i), load(total, right, start + i))
            total = add(total, product)
            i += SINGLES
        n_left = n - i
        if n_left > 0:
            rest = load_first(total, left, first + i, n_left)
            total = add(total, multiply(rest, load_first(total, right, start + i, n_left)))
        return fold(total)

    return in_lanes


@register_jitable
def _add_products(totals, items, part):
    """Return four sums, to each of which its items times a part are added."""
    return (
        add(totals[0], multiply(items[0], part)),
        add(totals[1], multiply(items[1], part)),
        add(totals[2], multiply(items[2], part)),
        add(totals[3], multiply(items[3], part)),
    )


@overloaded(add_symmetric_rows)
def _add_symmetric_rows(total, matrix, first, n, vector):
    zero = zeros(matrix.dtype, SINGLES)
    few = zeros(matrix.dtype, ROWS)

    def in_lanes(total, matrix, first, n, vector):
        keep_one_copy()
        width = matrix.shape[1]
        behind = min(first + ROWS, n)
        # The block on the diagonal is symmetric: its rows are its columns.
        n_rows = behind - first
        corner = load_first(few(), total, first, n_rows)
        for i in range(first, behind):
            column = load_first(corner, matrix, i * width + first, n_rows)
            corner = add(corner, multiply(spread(corner, item(vector, i)), column))
        store_first(total, first, corner, n_rows)
        if behind == n:
            return
        like = zero()
        row = first * width
        factors = (
            spread(like, item(vector, first)),
            spread(like, item(vector, first + 1)),
            spread(like, item(vector, first + 2)),
            spread(like, item(vector, first + 3)),
        )
        sums = (like, like, like, like)
        i = behind
        while i + SINGLES <= n:
            items = _load_four(like, matrix, row + i, SINGLES)
            sums = _add_products(sums, items, load(like, vector, i))
            store(total, i, _add_four(total, i, SINGLES, factors, items))
            i += SINGLES
        if i < n:
            items = _load_four(like, matrix, row + i, n - i)
            sums = _add_products(sums, items, load_first(like, vector, i, n - i))
            store_first(total, i, _add_four(total, i, n - i, factors, items), n - i)
        for k in range(ROWS):
            total[first + k] += fold(sums[k])

    return in_lanes


@register_jitable
def _load_rows(like, matrix, rows, i, n):
    """Return the first `n` items from column `i` on of four rows."""
    width = matrix.shape[1]
    return (
        load_first(like, matrix, rows[0] * width + i, n),
        load_first(like, matrix, rows[1] * width + i, n),
        load_first(like, matrix, rows[2] * width + i, n),
        load_first(like, matrix, rows[3] * width + i, n),
    )


@register_jitable
def _subtract_factor(items, factor, rows, part):
    """Return parts of four rows less the part of a factor times its items at these rows."""
    return (
        subtract(items[0], multiply(spread(part, item(factor, rows[0])), part)),
        subtract(items[1], multiply(spread(part, item(factor, rows[1])), part)),
        subtract(items[2], multiply(spread(part, item(factor, rows[2])), part)),
        subtract(items[3], multiply(spread(part, item(factor, rows[3])), part)),
    )


@overloaded(subtract_squares)
def _subtract_squares(matrix, first, start, n, factors, keep):
    vector = zeros(matrix.dtype, SINGLES)

    @inlined
    def subtract_part(matrix, rows, i, n, factors, scale):
        items = _load_rows(scale, matrix, rows, i, n)
        for k in range(factors.shape[0]):
            factor = factors[k]
            items = _subtract_factor(items, factor, rows, load_first(scale, factor, i, n))
        width = matrix.shape[1]
        store_first(matrix, rows[0] * width + i, multiply(scale, items[0]), n)
        store_first(matrix, rows[1] * width + i, multiply(scale, items[1]), n)
        store_first(matrix, rows[2] * width + i, multiply(scale, items[2]), n)
        store_first(matrix, rows[3] * width + i, multiply(scale, items[3]), n)

    def in_lanes(matrix, first, start, n, factors, keep):
        keep_one_copy()
        scale = spread(vector(), keep)
        last = min(first + ROWS, n) - 1  # of fewer rows, the last one is written again
        rows = (first, min(first + 1, last), min(first + 2, last), min(first + 3, last))
        i = start
        while i + SINGLES <= n:
            subtract_part(matrix, rows, i, SINGLES, factors, scale)
            i += SINGLES
        if i < n:
            subtract_part(matrix, rows, i, n - i, factors, scale)

    return in_lanes


@overloaded(leak_and_fire)
def _leak_and_fire(v, current, decay, threshold, reset_zero, out, count):
    lanes = _lanes(v)
    vector = zeros(v.dtype, lanes)

    def packed(v, current, decay, threshold, reset_zero, out, count):
        n = v.shape[0]
        first = 0
        like = vector()
        while first + lanes <= n:
            left = multiply(load(like, v, first), spread(like, decay))
            x = add(left, load(like, current, first))
            bound = load(like, threshold, first)
            fires = at_least(x, bound)
            store(v, first, select(fires, subtract(x, x if reset_zero else bound), x))
            count += store_true(out, count, fires, first)
            first += lanes
        for i in range(first, n):
            y = v[i] * decay + current[i]
            fired = y >= threshold[i]
            drop = y if reset_zero else threshold[i]
            out[count] = i
            count += fired
            v[i] = y - drop if fired else y
        return count

    return packed


@overloaded(write_arrivals)
def _write_arrivals(target, weight, first, stop, t, factor, arrivals, start):
    integers = zeros(types.int32, DOUBLES)
    doubles = zeros(types.float64, DOUBLES)

    def by_vectors(target, weight, first, stop, t, factor, arrivals, start):
        when = spread(doubles(), t)
        factors = spread(when, factor)
        for k in range(0, stop - first, DOUBLES):
            store(arrivals.targets, start + k, load(integers(), target, first + k))
            store(arrivals.jumps, start + k, multiply(load(when, weight, first + k), factors))
            store(arrivals.times, start + k, when)

    return by_vectors


@overloaded(write_equal_arrivals)
def _write_equal_arrivals(target, first, stop, t, jump, arrivals, start):
    integers = zeros(types.int32, DOUBLES)
    doubles = zeros(types.float64, DOUBLES)

    def by_vectors(target, first, stop, t, jump, arrivals, start):
        when = spread(doubles(), t)
        jumps = spread(when, jump)
        for k in range(0, stop - first, DOUBLES):
            store(arrivals.targets, start + k, load(integers(), target, first + k))
            store(arrivals.jumps, start + k, jumps)
            store(arrivals.times, start + k, when)

    return by_vectors
