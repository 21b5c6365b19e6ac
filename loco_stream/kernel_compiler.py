"""Kernels as code that is only linked into its callers: the one place that reaches into numba's own compiler.

Numba would optimise each kernel and turn it into machine code by itself, with all that it calls, and again inside
every caller. Where numba is not as expected here, `loco_stream.jit` does without this module.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

__all__ = ["OPTIONS", "KernelCompiler"]


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


class KernelCompiler(CompilerBase):
    """Numba's usual passes, with a lowering that stops before machine code."""

    def define_pipelines(self) -> list[Any]:
        """Return the one pipeline."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(_KernelLowering if p is NativeLowering else p, what) for p, what in passes.passes]
        passes.finalize()
        return [passes]


# No wrapper for Python, and no memory management: a kernel that allocates does not compile.
OPTIONS = {
    "_nrt": False,
    "error_model": "numpy",  # a division by zero gives what IEEE 754 says, not an exception in the middle of a step
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": KernelCompiler,
}
