"""Asking for memory before it is needed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from loco_stream._compiler.jit import PLAIN, overloaded

__all__ = ["prefetch"]


def prefetch(array: Any, k: int) -> None:
    """Have item `k` of a vector brought into the cache.

    Nothing else happens, and any `k` is allowed.
    """


@intrinsic
def _fetch(typing, array, k):  # type: ignore[no-untyped-def]
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        place = builder.bitcast(builder.gep(data, [args[1]]), byte)
        builder.call(
            function, [place, number(0), number(3), number(1)]
        )  # to read, into every cache, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@overloaded(prefetch)
def _prefetch(array, k):  # type: ignore[no-untyped-def]
    return (lambda array, k: None) if PLAIN else lambda array, k: _fetch(array, k)
