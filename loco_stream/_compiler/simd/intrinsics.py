"""What `vector` is made of.

LLVM code on whole vectors of 64 bytes, one tile or one vector of columns at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from loco_stream._compiler.simd.sizes import BLOCK, BYTES, TILE, TIMES

__all__ = [
    "fire_vector",
    "lay_out_block",
    "lay_out_equal_block",
    "multiply_tile",
    "multiply_vector",
    "outer_tile",
    "outer_vector",
    "sum_tile",
    "sum_vector",
    "weigh_tile",
    "weigh_vector",
]


def _vector(context: Any, dtype: Any) -> Any:
    return ir.VectorType(context.get_data_type(dtype), BYTES * 8 // dtype.bitwidth)


def _at(builder: Any, data: Any, places: list[Any], vector: Any) -> Any:
    """Return the address `data + sum(places)` as one of vectors."""
    for place in places:
        data = builder.gep(data, [place])
    return builder.bitcast(data, vector.as_pointer())


def _summing(n_vectors: int) -> Any:
    @intrinsic
    def sum_columns(typing, current, weights, offset, n_post, indices, first, last, column):  # type: ignore[no-untyped-def]
        signature = types.void(
            current, weights, types.intp, types.intp, indices, types.intp, types.intp, types.intp
        )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            sums, rows, events = (
                context.make_array(signature.args[k])(context, builder, args[k]).data
                for k in (0, 1, 4)
            )
            offset, n_post, first, last, column = (args[k] for k in (2, 3, 5, 6, 7))
            vector = _vector(context, signature.args[0].dtype)
            places = [ir.Constant(n_post.type, q * vector.count) for q in range(n_vectors)]
            totals = [
                cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count))
                for _ in places
            ]
            with cgutils.for_range_slice(builder, first, last, ir.Constant(first.type, 1)) as (
                k,
                _,
            ):
                event = builder.load(builder.gep(events, [k]))
                row = builder.mul(
                    context.cast(builder, event, signature.args[4].dtype, types.intp), n_post
                )
                for total, place in zip(totals, places, strict=True):
                    weight = builder.load(
                        _at(builder, rows, [offset, column, row, place], vector), align=4
                    )
                    builder.store(builder.fadd(builder.load(total), weight), total)
            for total, place in zip(totals, places, strict=True):
                builder.store(
                    builder.load(total), _at(builder, sums, [column, place], vector), align=4
                )
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
        signature = types.void(
            total, matrix, integer, values, integer, rows, integer, integer, integer
        )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            sums, cells, leads, list_ = (
                context.make_array(signature.args[k])(context, builder, args[k]).data
                for k in (0, 1, 3, 5)
            )
            width, first, n_rows, column, n_left = (args[k] for k in (2, 4, 6, 7, 8))
            vector = _vector(context, signature.args[0].dtype)
            builder.function.attributes.add(
                "noinline"
            )  # a learning step calls it in many places: keep one copy
            load, store = _masked(
                builder, vector, None if n_vectors > 1 else _below(builder, n_left, vector.count)
            )
            places = [width.type(q * vector.count) for q in range(n_vectors)]
            totals = [
                cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count))
                for _ in places
            ]
            with cgutils.for_range(builder, n_rows) as loop:
                number = builder.load(builder.gep(list_, [loop.index]))
                number = context.cast(builder, number, signature.args[5].dtype, integer)
                lead = _spread(
                    builder, builder.load(builder.gep(leads, [builder.add(first, number)])), vector
                )
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
    def add_outer_columns(
        typing, matrix, width, n_rows, skip, column, n_left, left, scale, right, keep
    ):  # type: ignore[no-untyped-def]
        integer = types.intp
        number = matrix.dtype
        signature = types.void(
            matrix, integer, integer, integer, integer, integer, left, number, right, number
        )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            cells, lefts, rights = (
                context.make_array(signature.args[k])(context, builder, args[k]).data
                for k in (0, 6, 8)
            )
            width, n_rows, skip, column, n_left, scale, keep = (
                args[k] for k in (1, 2, 3, 4, 5, 7, 9)
            )
            vector = _vector(context, signature.args[0].dtype)
            builder.function.attributes.add(
                "noinline"
            )  # a learning step calls it in many places: keep one copy
            load, store = _masked(
                builder, vector, None if n_vectors > 1 else _below(builder, n_left, vector.count)
            )
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


def _masked(
    builder: Any, vector: Any, mask: Any
) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """Return how to load and to store a vector, only the lanes of `mask` unless it is None."""
    if mask is None:
        return lambda place: builder.load(place, align=4), lambda value, place: builder.store(
            value, place, align=4
        )
    kind = f"v{vector.count}f32.p0"
    align = ir.IntType(32)(4)

    def intrinsic_(name: str, result: Any, *arguments: Any) -> Any:
        return cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(result, [a.type for a in arguments]),
            f"llvm.masked.{name}.{kind}",
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
        signature = types.void(
            currents, weights, types.intp, types.intp, raster, types.intp, types.intp
        )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = [
                context.make_array(signature.args[k])(context, builder, args[k]).data
                for k in (0, 1, 4)
            ]
            sums, rows, marks = arrays
            offset, n_post, n_pre, column = (args[k] for k in (2, 3, 5, 6))
            vector = _vector(context, signature.args[0].dtype)
            integer = n_post.type
            places = [integer(q * vector.count) for q in range(n_vectors)]
            zero = ir.Constant(vector, [0.0] * vector.count)
            totals = [
                [cgutils.alloca_once_value(builder, zero) for _ in places] for _ in range(TIMES)
            ]
            with cgutils.for_range(builder, n_pre) as loop:
                row = builder.mul(loop.index, n_post)
                found = [
                    builder.load(_at(builder, rows, [offset, column, row, place], vector), align=4)
                    for place in places
                ]
                first = builder.mul(loop.index, integer(TIMES))
                for t, own in enumerate(totals):
                    mark = builder.load(builder.gep(builder.gep(marks, [first]), [integer(t)]))
                    spread = _spread(builder, mark, vector)
                    for total, weight in zip(own, found, strict=True):
                        builder.store(
                            builder.fadd(builder.load(total), builder.fmul(spread, weight)), total
                        )
            for t, own in enumerate(totals):
                start = builder.mul(integer(t), n_post)
                for total, place in zip(own, places, strict=True):
                    builder.store(
                        builder.load(total),
                        _at(builder, sums, [start, column, place], vector),
                        align=4,
                    )
            return context.get_dummy_value()

        return signature, generate

    return multiply_columns


multiply_tile: Callable[..., None] = _multiplying(TILE)
multiply_vector: Callable[..., None] = _multiplying(1)
outer_tile: Callable[..., None] = _adding_outer(TILE)
outer_vector: Callable[..., None] = _adding_outer(1)
weigh_tile: Callable[..., None] = _weighing(TILE)
weigh_vector: Callable[..., None] = _weighing(1)
sum_tile: Callable[..., None] = _summing(TILE)
sum_vector: Callable[..., None] = _summing(1)


@intrinsic
def lay_out_block(typing, target, weight, k, t, factor, targets, jumps, whens, place):  # type: ignore[no-untyped-def]
    """Write `BLOCK` connections from `k` on as arrivals from `place` on.

    All arrays go on for as many.
    """
    number = types.float64
    signature = types.void(
        target, weight, types.intp, number, number, targets, jumps, whens, types.intp
    )

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        doubles = ir.VectorType(ir.DoubleType(), BLOCK)
        own = ir.VectorType(context.get_data_type(signature.args[1].dtype), BLOCK)
        weights = context.make_array(signature.args[1])(context, builder, args[1]).data
        load = builder.load(_at(builder, weights, [args[2]], own), align=4)
        if own != doubles:
            load = builder.fpext(load, doubles)
        jump = builder.fmul(load, _spread(builder, args[4], doubles))
        _write_arrivals(context, builder, signature, args, jump)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def lay_out_equal_block(typing, target, k, t, jump, targets, jumps, whens, place):  # type: ignore[no-untyped-def]
    """Write `BLOCK` connections as `lay_out_block` does, where each adds `jump`."""
    number = types.float64
    signature = types.void(target, types.intp, number, number, targets, jumps, whens, types.intp)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        jump = _spread(builder, args[3], ir.VectorType(ir.DoubleType(), BLOCK))
        _write_arrivals(context, builder, signature, args, jump)
        return context.get_dummy_value()

    return signature, generate


def _write_arrivals(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Any, jump: ir.Value
) -> None:
    """Write whom a block of connections reaches, the vector `jump` and when.

    `args` end as those of `lay_out_block`.
    """
    who, targets, jumps, whens = (
        context.make_array(signature.args[k])(context, builder, args[k]).data
        for k in (0, -4, -3, -2)
    )
    k = args[-7]
    t = args[-6]
    place = args[-1]
    integers = ir.VectorType(ir.IntType(32), BLOCK)
    own = ir.VectorType(context.get_data_type(signature.args[0].dtype), BLOCK)
    found = builder.load(_at(builder, who, [k], own), align=signature.args[0].dtype.bitwidth // 8)
    if own != integers:
        found = builder.zext(found, integers)
    builder.store(found, _at(builder, targets, [place], integers), align=4)
    builder.store(jump, _at(builder, jumps, [place], jump.type), align=8)
    builder.store(_spread(builder, t, jump.type), _at(builder, whens, [place], jump.type), align=8)


@intrinsic
def fire_vector(typing, v, current, decay, threshold, reset_zero, out, count, first):  # type: ignore[no-untyped-def]
    """Do what `leak_and_fire` does on one vector of neurons from `first` on.

    Return how many fire.
    """
    signature = types.intp(
        v, current, v.dtype, threshold, types.boolean, out, types.intp, types.intp
    )

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        state, currents, bound, numbers = (
            context.make_array(signature.args[k])(context, builder, args[k]).data
            for k in (0, 1, 3, 5)
        )
        decay, reset_zero, count, first = (args[k] for k in (2, 4, 6, 7))
        vector = _vector(context, signature.args[0].dtype)
        lanes = vector.count
        int32 = ir.IntType(32)
        place = _at(builder, state, [first], vector)
        kept = builder.fmul(builder.load(place, align=4), _spread(builder, decay, vector))
        x = builder.fadd(kept, builder.load(_at(builder, currents, [first], vector), align=4))
        threshold = builder.load(_at(builder, bound, [first], vector), align=4)
        above = builder.fcmp_ordered(">=", x, threshold)
        fired = builder.fsub(x, builder.select(reset_zero, x, threshold))
        builder.store(builder.select(above, fired, x), place, align=4)
        integers = ir.VectorType(int32, lanes)
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
