"""The processors of this process, and kinds for which machine code can be compiled."""

from __future__ import annotations

import os
from typing import NamedTuple

NATIVE = "native"  # the host processor


class ProcessorKind(NamedTuple):
    """A kind of processor: its architecture and name in LLVM, and the features its code needs."""

    architecture: str
    name: str
    features: tuple[str, ...]


# Features beyond those that all processors of x86-64 have.
_V2 = ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
_V4 = (*_V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
KINDS = (  # the fastest first
    ProcessorKind("x86_64", "x86-64-v4", _V4),  # since Skylake-X (2017) and Zen 4 (2022)
    ProcessorKind("x86_64", "x86-64-v3", _V3),  # since Haswell (2013) and Zen (2017)
)


def n_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
