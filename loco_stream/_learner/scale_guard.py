"""Recognition of values that stand apart: faults and fill values must not set a feature's scale.

The last `BLOCK` values of each feature are kept. After every `BLOCK` values their central range,
without the two lowest and the two highest, says where values are expected: within `REACH` ranges
around it. What lies beyond stands apart and enters no scale. It still enters the block, so that a
new regime is expected after one block. A feature whose central range is 0, as one that is mostly
zero, is not judged.

A value that is a customary filler for a missing one (-9999, 65535, 1e20) and stands apart is
missing.

The kernels know no particular scale: each user judges its own mean and deviation by `judge`.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._fillers import is_filler
from loco_stream._learner.arrays.spec import MAX_COUNT, axes
from loco_stream._numbers import LARGEST

BLOCK = 32  # values
TRIM = 2  # values at either end that are not in the central range; `_ends` has one more
REACH = 10.0  # central ranges around it in which values are expected
NARROW = 10.0  # central ranges to a standard deviation: a wider scale is that of other values

SOUND = 0  # what `judge` returns: the scale fits the block, ...
TOO_WIDE = 1  # ... is too wide for it, ...
MOVED = 2  # ... or lies elsewhere


class ScaleGuard(NamedTuple):
    """The last values of each feature, and where further ones are expected.

    recent: the last `BLOCK` values, a ring
    n_recent: values that were put into it
    low, high: range in which values are expected
    n_fillers: values that were taken for missing ones
    """

    recent: Annotated[Float64, axes(BLOCK, "features")]
    n_recent: Annotated[Float64, axes("features", within=(0, MAX_COUNT))]
    low: Annotated[Float64, axes("features", start=-np.inf)]
    high: Annotated[Float64, axes("features", start=np.inf)]
    n_fillers: Annotated[Float64, axes("features")]


@kernel
def is_apart(guard, f, value):
    """Return whether a value (float64) of feature `f` (int64) stands apart; false for NaN."""
    return value < guard.low[f] or value > guard.high[f]


@kernel
def is_missing(guard, f, value):
    """Return whether a value is NaN, infinite, beyond `LARGEST`, or a filler that stands apart.

    Parameters
    ----------
    guard
        `ScaleGuard`.
    f
        int64.
    value
        float64.
    """
    if not abs(value) <= LARGEST:
        return True
    return is_apart(guard, f, value) and is_filler(value)


@kernel
def put(guard, f, value):
    """Put a value into the block; return whether that completes it.

    Parameters are those of `is_missing`; the value is not missing.
    """
    n = np.int64(guard.n_recent[f])
    guard.recent[n % BLOCK, f] = value
    guard.n_recent[f] += 1.0
    return (n + 1) % BLOCK == 0


@kernel
def _with(lowest, value):
    """Return the three lowest of three ascending numbers and another one, ascending."""
    a, b, c = lowest
    return min(a, value), min(b, max(a, value)), min(c, max(b, value))


@kernel
def _ends(values, n_values, f, without_fillers):
    """Return how many values there are, and their ends, outermost first.

    The values at the upper end are negated. To sort all values would cost wide rows a twentieth of
    their time.

    Parameters
    ----------
    values
        (n_values or more, features) float64.
    n_values, f
        int64.
    without_fillers
        bool: leave out customary fillers.
    """
    n = np.int64(0)
    low = (math.inf, math.inf, math.inf)
    high = (math.inf, math.inf, math.inf)
    for i in range(n_values):
        value = values[i, f]
        if without_fillers and is_filler(value):
            continue
        low = _with(low, value)
        high = _with(high, -value)
        n += 1
    return n, low, high


@kernel
def _central_range(n, low, high):
    """Return the low and high end of the central range of `n` values with these ends."""
    trim = min(np.int64(TRIM), (n - 1) // 2)
    while trim > 1 and low[trim] == -high[trim]:
        trim -= 1
    return low[trim], -high[trim]


@kernel
def _reach(n, lowest, highest):
    """Return the range in which `n` values with these ends let others be expected."""
    low, high = _central_range(n, lowest, highest)
    width = high - low
    if not width > 0.0:
        return -math.inf, math.inf
    return low - REACH * width, high + REACH * width


@kernel
def expected_range(values, n_values, f):
    """Return the range in which further values are expected; infinite if the central one is 0.

    Parameters
    ----------
    values
        (n_values or more, features) float64.
    n_values, f
        int64.
    """
    n, lowest, highest = _ends(values, n_values, f, False)
    return _reach(n, lowest, highest)


@kernel
def end_block(guard, f):
    """Set the range in which values are expected; return whether the block could be judged.

    Parameters
    ----------
    guard
        `ScaleGuard`, whose block for `f` is complete.
    f
        int64.
    """
    n_values = np.int64(min(guard.n_recent[f], BLOCK))  # fewer in a model of release 0.2
    n, lowest, highest = _ends(guard.recent, n_values, f, True)
    low, high = _reach(n, lowest, highest) if 2 * n >= BLOCK else (-math.inf, math.inf)
    if n < BLOCK and (high == math.inf or not _have_fillers_apart(guard, f, low, high)):
        low, high = expected_range(guard.recent, n_values, f)  # fillers were left out
    if high == math.inf:
        return False
    guard.low[f] = low
    guard.high[f] = high
    return True


@kernel
def _have_fillers_apart(guard, f, low, high):
    """Return whether every filler in the block lies beyond `low` and `high` (float64)."""
    for i in range(BLOCK):
        value = guard.recent[i, f]
        if is_filler(value) and low <= value <= high:
            return False
    return True


@kernel
def judge(guard, f, mean, deviation):
    """Return whether a scale is `SOUND`, `TOO_WIDE` or `MOVED` for the block judged last.

    Parameters
    ----------
    guard
        `ScaleGuard`, after `end_block` has returned True.
    f
        int64.
    mean, deviation
        float64: of the scale.
    """
    width = (guard.high[f] - guard.low[f]) / (2.0 * REACH + 1.0)
    if deviation > NARROW * width:
        return TOO_WIDE
    center = 0.5 * (guard.high[f] + guard.low[f])
    return MOVED if abs(center - mean) > 3.0 * deviation + width else SOUND


@kernel
def block_moments(guard, f):
    """Return number, mean and sum of squared deviations of the block's values, and their range.

    Values that stand apart are left out.

    Parameters
    ----------
    guard
        `ScaleGuard`.
    f
        int64.

    Returns
    -------
    tuple
        Five float64: number, mean, squares, lowest, highest.
    """
    n = 0.0
    mean = 0.0
    squares = 0.0
    lowest = math.inf
    highest = -math.inf
    for i in range(np.int64(min(guard.n_recent[f], BLOCK))):
        value = guard.recent[i, f]
        if is_apart(guard, f, value):
            continue
        n += 1.0
        delta = value - mean
        mean += delta / n
        squares += delta * (value - mean)
        lowest = min(lowest, value)
        highest = max(highest, value)
    return n, mean, squares, lowest, highest
