"""How the functions of the step are compiled.

`kernel` marks those that only compiled code calls. They get no wrapper for Python and no memory
management: a kernel that allocates does not compile. A kernel is only linked into the entries that
reach it, and the whole is optimised once. Together this halves the time of a cold start.

`entry` marks the few that Python calls. Numba renews its cache only when the file of the function
called itself has changed; an entry's cache also knows all that it may call. `released` marks those
of them during which other threads may run.

Both use parts of numba that are not its public interface. Where these are not as expected, or
LOCO_STREAM_PLAIN_JIT=1 is set, all functions are compiled by plain `numba.njit`: the same results,
more slowly.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.extending import overload

__all__ = [
    "PLAIN",
    "compiled_folders",
    "digest",
    "entry",
    "inlined",
    "kernel",
    "overloaded",
    "released",
]

_PACKAGE = Path(__file__).parents[1]
_TESTED = ((0, 63), (0, 68))  # the oldest and the newest numba that this was tested with
_INTERNALS = {
    "loco_stream._compiler.kernels": ("OPTIONS", "EntryCompiler", "compile_kernel"),
    "llvmlite.ir": ("Constant", "VectorType"),
    "numba.core.cgutils": (
        "alloca_once_value",
        "for_range",
        "for_range_slice",
        "get_or_insert_function",
    ),
    "numba.core.base": (
        "BaseContext.make_array",
        "BaseContext.get_data_type",
        "BaseContext.get_abi_sizeof",
    ),
    "numba.np.arrayobj": ("populate_array",),
}


def _lacking() -> str:
    """Return what is not as expected of numba's internals, or nothing."""
    try:
        for module, names in _INTERNALS.items():
            found = import_module(module)
            for name in names:
                owner: Any = found
                for part in name.split("."):
                    owner = getattr(owner, part)
        version = tuple(int(part) for part in numba.__version__.split(".")[:2])
        if not _TESTED[0] <= version <= _TESTED[1]:
            _try_kernel()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _try_kernel() -> None:
    """Compile a kernel and its caller, which raises if numba's compiler is not as expected."""
    from loco_stream._compiler.kernels import EntryCompiler, compile_kernel

    inner = compile_kernel(lambda x: x + 1)
    outer = njit(_nrt=False, no_cfunc_wrapper=True, pipeline_class=EntryCompiler)(
        lambda x: inner(x) * 2
    )
    if outer(20) != 42:
        raise RuntimeError("a kernel compiled on trial gives a wrong result")


def _is_plain() -> bool:
    if os.environ.get("LOCO_STREAM_PLAIN_JIT", "0") not in ("", "0"):
        return True
    lacking = _lacking()
    if lacking:
        warnings.warn(
            f"numba {numba.__version__} is not as expected ({lacking}): functions are compiled by plain njit, "
            "which is slower",
            RuntimeWarning,
            stacklevel=2,
        )
    return bool(lacking)


PLAIN = _is_plain()
if PLAIN:
    _whole = {"_nrt": False, "error_model": "numpy", "no_cfunc_wrapper": True}
    kernel: Any = njit(**_whole, no_cpython_wrapper=True)
    inlined: Any = njit(**_whole, no_cpython_wrapper=True, forceinline=True)
    _road = "-plain"
else:
    from loco_stream._compiler.kernels import OPTIONS, EntryCompiler, compile_kernel

    kernel = compile_kernel
    inlined = partial(compile_kernel, forceinline=True)
    _whole = {
        "_nrt": False,
        "error_model": "numpy",
        "no_cfunc_wrapper": True,
        "pipeline_class": EntryCompiler,
    }
    _road = ""
_entry = njit(**_whole)
_released = njit(**_whole, nogil=True)


def overloaded(function: Callable[..., Any]) -> Any:
    """Return numba's `overload` of a function by kernels."""
    return overload(function) if PLAIN else overload(function, jit_options=OPTIONS)


try:
    from loco_stream._compiler.cache import keep
except (AttributeError, ImportError):  # numba's cache is not as expected either: do without one

    def keep(dispatcher: Any) -> None:
        """Keep nothing."""


def compiled_folders() -> list[Path]:
    """Return the folders of this package with compiled functions.

    Those where a file imports this module.
    """
    folders = {
        path.parent
        for path in _PACKAGE.rglob("*.py")
        if b"loco_stream._compiler.jit import" in path.read_bytes()
    }
    return sorted(folders)


@cache
def digest() -> str:
    """Name the sources of all compiled functions, and of the constants beside them that they use."""
    content = hashlib.sha256()
    for folder in compiled_folders():
        for path in sorted(folder.glob("*.py")):
            content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:12]


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls.

    Its machine code is kept on disk for the sources as they are.
    """
    return _kept(function, _entry)


def released(function: Callable[..., Any]) -> Any:
    """Compile an entry during which other threads run Python.

    For long work on arrays that no other thread has.
    """
    return _kept(function, _released)


def _kept(function: Callable[..., Any], compiler: Any) -> Any:
    function.__qualname__ = f"{function.__qualname__}-{digest()}{_road}"
    compiled = compiler(function)
    keep(compiled)
    return compiled
