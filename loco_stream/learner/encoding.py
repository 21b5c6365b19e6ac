"""From a row of numbers to input spikes: running scaling that settles, clipping, latency code.

A masked value is NaN, infinite or beyond 1e30: it sends no spike, counts in no statistic and is 0 (the mean) for the
linear part of the readout.

Scaling settles after `SETTLE` values of a feature, because features that keep moving make every
readout stale that is meant to remember. It opens again when most recent values lie beyond the
clip, as after a change of sensor or unit.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.state import BEYOND, COUNT, HIGHEST, LOWEST, MEAN, N_SLOTS, SQUARES, STAT_ROWS

__all__ = ["CLIP", "encode_fields", "encode_lines", "intensity", "scale", "update_statistics", "update_value"]


CLIP = np.float32(3.0)  # in running standard deviations
LARGEST = 1e30  # whose square still is far from overflow
SETTLE = 300.0  # values after which mean and variance stand
REOPEN = 0.5  # fading share of clipped values at which they move again
FADE = 0.02  # of that share

FIELD_RANGE = 2.5  # centres lie evenly on [-2.5, 2.5] standard deviations
FIELD_WIDTH = 0.75  # standard deviation of a field in units of their spacing
FIELD_THRESHOLD = 0.1  # activations below send no spike
# The squared distance from a field's centre, in units of its width, where each slot ends: an activation is
# exp(-distance^2 / 2), and the slots divide [threshold, 1] evenly.
SLOT_ENDS = tuple(-2.0 * math.log(1.0 - (1.0 - FIELD_THRESHOLD) * (s + 1) / N_SLOTS) for s in range(N_SLOTS))


@kernel
def scale(x, n_features, statistics, scaled):
    """Write the standardised, clipped row into `scaled`; a masked or constant feature becomes 0."""
    for f in range(n_features):
        value = np.float64(x[f])
        z = 0.0
        if abs(value) <= LARGEST and statistics[COUNT, f] > 0.0:
            variance = statistics[SQUARES, f] / statistics[COUNT, f]
            if variance > 0.0:
                z = (value - statistics[MEAN, f]) / math.sqrt(variance)
        scaled[f] = min(max(np.float32(z), -CLIP), CLIP)


@kernel
def update_value(statistics, f, value, clipped):
    """Take a finite value into the statistics of feature `f`, unless they have settled.

    Mean and variance follow Welford (1962). `clipped` says whether `scale` had to clip it.
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
    if statistics[BEYOND, f] > REOPEN:
        _reopen(statistics, f, value)


@kernel
def update_statistics(x, n_features, statistics, scaled):
    """Take a row, `scaled` as `scale` wrote it, into the features' statistics; return how many values were masked."""
    masked = 0
    for f in range(n_features):
        value = np.float64(x[f])
        if abs(value) <= LARGEST:
            update_value(statistics, f, value, abs(scaled[f]) >= CLIP)
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
def _sort_slots(line_of, slot_of, n, window, ends, times, lines):
    """Order spikes by slot, then line, and turn slots into times in ms; return their number.

    `ends` (N_SLOTS,) is written: where the spikes of each slot end.
    """
    for s in range(N_SLOTS):
        ends[s] = 0
    for i in range(n):
        ends[slot_of[i]] += 1
    begin = 0
    for s in range(N_SLOTS):
        end = begin + ends[s]
        for k in range(begin, end):
            times[k] = np.float32(window * s / N_SLOTS)
        ends[s] = begin  # and moves on to the end as the spikes take their places
        begin = end
    for i in range(n):
        place = ends[slot_of[i]]
        lines[place] = line_of[i]
        ends[slot_of[i]] = place + 1
    return n


@kernel
def encode_fields(x, scaled, n_features, n_fields, window, line_of, slot_of, ends, times, lines):
    """Encode each feature by `n_fields` Gaussian receptive fields; return the number of spikes.

    A strong activation spikes early, at window * (1 - a'), with a' the activation rescaled from
    [0.1, 1] to [0, 1], in one of 10 slots. Line f * n_fields + m is field m of feature f.
    """
    spacing = 2.0 * FIELD_RANGE / max(n_fields - 1, 1)
    reach = FIELD_WIDTH * math.sqrt(SLOT_ENDS[N_SLOTS - 1])
    n = np.int64(0)  # a literal 0 would be compiled for apart
    for f in range(n_features):
        if not abs(np.float64(x[f])) <= LARGEST:
            continue
        place = (min(max(np.float64(scaled[f]), -FIELD_RANGE), FIELD_RANGE) + FIELD_RANGE) / spacing
        first = max(0, math.ceil(place - reach))
        last = min(n_fields - 1, math.floor(place + reach))
        for m in range(first, last + 1):
            distance = (place - m) / FIELD_WIDTH
            slot = 0
            for end in SLOT_ENDS:
                slot += distance * distance >= end
            if slot < N_SLOTS:
                line_of[n] = f * n_fields + m
                slot_of[n] = slot
                n += 1
    return _sort_slots(line_of, slot_of, n, window, ends, times, lines)


@kernel
def intensity(value, statistics, f):
    """Return where a value lies in the running range of feature `f`, 0 to 1; 0 where masked or constant so far."""
    span = statistics[HIGHEST, f] - statistics[LOWEST, f]
    if not abs(np.float64(value)) <= LARGEST or not span > 0.0 or statistics[COUNT, f] == 0.0:
        return 0.0
    return min(max((np.float64(value) - statistics[LOWEST, f]) / span, 0.0), 1.0)


@kernel
def encode_lines(x, statistics, n_features, threshold, window, line_of, slot_of, ends, times, lines):
    """Encode each feature by one line: intensity is the value within the running range; return the spikes."""
    n = np.int64(0)  # a literal 0 would be compiled for apart
    for f in range(n_features):
        strength = intensity(x[f], statistics, f)
        if strength > threshold:
            line_of[n] = f
            slot_of[n] = min(int((1.0 - strength) / (1.0 - threshold) * N_SLOTS), N_SLOTS - 1)
            n += 1
    return _sort_slots(line_of, slot_of, n, window, ends, times, lines)
