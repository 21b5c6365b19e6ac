"""Machine code for all processors of a kind, which is compiled on one machine and runs on others.

Numba compiles for the host processor. Portable code is compiled for a kind of processor, and any
processor with its features runs it, with the same results. It is used where there is no code for
the host processor: from a folder that ``loco-stream warm --processor`` filled, and from the folder
that a wheel for one system brings along.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numba
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name, get_process_triple

from loco_stream._compiler.processors import KINDS, NATIVE, ProcessorKind

Target: TypeAlias = tuple[str, str, str]  # system, processor and features of it that are added

PREBUILT = Path(__file__).parents[1] / "_prebuilt"  # in wheels for one system


def targets() -> list[Target]:
    """Return the cache keys of portable code that this process may run, the fastest first."""
    if numba.config.CPU_NAME is not None or numba.config.CPU_FEATURES is not None:
        return []
    return [(get_process_triple(), kind.name, "") for kind in KINDS if not unfit(kind)]


def unfit(kind: ProcessorKind) -> str:
    """Return why this machine cannot run code for a kind of processor; empty if it can."""
    architecture = get_process_triple().partition("-")[0]
    if architecture != kind.architecture:
        return f"it is for {kind.architecture} and not for {architecture}"
    present = get_host_cpu_features()
    has_avx = bool(numba.config.ENABLE_AVX)  # not on virtual machines that wrongly report it
    missing = [
        name
        for name in kind.features
        if not present.get(name) or (name.startswith("avx") and not has_avx)
    ]
    return f"it needs a processor with {', '.join(missing)}" if missing else ""


def compile_for(name: str) -> None:
    """Make numba compile for a kind of processor, or for the host (`NATIVE`), in this process.

    Call it before any kernel is imported. Existing portable code is then ignored.

    Raises `ValueError` if this machine cannot run such code.
    """
    if name == NATIVE:
        numba.config.CPU_NAME = get_host_cpu_name()
        return
    kind = next(kind for kind in KINDS if kind.name == name)
    if why := unfit(kind):
        raise ValueError(f"code for {name} cannot be compiled here: {why}")
    numba.config.CPU_NAME = name
    numba.config.CPU_FEATURES = ""
