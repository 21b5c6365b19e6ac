"""Kernels that Python can call; the package calls them from compiled code alone."""

from __future__ import annotations

from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

from numba import njit


@cache
def door(kernel: Any) -> Any:
    """Return a kernel, compiled so that Python can call it."""
    return njit(cache=True)(getattr(kernel, "py_func", kernel))


def doors(module: ModuleType) -> SimpleNamespace:
    """Return all public names of a module, with its kernels as `door` returns them."""
    names = {name: getattr(module, name) for name in dir(module) if not name.startswith("__")}
    return SimpleNamespace(
        **{name: door(x) if hasattr(x, "py_func") else x for name, x in names.items()}
    )
