"""Decorators that compile functions.

`kernel` compiles functions that only compiled code calls. They have no wrapper for Python and no
memory management: a kernel that allocates does not compile. A kernel is linked only into the
entries that reach it, and each entry is optimized once as a whole, which halves the time of a cold
start.

`entry` compiles the few functions that Python calls, `nogil_entry` those during which other threads
may run. Their machine code is kept on disk. Numba's own cache is renewed only when the file of the
function itself changes; here it is renewed when any file with compiled functions does.

Both use parts of numba that are not its public interface. Where these are not as expected, the
import ends with a sentence that names the versions of numba which have them; see `internals`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

from numba.extending import overload

from loco_stream._compiler.internals import require_internals

Function: TypeAlias = Callable[..., Any]
Kernel: TypeAlias = Any  # a compiled function: numba's classes have no types
_PACKAGE = Path(__file__).parents[1]

require_internals()
from loco_stream._compiler.kernels import OPTIONS, compile_entry, compile_kernel  # noqa: E402

kernel: Kernel = compile_kernel
inlined: Kernel = partial(compile_kernel, forceinline=True)


def overloaded(function: Function, *, forceinline: bool = False) -> Function:
    """Return numba's `overload` of a function by kernels."""
    return overload(function, jit_options=OPTIONS | {"forceinline": forceinline})


try:
    from loco_stream._compiler.cache import keep
except (AttributeError, ImportError):  # numba's cache is not as expected: keep nothing

    def keep(dispatcher: Any, version: str) -> None:
        """Keep nothing."""


def compiled_folders() -> list[Path]:
    """Return the folders whose files decide what machine code is made.

    These are the folders in which a file imports this module, and all folders of the same part of
    the package: `_learner/arrays` compiles nothing, but declares the arrays that the step reads.
    """
    compiled = [
        path
        for path in _PACKAGE.rglob("*.py")
        if b"loco_stream._compiler.jit import" in path.read_bytes()
    ]
    parts = {path.relative_to(_PACKAGE).parts[0] for path in compiled if path.parent != _PACKAGE}
    folders = {path.parent for path in compiled}
    folders |= {path.parent for part in parts for path in (_PACKAGE / part).rglob("*.py")}
    return sorted(folders)


@cache
def digest() -> str:
    """Return a hash of the sources of all compiled functions and of the constants they use."""
    content = hashlib.sha256()
    for folder in compiled_folders():
        for path in sorted(folder.glob("*.py")):
            content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:12]


def entry(function: Function) -> Kernel:
    """Compile a function that Python calls, and keep its machine code on disk."""
    return _kept(compile_entry(function))


def nogil_entry(function: Function) -> Kernel:
    """Compile an entry during which other threads run Python.

    For long work on arrays that no other thread uses.
    """
    return _kept(compile_entry(function, nogil=True))


def _kept(compiled: Kernel) -> Kernel:
    keep(compiled, digest())
    return compiled
