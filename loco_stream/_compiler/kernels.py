"""Compilers for kernels, which are only linked into their callers, and for entries.

Numba would optimize each kernel and turn it into machine code by itself, with everything it calls,
and again inside every caller. Here a kernel is only lowered to LLVM code. An entry links all
kernels that it reaches, each once, and the whole is optimized once.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias

from llvmlite.binding import Linkage
from numba import njit, types
from numba.core import event, ir, typed_passes, untyped_passes
from numba.core.analysis import dead_branch_prune
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import get_definition, guard
from numba.core.typed_passes import NativeLowering

Untyped: TypeAlias = Any  # numba's classes have no types

# Passes for what no kernel contains: closures, `with`, `literally`, array expressions, raised
# errors, functions that numba itself inlines, type reports.
_UNUSED = {
    typed_passes.AnnotateTypes,
    typed_passes.InlineOverloads,
    typed_passes.IRLegalization,  # marks where variables end, for memory management
    typed_passes.NoPythonSupportedFeatureValidation,
    typed_passes.NopythonRewrites,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.InlineClosureLikes,
    untyped_passes.InlineInlinables,
    untyped_passes.LiteralUnroll,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.WithLifting,
}


class _Codegen:
    """A code generator for libraries without machine code, which have no environment pointer."""

    def __init__(self, codegen: Untyped) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Untyped:
        return getattr(self._codegen, name)

    def set_env(self, env_name: str, env: Untyped) -> None:
        """Do nothing: kernels neither raise nor call Python, which the environment is for."""


class _Library(JITCodeLibrary):
    """Code that is not optimized function by function before it is linked."""

    def _optimize_functions(self, ll_module: Untyped) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _KernelLibrary(_Library):
    """The code of a kernel, to be linked into the code of entries."""

    @property
    def codegen(self) -> Untyped:
        return _Codegen(self._codegen)

    def finalize(self) -> None:
        """Link nothing yet; the entry does."""
        self._finalized = True

    def _get_module_for_linking(self) -> Untyped:
        """Return the kernel with everything it reaches, for a caller that numba itself compiles."""
        whole = _own_code(self).clone()
        for library in _reached(self._linking_libraries):
            whole.link_in(_own_code(library), preserve=True)
        return whole

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _EntryLibrary(_Library):
    """The code of an entry with the code of all kernels that it reaches."""

    def finalize(self) -> None:
        """Link and optimize everything, and turn it into machine code."""
        reached = _reached(self._linking_libraries)
        if reached:
            self._final_module.link_in(_joined([_own_code(library) for library in reached]))
        _relink(self._final_module, Linkage.weak_odr, Linkage.linkonce_odr)
        self._linking_libraries.clear()
        _rename_kernels(self._final_module)
        super().finalize()

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


def _rename_kernels(module: Untyped) -> None:
    """Give the linked kernels names that belong to this entry.

    Kernels of other entries, compiled in other processes, may have the same names, and the
    in-memory linker keeps the first of two functions of one name. Hidden functions would not
    conflict, but LLVM would inline all that are called once, which slows compilation by a fifth.
    """
    defined = [f for f in module.functions if not f.is_declaration]
    own = " ".join(f.name for f in defined if f.linkage == Linkage.external)
    for function in defined:
        if function.linkage == Linkage.linkonce_odr:
            function.name = f"{function.name}.{zlib.crc32(own.encode()):08x}"


def _own_code(library: Untyped) -> Untyped:
    """Return the code of a library without the code of others, unless numba has linked it."""
    return JITCodeLibrary._get_module_for_linking(library)


def _reached(libraries: list[Untyped]) -> list[Untyped]:
    """Return libraries and all that they link, each once."""
    found: dict[Untyped, None] = {}
    waiting = list(libraries)
    while waiting:
        library = waiting.pop()
        if library not in found:
            found[library] = None
            waiting.extend(library._linking_libraries)
    return list(found)


def _joined(modules: list[Untyped]) -> Untyped:
    """Return one new module with the code of all, joined in pairs.

    LLVM reads the whole of a module whenever another is linked into it: one after the other would
    take a time quadratic in their number. Linking leaves out functions that nothing calls yet,
    unless they are weak.
    """
    joined = [module.clone() for module in modules]
    for module in joined:
        _relink(module, Linkage.linkonce_odr, Linkage.weak_odr)
    while len(joined) > 1:
        for first, second in zip(joined[::2], joined[1::2], strict=False):
            first.link_in(second)
        joined = joined[::2]
    return joined[0]


def _relink(module: Untyped, linkage: Linkage, other: Linkage) -> None:
    """Give the functions of one linkage another one."""
    for function in module.functions:
        if not function.is_declaration and function.linkage == linkage:
            function.linkage = other


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    def run_pass(self, state: Untyped) -> Untyped:
        if state.library is None:
            state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().run_pass(state)


@register_pass(mutates_CFG=True, analysis_only=False)
class _EntryLowering(NativeLowering):
    _name = "entry_lowering"

    def run_pass(self, state: Untyped) -> Untyped:
        if state.library is None:
            state.library = _EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        return super().run_pass(state)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KnownFields(FunctionPass):
    """Replaces fields of arguments by the values that their types know; drops dead branches.

    Only for such arguments: LLVM finds other dead branches, after their callees are compiled.
    """

    _name = "known_fields"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Untyped) -> bool:
        """Return whether the function was changed."""
        if not any(getattr(kind, "known", None) for kind in state.args):
            return False
        for block in state.func_ir.blocks.values():
            for read in block.find_insts(ir.Assign):
                if isinstance(read.value, ir.Expr) and read.value.op == "getattr":
                    self._replace(state, read)
        dead_branch_prune(state.func_ir, state.args)
        return True

    @staticmethod
    def _replace(state: Untyped, read: ir.Assign) -> None:
        owner = guard(get_definition, state.func_ir, read.value.value)
        if not isinstance(owner, ir.Arg):
            return
        known = getattr(state.args[owner.index], "known", {})
        if read.value.attr not in known:
            return
        constant = ir.Const(known[read.value.attr], read.loc)
        definitions = state.func_ir._definitions[read.target.name]
        definitions[definitions.index(read.value)] = constant
        read.value = constant


@register_pass(mutates_CFG=False, analysis_only=False)
class _UnliteralNumbers(FunctionPass):
    """Gives literal integers and module constants the type of all numbers of their kind.

    Otherwise every operator would be resolved for each of them separately.
    """

    _name = "unliteral_numbers"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Untyped) -> bool:
        """Return whether the function was changed."""
        for block in state.func_ir.blocks.values():
            for assign in block.find_insts(ir.Assign):
                found = assign.value
                is_constant = isinstance(found, ir.Const | ir.Global | ir.FreeVar)
                if is_constant and type(found.value) in (bool, int):
                    assign.value = ir.Const(found.value, found.loc, use_literal_type=False)
                    definitions = state.func_ir._definitions[assign.target.name]
                    definitions[definitions.index(found)] = assign.value
        return True


class _Flags(Flags):
    """Compiler settings that are collected once, instead of at each of 100,000 cache look-ups."""

    _collected: dict[str, object] | None = None

    def values(self) -> dict[str, object]:
        """Return all settings by name; they do not change once a compiler has them."""
        if self._collected is None:
            self._collected = super().values()
        return self._collected


class KernelCompiler(CompilerBase):
    """Numba's usual passes without the unused ones, and a lowering that stops at LLVM code."""

    _lowering = _KernelLowering

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.state.flags = _Flags(self.state.flags)

    def define_pipelines(self) -> list[Untyped]:
        """Return the pipeline, the only one."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        replaced = {
            NativeLowering: self._lowering,
            untyped_passes.DeadBranchPrune: _KnownFields,
            untyped_passes.LiteralPropagationSubPipelinePass: _UnliteralNumbers,
        }
        passes.passes = [
            (replaced.get(p, p), what) for p, what in passes.passes if p not in _UNUSED
        ]
        passes.finalize()
        return [passes]


class EntryCompiler(KernelCompiler):
    """The same with a lowering to machine code, of the entry and everything it reaches."""

    _lowering = _EntryLowering

    def compile_extra(self, func: Untyped) -> Untyped:
        """Compile without garbage collection: all data of the compiler is in use until the end."""
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            with _cached_lookups(self.state.typingctx, self.state.targetctx):
                return super().compile_extra(func)
        finally:
            if was_enabled:
                gc.enable()


@contextmanager
def _cached_lookups(typing: Untyped, target: Untyped) -> Iterator[None]:
    """Look everything up once while an entry is compiled, and report nothing of its parts."""
    if "resolve_function_type" in vars(typing):  # an entry that another entry calls
        yield
        return
    typing.resolve_function_type = _resolving_once(typing.resolve_function_type)
    target.load_additional_registries = _loading_once(target)
    target.get_abi_sizeof = cache(target.get_abi_sizeof)  # each asks LLVM with a module of its own
    broadcast = event.broadcast  # of 130,000 events, to a timer for each function under way
    event.broadcast = _ignore
    try:
        yield
    finally:
        event.broadcast = broadcast
        del typing.resolve_function_type, target.load_additional_registries
        del target.get_abi_sizeof


def _ignore(_: Untyped) -> None:
    """Tell nobody of an event."""


def _resolving_once(resolve: Untyped) -> Untyped:
    """Return a `resolve_function_type` that stores its results."""
    found: dict[object, object] = {}

    def resolve_once(function: types.Type, args: tuple[types.Type, ...], kws: object) -> object:
        if kws or not isinstance(function, types.Function):
            return resolve(function, args, kws)
        if (function, args) not in found:
            found[function, args] = resolve(function, args, kws)
        return found[function, args]

    return resolve_once


def _loading_once(target: Untyped) -> Untyped:
    """Return a `load_additional_registries` that only adds what was registered since."""
    load = target.load_additional_registries

    def load_once() -> None:
        if not target._registries:
            load()
        for registry in list(target._registries):
            target.install_registry(registry)

    return load_once


_COMMON = {
    "_nrt": False,  # no memory management: a kernel that allocates does not compile
    "error_model": "numpy",  # division by zero follows IEEE 754 instead of raising
    "no_cfunc_wrapper": True,
}
OPTIONS = {**_COMMON, "no_cpython_wrapper": True, "pipeline_class": KernelCompiler}


def compile_kernel(function: Callable[..., object], **options: bool) -> Untyped:
    """Make a kernel of a function, which compiled code can call and Python cannot.

    It is compiled once for all integers instead of for each literal.

    Examples
    --------
    >>> from loco_stream.neurons import kernel
    >>> @kernel
    ... def receive(state, shared, i, weight, t):
    ...     state[i].v += weight
    """
    kernel = njit(**OPTIONS, **options)(function)
    if hasattr(kernel, "_compiler"):  # not interpreted
        fold = kernel._compiler.fold_argument_types

        def fold_without_literals(args: Untyped, kws: Untyped) -> tuple[Untyped, ...]:
            signature, folded = fold(args, kws)
            return signature, tuple(types.unliteral(kind) for kind in folded)

        kernel._compiler.fold_argument_types = fold_without_literals
    return kernel


def compile_entry(function: Callable[..., object], **options: bool) -> Untyped:
    """Make an entry of a function: machine code that Python can call."""
    return njit(**_COMMON, pipeline_class=EntryCompiler, **options)(function)
