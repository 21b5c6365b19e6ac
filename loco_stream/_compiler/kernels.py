"""Kernels as code that is only linked into its callers.

The one place that reaches into numba's own compiler.

Numba would optimise each kernel and turn it into machine code by itself, with all that it calls,
and again inside every caller. Here a kernel is left as it was lowered; an entry links all that it
reaches, each once, and the whole is optimised once. Where numba is not as expected here,
`loco_stream._compiler.jit` does without this module.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.binding import Linkage
from numba import njit, types
from numba.core import ir, typed_passes, untyped_passes
from numba.core.analysis import dead_branch_prune
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import get_definition, guard
from numba.core.typed_passes import NativeLowering

__all__ = ["OPTIONS", "EntryCompiler", "KernelCompiler", "compile_kernel"]

# Passes for what no kernel has: closures, `with`, `literally`, array expressions, raised errors,
# reports of types.
_NEEDLESS = {
    typed_passes.AnnotateTypes,
    # which says where a variable ends: what a kernel holds is freed by nobody
    typed_passes.IRLegalization,
    typed_passes.NoPythonSupportedFeatureValidation,
    typed_passes.NopythonRewrites,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.InlineClosureLikes,
    untyped_passes.LiteralUnroll,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.WithLifting,
}


class _Codegen:
    """A code generator for libraries without machine code.

    There is no place to write an environment's address to.
    """

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: kernels neither raise nor call Python, which is what the environment serves."""


class _Library(JITCodeLibrary):
    """Code that is not optimised function by function before it is linked."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _KernelLibrary(_Library):
    """The code of a kernel, to be linked into that of an entry and to nothing else."""

    @property
    def codegen(self) -> Any:
        return _Codegen(self._codegen)

    def finalize(self) -> None:
        """Link nothing yet: the entry does."""
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """Return the kernel with all that it reaches: who asks is compiled by numba alone."""
        whole = _alone(self).clone()
        for library in _reached(self._linking_libraries):
            whole.link_in(_alone(library), preserve=True)
        return whole

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _EntryLibrary(_Library):
    """The code of an entry with that of all kernels it reaches."""

    def finalize(self) -> None:
        """Link and optimise the whole, and turn it into machine code."""
        for library in _reached(self._linking_libraries):
            self._final_module.link_in(_alone(library), preserve=True)
        self._linking_libraries.clear()
        _name_apart(self._final_module)
        super().finalize()

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


def _name_apart(module: Any) -> None:
    """Give what was linked in names of this entry.

    Kernels of others, compiled in other processes, may share theirs.

    The linker in memory keeps the first of two functions of one name. Hidden, they would need no
    other name, but all that is called once would be inlined, which takes the compiler a fifth
    longer.
    """
    defined = [f for f in module.functions if not f.is_declaration]
    own = " ".join(f.name for f in defined if f.linkage == Linkage.external)
    for function in defined:
        if function.linkage == Linkage.linkonce_odr:
            function.name = f"{function.name}.{zlib.crc32(own.encode()):08x}"


def _alone(library: Any) -> Any:
    """Return the code of a library without that of others, except where numba has linked them already."""
    return JITCodeLibrary._get_module_for_linking(library)


def _reached(libraries: list[Any]) -> list[Any]:
    """Return libraries and all that they link, each once."""
    found: dict[Any, None] = {}
    waiting = list(libraries)
    while waiting:
        library = waiting.pop()
        if library not in found:
            found[library] = None
            waiting.extend(library._linking_libraries)
    return list(found)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> Any:
        if state.library is None:
            state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().run_pass(state)


@register_pass(mutates_CFG=True, analysis_only=False)
class _EntryLowering(NativeLowering):
    _name = "entry_lowering"

    def run_pass(self, state: Any) -> Any:
        if state.library is None:
            state.library = _EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        return super().run_pass(state)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KnownFields(FunctionPass):
    """Writes fields of arguments whose values their types know in their place, and drops branches never taken.

    Other dead branches are left: LLVM finds them, once their callees are compiled.
    """

    _name = "known_fields"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Return whether something was changed."""
        if not any(getattr(kind, "known", None) for kind in state.args):
            return False
        for block in state.func_ir.blocks.values():
            for read in block.find_insts(ir.Assign):
                if isinstance(read.value, ir.Expr) and read.value.op == "getattr":
                    self._replace(state, read)
        dead_branch_prune(state.func_ir, state.args)
        return True

    @staticmethod
    def _replace(state: Any, read: ir.Assign) -> None:
        owner = guard(get_definition, state.func_ir, read.value.value)
        field = read.value.attr
        if not isinstance(owner, ir.Arg) or field not in getattr(
            state.args[owner.index], "known", {}
        ):
            return
        constant = ir.Const(state.args[owner.index].known[field], read.loc)
        definitions = state.func_ir._definitions[read.target.name]
        definitions[definitions.index(read.value)] = constant
        read.value = constant


