"""Five loops that LLVM does not find by itself, written for it on whole vectors.

`sum_rows` keeps a tile of the sum in registers while all rows pass by, where plain loops load and store the sum with
every few rows; `weigh_rows` multiplies each row first; `add_outer` adds the product of two vectors to a matrix, with
a tile of the second in registers; `sum_dense` sums for several times at once, reading every row once for all of them;
`compact` squeezes the numbers of those that fire out of a vector at once. They are written for vectors of 64 bytes,
which LLVM cuts into what the processor has. The plain functions say what is computed, to the byte, and are what runs
interpreted (NUMBA_DISABLE_JIT=1): every sum adds one row after the other in the order of the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

__all__ = ["TIMES", "add_outer", "compact", "sum_dense", "sum_rows", "weigh_rows"]

_BYTES = 64
TIMES = 4  # whose sums `sum_dense` forms together
_TILE = 4  # vectors a tile: enough to hide the latency of an addition, few enough for 16 registers of 32 bytes


def sum_rows(current: Any, weights: Any, offset: int, n_post: int, indices: Any, first: int, last: int) -> None:
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


def weigh_rows(total: Any, matrix: Any, n_columns: int, values: Any, first: int, rows: Any, n_rows: int) -> None:
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


def add_outer(
    matrix: Any, n_rows: int, first: int, n_columns: int, left: Any, scale: Any, right: Any, keep: Any
) -> None:
    """Add a product of two vectors to part of a matrix and shrink it: matrix = keep (matrix + scale left right').

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


def sum_dense(currents: Any, weights: Any, offset: int, n_post: int, raster: Any, n_pre: int) -> None:
    """Set `TIMES` sums in `currents` to those of the rows of weights that each column of `raster` marks.

    The product of a matrix of zeros and ones with the weights. A row times one is the row and times zero adds
    nothing, so that the sums have the same bytes as those of `sum_rows` over the marked rows in ascending order.

    Parameters
    ----------
    currents
        (TIMES * n_post or more,), the sums one after the other, written.
    weights, offset, n_post
        As in `sum_rows`.
    raster, n_pre
        (n_pre or more, TIMES) of ones where a presynaptic neuron fires and zeros elsewhere, of the type of `weights`.
    """
    for t in range(TIMES):
        for i in range(n_post):
            currents[t * n_post + i] = 0.0
        for j in range(n_pre):
            start = offset + j * n_post
            row = weights[start : start + n_post]
            for i in range(n_post):
                currents[t * n_post + i] += raster[j, t] * row[i]


def compact(membrane: Any, threshold: Any, out: Any, count: int) -> int:
    """Append the neurons whose membrane is at or above threshold to `out` from `count` on; return the new count.

    `out` (int32) must have room for all neurons beyond `count`; slots after the returned count may hold rubbish.
    """
    for i in range(membrane.shape[0]):
        if membrane[i] >= threshold[i]:
            out[count] = i
            count += 1
    return count


@overload(sum_rows)
def _sum_rows(current, weights, offset, n_post, indices, first, last):  # type: ignore[no-untyped-def]
    lanes = _BYTES * 8 // current.dtype.bitwidth

    def tiled(current, weights, offset, n_post, indices, first, last):  # type: ignore[no-untyped-def]
        column = 0
        while column + _TILE * lanes <= n_post:
            _sum_tile(current, weights, offset, n_post, indices, first, last, column)
            column += _TILE * lanes
        while column + lanes <= n_post:
            _sum_vector(current, weights, offset, n_post, indices, first, last, column)
            column += lanes
        for i in range(column, n_post):
            total = current.dtype.type(0.0)
            for k in range(first, last):
                total += weights[offset + indices[k] * n_post + i]
            current[i] = total

    return tiled


@overload(sum_dense)
def _sum_dense(currents, weights, offset, n_post, raster, n_pre):  # type: ignore[no-untyped-def]
    lanes = _BYTES * 8 // currents.dtype.bitwidth

    def tiled(currents, weights, offset, n_post, raster, n_pre):  # type: ignore[no-untyped-def]
        column = 0
        while column + _TILE * lanes <= n_post:
            _multiply_tile(currents, weights, offset, n_post, raster, n_pre, column)
            column += _TILE * lanes
        while column + lanes <= n_post:
            _multiply_vector(currents, weights, offset, n_post, raster, n_pre, column)
            column += lanes
        for t in range(TIMES):
            for i in range(column, n_post):
                total = currents.dtype.type(0.0)
                for j in range(n_pre):
                    total += raster[j, t] * weights[offset + j * n_post + i]
                currents[t * n_post + i] = total

    return tiled


@overload(weigh_rows)
def _weigh_rows(total, matrix, n_columns, values, first, rows, n_rows):  # type: ignore[no-untyped-def]
    lanes = _BYTES * 8 // total.dtype.bitwidth

    def tiled(total, matrix, n_columns, values, first, rows, n_rows):  # type: ignore[no-untyped-def]
        width = matrix.shape[1]
        column = 0
        while column + _TILE * lanes <= n_columns:
            _weigh_tile(total, matrix, width, values, first, rows, n_rows, column, lanes)
            column += _TILE * lanes
        while column < n_columns:
            _weigh_vector(total, matrix, width, values, first, rows, n_rows, column, n_columns - column)
            column += lanes

    return tiled


@overload(add_outer)
def _add_outer(matrix, n_rows, first, n_columns, left, scale, right, keep):  # type: ignore[no-untyped-def]
    lanes = _BYTES * 8 // matrix.dtype.bitwidth

    def tiled(matrix, n_rows, first, n_columns, left, scale, right, keep):  # type: ignore[no-untyped-def]
        width = matrix.shape[1]
        if width < lanes:  # a vector would be loaded across what was just stored a row above, which stalls
            for j in range(n_rows):
                lead, row = scale * left[j], matrix[j]
                for i in range(n_columns):
                    row[first + i] = keep * (row[first + i] + lead * right[i])
            return
        column = 0
        while column + _TILE * lanes <= n_columns:
            _outer_tile(matrix, width, n_rows, first, column, lanes, left, scale, right, keep)
            column += _TILE * lanes
        while column < n_columns:
            _outer_vector(matrix, width, n_rows, first, column, n_columns - column, left, scale, right, keep)
            column += lanes

    return tiled


@overload(compact)
def _compact(membrane, threshold, out, count):  # type: ignore[no-untyped-def]
    lanes = _BYTES * 8 // membrane.dtype.bitwidth

    def squeezed(membrane, threshold, out, count):  # type: ignore[no-untyped-def]
        n = membrane.shape[0]
        first = 0
        while first + lanes <= n:
            count += _squeeze(membrane, threshold, out, count, first)
            first += lanes
        for i in range(first, n):
            out[count] = i
            count += membrane[i] >= threshold[i]
        return count

    return squeezed


def _vector(context: Any, dtype: Any) -> Any:
    return ir.VectorType(context.get_data_type(dtype), _BYTES * 8 // dtype.bitwidth)


def _at(builder: Any, data: Any, places: list[Any], vector: Any) -> Any:
    """Return the address `data + sum(places)` as one of vectors."""
    for place in places:
        data = builder.gep(data, [place])
    return builder.bitcast(data, vector.as_pointer())


def _summing(n_vectors: int) -> Any:
    @intrinsic
    def sum_columns(typing, current, weights, offset, n_post, indices, first, last, column):  # type: ignore[no-untyped-def]
        signature = types.void(current, weights, types.intp, types.intp, indices, types.intp, types.intp, types.intp)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            sums, rows, events = (
                context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 4)
            )
            offset, n_post, first, last, column = (args[k] for k in (2, 3, 5, 6, 7))
            vector = _vector(context, signature.args[0].dtype)
            places = [ir.Constant(n_post.type, q * vector.count) for q in range(n_vectors)]
            totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count)) for _ in places]
            with cgutils.for_range_slice(builder, first, last, ir.Constant(first.type, 1)) as (k, _):
                event = builder.load(builder.gep(events, [k]))
                row = builder.mul(context.cast(builder, event, signature.args[4].dtype, types.intp), n_post)
                for total, place in zip(totals, places, strict=True):
                    weight = builder.load(_at(builder, rows, [offset, column, row, place], vector), align=4)
                    builder.store(builder.fadd(builder.load(total), weight), total)
            for total, place in zip(totals, places, strict=True):
                builder.store(builder.load(total), _at(builder, sums, [column, place], vector), align=4)
            return context.get_dummy_value()

        return signature, generate

    return sum_columns


