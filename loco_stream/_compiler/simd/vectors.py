"""Vectors as values of compiled code: loads, stores and arithmetic on several numbers at once.

`zeros` makes the first vector of a loop and fixes item type and number of lanes. The other
functions take the type from a vector that they are given, most of them as `like`. Positions `k`
count items of the flat array and are not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

# Numba's own classes are untyped: one alias for the objects that its hooks receive and return.
Untyped: TypeAlias = Any
Generator: TypeAlias = Callable[[Untyped, ir.IRBuilder, Untyped, Sequence[ir.Value]], ir.Value]
_INT32 = ir.IntType(32)


class Vector(types.Type):
    """The type of a vector: `lanes` items of the numba type `dtype`."""

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Untyped, vector: Vector) -> None:
        item = ir.IntType(1)
        if vector.dtype is not types.boolean:
            item = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(item, vector.lanes))


def zeros(dtype: types.Type, lanes: int) -> Callable[[], Untyped]:
    """Return a function for compiled code that returns a vector of zeros."""
    vector = Vector(dtype, lanes)

    @intrinsic
    def zero(typing):
        return vector(), lambda context, *_: ir.Constant(context.get_value_type(vector), None)

    return zero


def _binary(instruction: str) -> Callable[[Untyped, Untyped], Untyped]:
    @intrinsic
    def operation(typing, a, b):
        return a(a, a), lambda _, builder, __, args: getattr(builder, instruction)(*args)

    return operation


add = _binary("fadd")
subtract = _binary("fsub")
multiply = _binary("fmul")


@intrinsic
def at_least(typing, a, b):
    """Return in which lanes ``a >= b``."""

    def generate(context, builder, signature, args):
        return builder.fcmp_ordered(">=", *args)

    return Vector(types.boolean, a.lanes)(a, a), generate


@intrinsic
def select(typing, mask, a, b):
    """Return `a` where `mask` is true and `b` elsewhere."""
    return a(mask, a, a), lambda _, builder, __, args: builder.select(*args)


@intrinsic
def fold(typing, vector):
    """Return the sum of all lanes: the second half is added to the first until one lane is left."""

    def generate(context, builder, signature, args):
        rest = args[0]
        while rest.type.count > 1:
            half = rest.type.count // 2
            lanes = ir.VectorType(_INT32, half)
            parts = [
                builder.shuffle_vector(rest, rest, ir.Constant(lanes, list(range(k, k + half))))
                for k in (0, half)
            ]
            rest = builder.fadd(*parts)
        return builder.extract_element(rest, _INT32(0))

    return vector.dtype(vector), generate


@intrinsic
def spread(typing, like, value):
    """Return a vector with `value` in all lanes."""
    return like(like, like.dtype), lambda _, builder, __, args: _spread(
        builder, args[1], args[0].type
    )


@intrinsic
def keep_one_copy(typing):
    """Keep the function that calls this out of its callers."""

    def generate(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def item(typing, array, k):
    """Return item `k` of an array."""

    def generate(context, builder, signature, args):
        return builder.load(builder.gep(_data(context, builder, signature, args, 0), [args[1]]))

    return array.dtype(array, types.intp), generate


@intrinsic
def load(typing, like, array, k):
    """Return the items from `k` on, converted to the item type of `like`."""

    def generate(context, builder, signature, args):
        found = ir.VectorType(context.get_data_type(array.dtype), like.lanes)
        place = _at(builder, _data(context, builder, signature, args, 1), args[2], found)
        vector = builder.load(place, align=array.dtype.bitwidth // 8)
        if found == args[0].type:
            return vector
        widen = builder.zext if isinstance(array.dtype, types.Integer) else builder.fpext
        return widen(vector, args[0].type)

    return like(like, array, types.intp), generate


@intrinsic
def store(typing, array, k, vector):
    """Write a vector to the items from `k` on."""

    def generate(context, builder, signature, args):
        data = _data(context, builder, signature, args, 0)
        align = array.dtype.bitwidth // 8
        builder.store(args[2], _at(builder, data, args[1], args[2].type), align=align)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def load_first(typing, like, array, k, n):
    """Return the items from `k` on in the first `n` lanes and zero in the others."""

    def generate(context, builder, signature, args):
        vector = args[0].type
        place = _at(builder, _data(context, builder, signature, args, 1), args[2], vector)
        mask = _first(builder, args[3], vector.count)
        rest = ir.Constant(vector, None)
        return _call_masked(builder, "load", vector, (place, _INT32(4), mask, rest))

    return like(like, array, types.intp, types.intp), generate


@intrinsic
def store_first(typing, array, k, vector, n):
    """Write the first `n` lanes of a vector to the items from `k` on."""

    def generate(context, builder, signature, args):
        place = _at(builder, _data(context, builder, signature, args, 0), args[1], args[2].type)
        mask = _first(builder, args[3], args[2].type.count)
        _call_masked(builder, "store", ir.VoidType(), (args[2], place, _INT32(4), mask))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), generate


@intrinsic
def store_true(typing, array, k, mask, first):
    """Write `first` + lane for each lane where `mask` is true to int32 items from `k` on.

    Return the number of these lanes. As many items as there are lanes may be overwritten.
    """

    def generate(context, builder, signature, args):
        lanes = mask.lanes
        numbers = ir.VectorType(_INT32, lanes)
        start = _spread(builder, builder.trunc(args[3], _INT32), numbers)
        number = builder.add(start, ir.Constant(numbers, list(range(lanes))))
        name = f"llvm.experimental.vector.compress.v{lanes}i32"
        packed = _call(builder, name, numbers, (number, args[2], number))
        data = _data(context, builder, signature, args, 0)
        builder.store(packed, _at(builder, data, args[1], numbers), align=4)
        bits = builder.bitcast(args[2], ir.IntType(lanes))
        return builder.zext(builder.ctpop(bits), args[1].type)

    return types.intp(array, types.intp, mask, types.intp), generate


def _data(
    context: Untyped,
    builder: ir.IRBuilder,
    signature: Untyped,
    args: Sequence[ir.Value],
    position: int,
) -> ir.Value:
    """Return the address of the first item of an array among the arguments."""
    array = signature.args[position]
    return context.make_array(array)(context, builder, args[position]).data


def _at(builder: ir.IRBuilder, data: ir.Value, k: ir.Value, vector: ir.Type) -> ir.Value:
    """Return the address of item `k` as an address of vectors."""
    return builder.bitcast(builder.gep(data, [k]), vector.as_pointer())


def _spread(builder: ir.IRBuilder, value: ir.Value, vector: ir.VectorType) -> ir.Value:
    """Return a vector of one value."""
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, _INT32(0))
    lanes = ir.VectorType(_INT32, vector.count)
    return builder.shuffle_vector(single, single, ir.Constant(lanes, None))


def _first(builder: ir.IRBuilder, n: ir.Value, lanes: int) -> ir.Value:
    """Return a mask of the first `n` lanes."""
    numbers = ir.VectorType(_INT32, lanes)
    bound = _spread(builder, builder.trunc(n, _INT32), numbers)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), bound)


def _call_masked(
    builder: ir.IRBuilder, name: str, result: ir.Type, args: Sequence[ir.Value]
) -> ir.Value:
    """Call LLVM's masked load or store of float32."""
    lanes = next(arg.type.count for arg in args if isinstance(arg.type, ir.VectorType))
    return _call(builder, f"llvm.masked.{name}.v{lanes}f32.p0", result, args)


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, args: Sequence[ir.Value]) -> ir.Value:
    """Call an LLVM function by name, declaring it first if the module does not know it."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [arg.type for arg in args])
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, args)
