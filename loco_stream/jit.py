"""How the functions of the step are compiled.

`kernel` marks those that only compiled code calls. They get no wrapper for Python and no memory
management: a kernel that allocates does not compile. Numba would optimise each and turn it into
machine code by itself, with all that it calls, and again inside every caller; here a kernel is only
linked into its callers, and the whole is optimised once. Together this halves the time of a cold start.

`entry` marks the few that Python calls. Numba renews its cache only when the file of the function
called itself has changed; an entry's cache also knows all that it may call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

__all__ = ["compiled_folders", "digest", "entry", "kernel"]

_PACKAGE = Path(__file__).parent


class _Codegen:
    """A code generator for libraries without machine code: there is no place to write an environment's address to."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: kernels neither raise nor call Python, which is what the environment serves."""


class _KernelLibrary(JITCodeLibrary):
    """The code of a kernel, to be linked into that of its callers and to nothing else."""

    @property
    def codegen(self) -> Any:
        return _Codegen(self._codegen)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> Any:
        if state.library is None:
            state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().run_pass(state)


class _KernelCompiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(_KernelLowering if p is NativeLowering else p, what) for p, what in passes.passes]
        passes.finalize()
        return [passes]


# A division by zero gives what IEEE 754 says, not an exception in the middle of a step.
kernel = njit(
    _nrt=False, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=_KernelCompiler
)


def compiled_folders() -> list[Path]:
    """Return the folders of this package with compiled functions: those where a file imports this module."""
    folders = {path.parent for path in _PACKAGE.rglob("*.py") if b"loco_stream.jit import" in path.read_bytes()}
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
    """Compile a function that Python calls; its machine code is kept on disk for the sources as they are."""
    function.__qualname__ = f"{function.__qualname__}-{digest()}"
    return njit(cache=True, _nrt=False, error_model="numpy", no_cfunc_wrapper=True)(function)
