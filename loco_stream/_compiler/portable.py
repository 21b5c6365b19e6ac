"""Machine code for all processors of a kind, which is compiled on one machine and runs on others.

Numba compiles for the very processor that it runs on. Portable code is compiled for `PROCESSORS`
instead, and any processor with their features runs it, with the same results. It is used where
there is no code for the very processor: from a folder that ``loco-stream warm --portable`` filled,
and from the folder that a wheel for one system brings along.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numba
from llvmlite.binding import get_host_cpu_features, get_process_triple

__all__ = ["PREBUILT", "Processor", "compile_portably", "target", "unfit"]

PREBUILT = Path(__file__).parents[1] / "_prebuilt"  # in wheels for one system


class Processor(NamedTuple):
    """A kind of processor: its name in LLVM, and the features that its code needs."""

    name: str
    features: tuple[str, ...]


_X86_64_V3 = (  # beyond what all processors of x86-64 have
    "avx", "avx2", "bmi", "bmi2", "cx16", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sahf", "sse3",
    "sse4.1", "sse4.2", "ssse3", "xsave",
)  # fmt: skip
PROCESSORS = {  # by the name of the architecture in LLVM
    "x86_64": Processor("x86-64-v3", _X86_64_V3),  # since Haswell (2013) and Zen (2017)
}


def target() -> tuple[str, str, str] | None:
    """Return by what numba's cache knows portable code that this process may run; None: none.

    These are the system, the processor and its additional features.
    """
    return None if unfit() else (_system(), _processor().name, "")


@cache
def unfit() -> str:
    """Return why this process cannot run portable code, in words; empty if it can."""
    if numba.config.CPU_NAME is not None:
        return f"NUMBA_CPU_NAME asks for code for {numba.config.CPU_NAME}"
    if _architecture() not in PROCESSORS:
        return f"there is none for processors of the kind {_architecture()}"
    present = get_host_cpu_features()
    if missing := [name for name in _processor().features if not present.get(name)]:
        return f"it needs a processor with {', '.join(missing)}"
    return ""


def compile_portably() -> None:
    """Let numba compile portable code in this process.

    To be called before anything is compiled or loaded.

    Raises
    ------
    RuntimeError
        If this process cannot run portable code.
    """
    if why := unfit():
        raise RuntimeError(f"portable code cannot be compiled here: {why}")
    numba.config.CPU_NAME = _processor().name
    numba.config.CPU_FEATURES = ""
    unfit.cache_clear()


def _processor() -> Processor:
    return PROCESSORS[_architecture()]


def _architecture() -> str:
    return _system().partition("-")[0]


def _system() -> str:
    return str(get_process_triple())
