"""The parts of numba and llvmlite that are used here although they are not their public interface.

`tests/compiler/test_internals.py` compares this list with the imports of the package. When one of
the parts is missing, or numba is a version outside `TESTED` that fails a trial, nothing can be
compiled. Without the parts of `OPTIONAL` compiled code is not kept on disk.
"""

from __future__ import annotations

from importlib import import_module

import numba

TESTED = ((0, 63), (0, 68))  # the oldest and the newest numba that the tests have run with

OPTIONAL = ("numba.core.caching", "numba.core.serialize")
# Imported names by module.
NAMES: dict[str, tuple[str, ...]] = {
    "llvmlite.binding": (
        "Linkage",
        "get_host_cpu_features",
        "get_host_cpu_name",
        "get_process_triple",
    ),
    "llvmlite.ir": (
        "Constant",
        "DoubleType",
        "Function",
        "FunctionType",
        "IRBuilder",
        "IntType",
        "Type",
        "Undefined",
        "Value",
        "VectorType",
        "VoidType",
    ),
    "numba.core.analysis": ("dead_branch_prune",),
    "numba.core.caching": ("CompileResultCacheImpl", "FunctionCache"),
    "numba.core.codegen": ("JITCodeLibrary",),
    "numba.core.compiler": ("CompilerBase", "DefaultPassBuilder", "Flags"),
    "numba.core.compiler_machinery": ("FunctionPass", "register_pass"),
    "numba.core.event": ("Listener", "broadcast", "install_listener", "register"),
    "numba.core.ir": ("Arg", "Assign", "Const", "Expr", "FreeVar", "Global"),
    "numba.core.ir_utils": ("get_definition", "guard"),
    "numba.core.serialize": ("dumps",),
    "numba.core.typed_passes": (
        "AnnotateTypes",
        "IRLegalization",
        "InlineOverloads",
        "NativeLowering",
        "NoPythonSupportedFeatureValidation",
        "NopythonRewrites",
    ),
    "numba.core.typing.templates": ("AttributeTemplate",),
    "numba.core.untyped_passes": (
        "DeadBranchPrune",
        "FindLiterallyCalls",
        "InlineClosureLikes",
        "InlineInlinables",
        "LiteralPropagationSubPipelinePass",
        "LiteralUnroll",
        "MakeFunctionToJitFunction",
        "RewriteDynamicRaises",
        "WithLifting",
    ),
    "numba.extending": (
        "infer_getattr",
        "intrinsic",
        "lower_getattr_generic",
        "models",
        "overload",
        "register_jitable",
        "register_model",
    ),
    "numba.np.arrayobj": ("populate_array",),
}
# Attributes that are used or overridden, by owner.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "numba.core.base.BaseContext": (
        "get_abi_sizeof",
        "get_data_type",
        "get_value_type",
        "load_additional_registries",
        "make_array",
    ),
    "numba.core.caching.CompileResultCacheImpl": ("_locator_classes", "rebuild", "reduce"),
    "numba.core.caching.FunctionCache": (
        "_impl_class",
        "_index_key",
        "cache_path",
        "disable",
        "flush",
        "load_overload",
        "save_overload",
    ),
    "numba.core.codegen.JITCodeLibrary": (
        "_ensure_finalized",
        "_get_module_for_linking",
        "_optimize_final_module",
        "_optimize_functions",
        "codegen",
        "enable_object_caching",
        "finalize",
        "get_pointer_to_function",
    ),
    "numba.core.codegen.JITCPUCodegen": ("_module_pass_manager", "set_env"),
    "numba.core.compiler.CompilerBase": ("compile_extra", "define_pipelines"),
    "numba.core.compiler.DefaultPassBuilder": ("define_nopython_pipeline",),
    "numba.core.compiler.Flags": ("values",),
    "numba.core.typing.context.BaseContext": ("resolve_function_type",),
}


def require_internals() -> None:
    """Raise `ImportError` unless all parts that are not optional are there."""
    what = missing()
    if what:
        low, high = (f"{major}.{minor}" for major, minor in TESTED)
        raise ImportError(
            f"`numba` must be a version from {low} to {high}, whose compiler loco-stream extends, "
            f"got {numba.__version__}: {what}"
        )


def missing() -> str:
    """Return the first part that is missing, or what failed in a trial; empty if all is well."""
    try:
        for module, names in NAMES.items():
            if module not in OPTIONAL:
                _require(import_module(module), names)
        for owner, names in ATTRIBUTES.items():
            module, _, name = owner.rpartition(".")
            if module not in OPTIONAL:
                _require(getattr(import_module(module), name), names)
        version = tuple(int(part) for part in numba.__version__.split(".")[:2])
        if not TESTED[0] <= version <= TESTED[1]:
            _try_kernel()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _require(owner: object, names: tuple[str, ...]) -> None:
    for name in names:
        getattr(owner, name)


def _try_kernel() -> None:
    """Compile a kernel and its caller; raises if numba's compiler is not as expected."""
    from loco_stream._compiler.kernels import compile_entry, compile_kernel

    inner = compile_kernel(lambda x: x + 1)
    outer = compile_entry(lambda x: inner(x) * 2)
    if outer(20) != 42:
        raise RuntimeError("the trial kernel returns a wrong result")
