"""Atomic operations on int64 numbers for compiled code: acquire loads and release stores.

What a thread wrote before it stored a number is seen by a thread that loads the number. Each
function takes a 1-d int64 array and an index, which must be valid.
"""

from __future__ import annotations

from typing import Any, SupportsIndex, TypeAlias

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from loco_stream._arrays import Array
from loco_stream._compiler.jit import overloaded

Untyped: TypeAlias = Any  # numba's classes have no types
Numbers: TypeAlias = Array
_BYTES = 8
_PAUSES = {"x86_64": ("llvm.x86.sse2.pause", ()), "aarch64": ("llvm.aarch64.hint", (1,))}


def load(numbers: Numbers, k: SupportsIndex) -> int:
    """Return a number."""
    return int(numbers[k])


def store(numbers: Numbers, k: SupportsIndex, value: int) -> None:
    """Replace a number."""
    numbers[k] = value


def add(numbers: Numbers, k: SupportsIndex, value: int) -> int:
    """Add to a number; return what it was before."""
    before = int(numbers[k])
    numbers[k] = before + value
    return before


def pause() -> None:
    """Tell the processor that this thread waits for another."""


def _pointer(context: Untyped, builder: ir.IRBuilder, array: Untyped, args: Untyped) -> ir.Value:
    data = context.make_array(array)(context, builder, args[0]).data
    return builder.gep(data, [args[1]])


@intrinsic
def _load(typing, numbers, k):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args)
        return builder.load_atomic(pointer, "acquire", _BYTES)

    return types.int64(numbers, types.intp), generate


@intrinsic
def _store(typing, numbers, k, value):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args)
        builder.store_atomic(args[2], pointer, "release", _BYTES)
        return context.get_dummy_value()

    return types.void(numbers, types.intp, types.int64), generate


@intrinsic
def _add(typing, numbers, k, value):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args)
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(numbers, types.intp, types.int64), generate


@intrinsic
def _pause(typing):
    def generate(context, builder, signature, args):
        architecture = builder.module.triple.split("-")[0].replace("arm64", "aarch64")
        if architecture in _PAUSES:
            name, values = _PAUSES[architecture]
            number = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [number] * len(values))
            function = builder.module.declare_intrinsic(name, (), kind)
            builder.call(function, [number(value) for value in values])
        return context.get_dummy_value()

    return types.void(), generate


@overloaded(load)
def _overloaded_load(numbers, k):
    return lambda numbers, k: _load(numbers, k)


@overloaded(store)
def _overloaded_store(numbers, k, value):
    return lambda numbers, k, value: _store(numbers, k, value)


@overloaded(add)
def _overloaded_add(numbers, k, value):
    return lambda numbers, k, value: _add(numbers, k, value)


@overloaded(pause)
def _overloaded_pause():
    return lambda: _pause()
