"""Three loops that LLVM does not find by itself, written for it on whole vectors.

`sum_rows` keeps a tile of the sum in registers while all rows pass by, where plain loops load and store the sum with
every few rows; `sum_dense` does so for several times at once, reading every row once for all of them; `compact`
squeezes the numbers of those that fire out of a vector at once. They are written for vectors of 64 bytes, which
LLVM cuts into what the processor has. The plain functions say what is computed, to the byte, and are what runs
interpreted (NUMBA_DISABLE_JIT=1): every sum adds one row after the other in the order of the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

__all__ = ["TIMES", "compact", "sum_dense", "sum_rows"]

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
                    spread = builder.insert_element(ir.Constant(vector, ir.Undefined), mark, ir.IntType(32)(0))
                    lanes = ir.VectorType(ir.IntType(32), vector.count)
                    spread = builder.shuffle_vector(spread, spread, ir.Constant(lanes, [0] * vector.count))
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
        start = builder.insert_element(ir.Constant(integers, ir.Undefined), builder.trunc(first, int32), int32(0))
        start = builder.shuffle_vector(start, start, ir.Constant(integers, [0] * lanes))
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
