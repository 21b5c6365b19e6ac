"""Prefetching of memory into the processor's caches."""

from __future__ import annotations

from typing import Any, SupportsIndex, TypeAlias

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from loco_stream._arrays import Array
from loco_stream._compiler.jit import overloaded

Untyped: TypeAlias = Any  # numba's classes have no types
_READ = 0
_ALL_CACHES = 3
_DATA = 1


def prefetch(array: Array, k: SupportsIndex) -> None:
    """Load item `k` of a 1-d array of any dtype into all caches.

    Has no other effect; `k` need not be a valid index.
    """


@intrinsic
def _fetch(typing, array, k):
    return types.void(array, types.intp), _generate


def _generate(
    context: Untyped, builder: ir.IRBuilder, signature: Untyped, args: Untyped
) -> ir.Value:
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    byte = ir.IntType(8).as_pointer()
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    place = builder.bitcast(builder.gep(data, [args[1]]), byte)
    builder.call(function, [place, number(_READ), number(_ALL_CACHES), number(_DATA)])
    return context.get_dummy_value()


@overloaded(prefetch)
def _prefetch(array, k):
    return lambda array, k: _fetch(array, k)