def _spread(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector of one value."""
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    lanes = ir.VectorType(ir.IntType(32), vector.count)
    return builder.shuffle_vector(single, single, ir.Constant(lanes, [0] * vector.count))


def _below(builder: Any, n: Any, lanes: int) -> Any:
    """Return a mask of the lanes below `n`."""
    numbers = ir.VectorType(ir.IntType(32), lanes)
    bound = _spread(builder, builder.trunc(n, ir.IntType(32)), numbers)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), bound)


def _weighing(n_vectors: int) -> Any:
    @intrinsic
    def weigh_columns(typing, total, matrix, width, values, first, rows, n_rows, column, n_left):  # type: ignore[no-untyped-def]
        integer = types.intp
        signature = types.void(total, matrix, integer, values, integer, rows, integer, integer, integer)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            sums, cells, leads, list_ = (
                context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 3, 5)
            )
            width, first, n_rows, column, n_left = (args[k] for k in (2, 4, 6, 7, 8))
            vector = _vector(context, signature.args[0].dtype)
            load, store = _masked(builder, vector, None if n_vectors > 1 else _below(builder, n_left, vector.count))
            places = [width.type(q * vector.count) for q in range(n_vectors)]
            totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count)) for _ in places]
            with cgutils.for_range(builder, n_rows) as loop:
                number = builder.load(builder.gep(list_, [loop.index]))
                number = context.cast(builder, number, signature.args[5].dtype, integer)
                lead = _spread(builder, builder.load(builder.gep(leads, [builder.add(first, number)])), vector)
                row = builder.mul(number, width)
                for sum_, place in zip(totals, places, strict=True):
                    found = load(_at(builder, cells, [row, column, place], vector))
                    builder.store(builder.fadd(builder.load(sum_), builder.fmul(lead, found)), sum_)
            for sum_, place in zip(totals, places, strict=True):
                store(builder.load(sum_), _at(builder, sums, [column, place], vector))
            return context.get_dummy_value()

        return signature, generate

    return weigh_columns


def _adding_outer(n_vectors: int) -> Any:
    @intrinsic
    def add_outer_columns(typing, matrix, width, n_rows, skip, column, n_left, left, scale, right, keep):  # type: ignore[no-untyped-def]
        integer, number = types.intp, matrix.dtype
        signature = types.void(matrix, integer, integer, integer, integer, integer, left, number, right, number)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            cells, lefts, rights = (
                context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 6, 8)
            )
            width, n_rows, skip, column, n_left, scale, keep = (args[k] for k in (1, 2, 3, 4, 5, 7, 9))
            vector = _vector(context, signature.args[0].dtype)
            load, store = _masked(builder, vector, None if n_vectors > 1 else _below(builder, n_left, vector.count))
            places = [width.type(q * vector.count) for q in range(n_vectors)]
            tile = [load(_at(builder, rights, [column, place], vector)) for place in places]
            keeps = _spread(builder, keep, vector)
            with cgutils.for_range(builder, n_rows) as loop:
                lead = builder.fmul(scale, builder.load(builder.gep(lefts, [loop.index])))
                lead = _spread(builder, lead, vector)
                row = builder.mul(loop.index, width)
                for own, place in zip(tile, places, strict=True):
                    cell = _at(builder, cells, [row, skip, column, place], vector)
                    moved = builder.fadd(load(cell), builder.fmul(lead, own))
                    store(builder.fmul(keeps, moved), cell)
            return context.get_dummy_value()

        return signature, generate

    return add_outer_columns


def _masked(builder: Any, vector: Any, mask: Any) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """Return how to load and to store a vector, only the lanes of `mask` unless it is None."""
    if mask is None:
        return lambda place: builder.load(place, align=4), lambda value, place: builder.store(value, place, align=4)
    kind, align = f"v{vector.count}f32.p0", ir.IntType(32)(4)

    def intrinsic_(name: str, result: Any, *arguments: Any) -> Any:
        return cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(result, [a.type for a in arguments]), f"llvm.masked.{name}.{kind}"
        )

    def load(place: Any) -> Any:
        arguments = (place, align, mask, ir.Constant(vector, [0.0] * vector.count))
        return builder.call(intrinsic_("load", vector, *arguments), arguments)

    def store(value: Any, place: Any) -> Any:
        arguments = (value, place, align, mask)
        return builder.call(intrinsic_("store", ir.VoidType(), *arguments), arguments)

    return load, store


def _multiplying(n_vectors: int) -> Any:
    @intrinsic
    def multiply_columns(typing, currents, weights, offset, n_post, raster, n_pre, column):  # type: ignore[no-untyped-def]
        signature = types.void(currents, weights, types.intp, types.intp, raster, types.intp, types.intp)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = [context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 4)]
            sums, rows, marks = arrays
            offset, n_post, n_pre, column = (args[k] for k in (2, 3, 5, 6))
            vector = _vector(context, signature.args[0].dtype)
            integer = n_post.type
            places = [integer(q * vector.count) for q in range(n_vectors)]
            zero = ir.Constant(vector, [0.0] * vector.count)
            totals = [[cgutils.alloca_once_value(builder, zero) for _ in places] for _ in range(TIMES)]
            with cgutils.for_range(builder, n_pre) as loop:
                row = builder.mul(loop.index, n_post)
                found = [
                    builder.load(_at(builder, rows, [offset, column, row, place], vector), align=4) for place in places
                ]
                first = builder.mul(loop.index, integer(TIMES))
                for t, own in enumerate(totals):
                    mark = builder.load(builder.gep(builder.gep(marks, [first]), [integer(t)]))
                    spread = _spread(builder, mark, vector)
                    for total, weight in zip(own, found, strict=True):
                        builder.store(builder.fadd(builder.load(total), builder.fmul(spread, weight)), total)
            for t, own in enumerate(totals):
                start = builder.mul(integer(t), n_post)
                for total, place in zip(own, places, strict=True):
                    builder.store(builder.load(total), _at(builder, sums, [start, column, place], vector), align=4)
            return context.get_dummy_value()

        return signature, generate

    return multiply_columns


_multiply_tile: Callable[..., None] = _multiplying(_TILE)
_multiply_vector: Callable[..., None] = _multiplying(1)
_outer_tile: Callable[..., None] = _adding_outer(_TILE)
_outer_vector: Callable[..., None] = _adding_outer(1)
_weigh_tile: Callable[..., None] = _weighing(_TILE)
_weigh_vector: Callable[..., None] = _weighing(1)
_sum_tile: Callable[..., None] = _summing(_TILE)
_sum_vector: Callable[..., None] = _summing(1)


@intrinsic
def _squeeze(typing, membrane, threshold, out, count, first):  # type: ignore[no-untyped-def]
    """Write the numbers of those of one vector that fire to `out[count:]`; return how many fire."""
    signature = types.intp(membrane, threshold, out, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v, bound, numbers = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1, 2))
        count, first = args[3:]
        vector = _vector(context, signature.args[0].dtype)
        lanes, int32 = vector.count, ir.IntType(32)
        integers = ir.VectorType(int32, lanes)
        above = builder.fcmp_ordered(
            ">=",
            builder.load(_at(builder, v, [first], vector), align=4),
            builder.load(_at(builder, bound, [first], vector), align=4),
        )
        start = _spread(builder, builder.trunc(first, int32), integers)
        number = builder.add(start, ir.Constant(integers, list(range(lanes))))
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(integers, [integers, above.type, integers]),
            f"llvm.experimental.vector.compress.v{lanes}i32",
        )
        squeezed = builder.call(compress, [number, above, number])
        builder.store(squeezed, _at(builder, numbers, [count], integers), align=4)
        bits = builder.bitcast(above, ir.IntType(lanes))
        return builder.zext(builder.ctpop(bits), count.type)

    return signature, generate
