"""Kernels as functions that Python can call.

The package calls them from compiled code only.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

from numba import config, njit

__all__ = ["entry", "jitted", "jitted_module", "on_model"]


@cache
def jitted(kernel: Any) -> Any:
    """Return a kernel compiled with a wrapper for Python."""
    return njit(cache=True)(getattr(kernel, "py_func", kernel))


def jitted_module(module: ModuleType) -> SimpleNamespace:
    """Return all public names of a module, its kernels compiled as `jitted` does."""
    names = {name: getattr(module, name) for name in dir(module) if not name.startswith("__")}
    return SimpleNamespace(
        **{name: jitted(x) if hasattr(x, "py_func") else x for name, x in names.items()}
    )


def entry(function: Any) -> Any:
    """Compile a function as the package's entries are, without keeping its code on disk."""
    if config.DISABLE_JIT:
        return njit(function)
    from loco_stream._compiler.kernels import compile_entry

    return compile_entry(function)


@cache
def on_model(kernel: Any) -> Any:
    """Return a kernel ``(settings, state, scratch, ...)`` as a function ``(kernel_args, ...)``."""
    from loco_stream._learner.kernel_args import opened

    def call(cell, words, *more):
        model = opened(cell, words)
        return kernel(model.settings, model.state, model.scratch, *more)

    compiled = entry(call)

    def run(kernel_args: Any, *more: Any) -> Any:
        return compiled(*kernel_args.args, *more)

    return run
