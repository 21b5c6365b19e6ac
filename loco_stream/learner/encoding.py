"""From a row of numbers to input lines.

Running scaling that settles, bounding, graded receptive fields.

A line carries a number from 0 to 1, a constant current for the whole window. A masked value is NaN,
infinite or beyond 1e30: its lines are 0, it counts in no statistic and is 0 (the mean) for the
linear part of the readout.

Scaling settles after `SETTLE` values of a feature, because features that keep moving make every
readout stale that is meant to remember. It opens again when three in four recent values lie beyond
the clip, as after a change of sensor or unit.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.state import (
    BEYOND,
    COUNT,
    HIGHEST,
    LOWEST,
    MEAN,
    SQUARES,
    STAT_ROWS,
)
from loco_stream.options import LARGEST

__all__ = [
    "CLIP",
    "encode_fields",
    "encode_intensities",
    "intensity",
    "measure",
    "scale",
    "update_statistics",
    "update_value",
]


CLIP = 3.0  # running standard deviations up to which the scale is linear
SETTLE = 300.0  # values after which mean and variance stand
# fading share of clipped values at which they move again: a concept that returns finds its old
# scale
REOPEN = 0.75
# The same for a regression's target: values are clipped there, and no code waits for them to
# return.
REOPEN_TARGET = 0.5
FADE = 0.02  # of that share

FIELD_RANGE = 2.5  # centres lie evenly on [-2.5, 2.5] standard deviations
FIELD_WIDTH = 0.75  # standard deviation of a field in units of their spacing
FIELD_THRESHOLD = 0.1  # activations below count as none
FIELD_REACH = FIELD_WIDTH * math.sqrt(
    -2.0 * math.log(FIELD_THRESHOLD)
)  # in units of the fields' spacing


@kernel
def _bounded(z):
    """Return a standardised value as the readout sees it: logarithmic beyond `CLIP`."""
    return z if abs(z) <= CLIP else math.copysign(CLIP + math.log(abs(z) / CLIP), z)


@kernel
def scale(x, n_features, statistics, scaled):
    """Write the standardised row into `scaled`; a masked or constant feature becomes 0.

    Beyond `CLIP` the scale is logarithmic: a fault that lies far out is told from one that does
    not, and no value is so large that it carries the readout away.
    """
    for f in range(n_features):
        value = np.float64(x[f])
        z = 0.0
        if abs(value) <= LARGEST and statistics[COUNT, f] > 0.0:
            variance = statistics[SQUARES, f] / statistics[COUNT, f]
            if variance > 0.0:
                z = (value - statistics[MEAN, f]) / math.sqrt(variance)
        scaled[f] = np.float32(_bounded(z))


@kernel
def _span(statistics, f):
    """Return the range of a feature in bounded standard deviations, 0 while it has had one value only."""
    if statistics[COUNT, f] == 0.0 or statistics[SQUARES, f] == 0.0:
        return 0.0
    deviation = math.sqrt(statistics[SQUARES, f] / statistics[COUNT, f])
    mean = statistics[MEAN, f]
    return _bounded((statistics[HIGHEST, f] - mean) / deviation) - _bounded(
        (statistics[LOWEST, f] - mean) / deviation
    )


@kernel
def measure(statistics, n_features, row, scaled, room):
    """Write which features of a row count, and how; return their number."""
    n = 0
    for f in range(n_features):
        span = _span(statistics, f) if abs(row[f]) <= LARGEST else 0.0
        if span > 0.0:
            room.columns[n] = f
            room.values[n] = scaled[f]
            room.scales[n] = np.float32(1.0 / span)
            n += 1
    return n


@kernel
def update_value(statistics, f, value, clipped, reopen):
    """Take a finite value into the statistics of feature `f`, unless they have settled.

    Mean and variance follow Welford (1962). `clipped` says whether `scale` had to clip it, and
    `reopen` which share of such values moves them again.
    """
    statistics[LOWEST, f] = min(statistics[LOWEST, f], value)
    statistics[HIGHEST, f] = max(statistics[HIGHEST, f], value)
    if statistics[COUNT, f] < SETTLE:
        statistics[COUNT, f] += 1.0
        delta = value - statistics[MEAN, f]
        statistics[MEAN, f] += delta / statistics[COUNT, f]
        statistics[SQUARES, f] += delta * (value - statistics[MEAN, f])
        return
    if statistics[SQUARES, f] == 0.0:  # constant so far: its first move sets the scale
        delta = value - statistics[MEAN, f]
        statistics[SQUARES, f] = statistics[COUNT, f] * delta * delta
        return
    statistics[BEYOND, f] += FADE * ((1.0 if clipped else 0.0) - statistics[BEYOND, f])
    if statistics[BEYOND, f] > reopen:
        _reopen(statistics, f, value)


@kernel
def update_statistics(x, n_features, statistics, scaled):
    """Take a row, `scaled` as `scale` wrote it, into the features' statistics.

    Return how many values were masked.
    """
    masked = 0
    for f in range(n_features):
        value = np.float64(x[f])
        if abs(value) <= LARGEST:
            update_value(statistics, f, value, abs(scaled[f]) >= CLIP, REOPEN)
        else:
            masked += 1
    return masked


@kernel
def _reopen(statistics, f, value):
    """Start the statistics of a feature anew at `value`."""
    for row in range(STAT_ROWS):
        statistics[row, f] = 0.0
    statistics[COUNT, f] = 1.0
    statistics[MEAN, f] = value
    statistics[LOWEST, f] = value
    statistics[HIGHEST, f] = value


@kernel
def encode_fields(x, scaled, n_features, n_fields, lines, rows):
    """Encode each feature by `n_fields` Gaussian receptive fields.

    Write `lines` and which are not 0; return how many.

    A line carries its field's activation, rescaled from [0.1, 1] to [0, 1]. Line f * n_fields + m
    is field m of feature f. All other lines must be 0 beforehand.
    """
    spacing = 2.0 * FIELD_RANGE / max(n_fields - 1, 1)
    n = np.int64(0)  # a literal 0 would be compiled for apart
    for f in range(n_features):
        if not abs(np.float64(x[f])) <= LARGEST:
            continue
        place = (min(max(np.float64(scaled[f]), -FIELD_RANGE), FIELD_RANGE) + FIELD_RANGE) / spacing
        first = max(0, math.ceil(place - FIELD_REACH))
        last = min(n_fields - 1, math.floor(place + FIELD_REACH))
        for m in range(first, last + 1):
            distance = (place - m) / FIELD_WIDTH
            strength = (math.exp(-0.5 * distance * distance) - FIELD_THRESHOLD) / (
                1.0 - FIELD_THRESHOLD
            )
            if strength > 0.0:
                line = f * n_fields + m
                lines[line] = np.float32(strength)
                rows[n] = line
                n += 1
    return n


@kernel
def intensity(value, statistics, f):
    """Return where a value lies in the running range of feature `f`, 0 to 1.

    0 where masked or constant so far.
    """
    span = statistics[HIGHEST, f] - statistics[LOWEST, f]
    if not abs(np.float64(value)) <= LARGEST or not span > 0.0 or statistics[COUNT, f] == 0.0:
        return 0.0
    return min(max((np.float64(value) - statistics[LOWEST, f]) / span, 0.0), 1.0)


@kernel
def encode_intensities(x, statistics, n_features, lines, rows):
    """Encode each feature by one line, its value within the running range.

    Otherwise as `encode_fields`.
    """
    n = np.int64(0)  # a literal 0 would be compiled for apart
    for f in range(n_features):
        strength = np.float32(intensity(x[f], statistics, f))
        if strength > np.float32(0.0):
            lines[f] = strength
            rows[n] = f
            n += 1
    return n
