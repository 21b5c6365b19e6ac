"""The package's only source of randomness: a counter-based generator without hidden state.

A number is a pure function of (key, counter). The random state of a model is therefore two integers
in its state, and a restart continues exactly where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Float64, Int64
from loco_stream._compiler.jit import kernel

Bits: TypeAlias = Any  # uint64, a number or an array
Draw: TypeAlias = Callable[[int, int, int, int], Float64]
_MULTIPLIER = np.uint64(0xD256D193)
_WEYL = np.uint64(0x9E3779B9)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_KEPT_SIZE = 1 << 14  # numbers of a draw that is kept: 64 of them take 8 MB at most
_CHUNK = 16384  # counters at once, so that they stay in the cache


def philox2x32(key: Bits, counter: Bits) -> Bits:
    """Return 64 random bits (uint64) for a 32-bit key and a 64-bit counter.

    Philox-2x32 with ten rounds (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3,
    SC11). All products are of two 32-bit numbers, so nothing overflows 64 bits.

    key: uint64
    counter: uint64, a number or an array of any shape
    """
    k = np.uint64(key) & _LOW
    low = np.uint64(counter) & _LOW
    high = np.uint64(counter) >> _HALF
    for _ in range(10):
        product = _MULTIPLIER * low
        low = (product >> _HALF) ^ k ^ high
        high = product & _LOW
        k = (k + _WEYL) & _LOW
    return (high << _HALF) | low


draw_bits = kernel(philox2x32)  # for compiled code


def derive_key(seed: int, purpose: int) -> int:
    """Return a 32-bit key for one `purpose` (a small integer) of a model with the given seed."""
    counter = ((seed >> 32) & 0xFFFFFFFF) << 32 | purpose
    return int(philox2x32(np.uint64(seed & 0xFFFFFFFF), np.uint64(counter))) & 0xFFFFFFFF


def uniforms(key: int, start: int, n: int) -> Float64:
    """Return `n` numbers in (0, 1), one per counter from `start` on."""
    return _uniforms(key, np.arange(start, start + n, dtype=np.uint64))


def _uniforms(key: int, counters: NDArray[np.uint64]) -> Float64:
    """Return a number in (0, 1) for each counter, (n,)."""
    words = np.empty(len(counters), np.uint64)
    for i in range(0, len(counters), _CHUNK):
        words[i : i + _CHUNK] = philox2x32(np.uint64(key), counters[i : i + _CHUNK])
    return np.asarray(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def kept_draws(draw: Draw, key: int, n: int, *shape: int) -> Float64:
    """Return ``draw(key, n, *shape)``, which must not be written to.

    Small draws are kept: models of one seed start from the same numbers, as those of a fleet do.
    """
    if math.prod(shape) > _KEPT_SIZE:
        return _drawn(draw, key, n, *shape)
    return _kept(draw, key, n, *shape)


def _drawn(draw: Draw, key: int, n: int, *shape: int) -> Float64:
    draws = draw(key, n, *shape)
    draws.flags.writeable = False
    return draws


_kept = lru_cache(64)(_drawn)


def normals(key: int, start: int, n: int) -> Float64:
    """Return `n` standard normal numbers (Box-Muller), from two counters each."""
    numbers: Float64 = normals_at(key, np.array([start]), n)[0]
    return numbers


def normals_at(key: int, starts: Int64, n: int) -> Float64:
    """Return what `normals` does for each start, (len(starts), n)."""
    first = 2 * starts.astype(np.uint64)
    counters = np.add.outer(first, np.arange(2 * n, dtype=np.uint64)).ravel()
    u = _uniforms(key, counters).reshape(len(starts), n, 2)
    return np.asarray(np.sqrt(-2.0 * np.log(u[..., 0])) * np.cos(2.0 * np.pi * u[..., 1]))