@register_pass(mutates_CFG=False, analysis_only=False)
class _PlainNumbers(FunctionPass):
    """Gives each number that is written out, or a name of the module, the type of all numbers of its kind.

    Otherwise every operator would be looked up for each of them apart.
    """

    _name = "plain_numbers"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Return whether something was changed."""
        for block in state.func_ir.blocks.values():
            for assign in block.find_insts(ir.Assign):
                found = assign.value
                if isinstance(found, ir.Const | ir.Global | ir.FreeVar) and type(found.value) in (
                    bool,
                    int,
                ):
                    assign.value = ir.Const(found.value, found.loc, use_literal_type=False)
                    definitions = state.func_ir._definitions[assign.target.name]
                    definitions[definitions.index(found)] = assign.value
        return True


class _Flags(Flags):
    """A compiler's settings, which are gathered once.

    Numba does so at each of 100,000 looks into its own caches.
    """

    _gathered: dict[str, object] | None = None

    def values(self) -> dict[str, object]:
        """Return all settings by name; nothing changes them once a compiler has them."""
        if self._gathered is None:
            self._gathered = super().values()
        return self._gathered


class KernelCompiler(CompilerBase):
    """Numba's usual passes but the needless, with a lowering that stops before machine code."""

    _lowering = _KernelLowering

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.state.flags = _Flags(self.state.flags)

    def define_pipelines(self) -> list[Any]:
        """Return the one pipeline."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        instead = {
            NativeLowering: self._lowering,
            untyped_passes.DeadBranchPrune: _KnownFields,
            untyped_passes.LiteralPropagationSubPipelinePass: _PlainNumbers,
        }
        passes.passes = [
            (instead.get(p, p), what) for p, what in passes.passes if p not in _NEEDLESS
        ]
        passes.finalize()
        return [passes]


class EntryCompiler(KernelCompiler):
    """The same, with a lowering that goes on to machine code for the entry and all that it reaches."""

    _lowering = _EntryLowering

    def compile_extra(self, func: Any) -> Any:
        """Compile without garbage collection.

        The compiler's data lives until it is done, and is searched in vain.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            with _looked_up_once(self.state.typingctx, self.state.targetctx):
                return super().compile_extra(func)
        finally:
            if collects:
                gc.enable()


@contextmanager
def _looked_up_once(typing: Any, target: Any) -> Iterator[None]:
    """Have each operator looked up once while an entry is compiled, and no parts of numba loaded that are there."""
    if "resolve_function_type" in vars(typing):  # an entry that another one calls
        yield
        return
    resolve = typing.resolve_function_type
    load = target.load_additional_registries
    found: dict[object, object] = {}

    def resolve_once(function: types.Type, args: tuple[types.Type, ...], kws: object) -> object:
        if kws or not isinstance(function, types.Function):
            return resolve(function, args, kws)
        if (function, args) not in found:
            found[function, args] = resolve(function, args, kws)
        return found[function, args]

    def load_once() -> None:
        """Take in what was registered since; the parts themselves are loaded once a process."""
        if not target._registries:
            load()
        for registry in list(target._registries):
            target.install_registry(registry)

    typing.resolve_function_type = resolve_once
    target.load_additional_registries = load_once
    try:
        yield
    finally:
        del typing.resolve_function_type, target.load_additional_registries


# No wrapper for Python, and no memory management: a kernel that allocates does not compile.
OPTIONS = {
    "_nrt": False,
    # a division by zero gives what IEEE 754 says, not an exception in the middle of a step
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": KernelCompiler,
}


def compile_kernel(function: Callable[..., Any], **options: bool) -> Any:
    """Make a kernel of a function, compiled once for all whole numbers.

    Not again for each that a call writes out.
    """
    kernel = njit(**OPTIONS, **options)(function)
    if hasattr(kernel, "_compiler"):  # not interpreted
        fold = kernel._compiler.fold_argument_types

        def fold_without_literals(args: Any, kws: Any) -> tuple[Any, tuple[Any, ...]]:
            signature, folded = fold(args, kws)
            return signature, tuple(types.unliteral(kind) for kind in folded)

        kernel._compiler.fold_argument_types = fold_without_literals
    return kernel
