"""From a row of numbers to channels: running scales that settle, and graded receptive fields.

A channel carries a number from 0 to 1, a constant current for the whole window. A masked value is
NaN, infinite or beyond 1e30: its channels are 0, it counts in no statistic, and it is 0 (the mean)
for the linear part of the readout.

A scale settles after `SETTLE` values of a feature, because features that keep moving make every
readout stale that is meant to remember. Values that stand apart do not enter it. It is learned
again from the last values when three in four of them lie beyond the clip, as after a change of
sensor or unit, or when it has been far too wide for them for long. The scale before is kept, and
comes back with its values: what was learned under it holds again.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner import scale_guard
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, PerFeature, axes
from loco_stream._numbers import LARGEST

CLIP = 3.0  # standard deviations up to which the scale is linear
TAIL = 1.0  # what the logarithm beyond is multiplied by
REGRESSION_TAIL = CLIP  # the same of a regression: the slope at the clip does not jump
SETTLE = 300.0  # values after which mean and variance are fixed
REOPEN = (
    0.75  # fading share of clipped values at which they move again; a returning concept keeps them
)
REOPEN_TARGET = 0.5  # the same for a regression's target, which is clipped and has no code to keep
RATE = 0.02  # of that share
WIDE_BLOCKS = 6.0  # blocks in a row for which a scale is too wide, before it is replaced

FIELD_RANGE = 2.5  # centres lie evenly on [-2.5, 2.5] standard deviations
FIELD_WIDTH = 0.75  # standard deviation of a field in units of their spacing
FIELD_THRESHOLD = 0.1  # activations below count as none
FIELD_REACH = FIELD_WIDTH * math.sqrt(-2.0 * math.log(FIELD_THRESHOLD))  # in units of the spacing


class FeatureStatistics(NamedTuple):
    """Running statistics of each feature.

    n_values, mean, squares: values, their mean, and the sum of squared deviations (Welford 1962)
    lowest, highest: range
    beyond: fading share of values beyond the clip
    """

    n_values: PerFeature
    mean: PerFeature
    squares: Annotated[Float64, axes("features", within=NOT_NEGATIVE)]
    lowest: Annotated[Float64, axes("features", start=np.inf)]
    highest: Annotated[Float64, axes("features", start=-np.inf)]
    beyond: PerFeature


class KeptScales(NamedTuple):
    """Scales that were replaced, and how long the present ones have been too wide.

    n_values, mean, squares, lowest, highest: as in `FeatureStatistics`; no values: none is kept
    n_wide: blocks in a row for which the present scale is too wide
    """

    n_values: PerFeature
    mean: PerFeature
    squares: Annotated[Float64, axes("features", within=NOT_NEGATIVE)]
    lowest: Annotated[Float64, axes("features", start=np.inf)]
    highest: Annotated[Float64, axes("features", start=-np.inf)]
    n_wide: PerFeature


class TargetStatistics(NamedTuple):
    """The same of a regression's target.

    first: the values that a new scale is of, until there are `scale_guard.BLOCK`
    """

    n_values: Annotated[Float64, axes(1)]
    mean: Annotated[Float64, axes(1)]
    squares: Annotated[Float64, axes(1, within=NOT_NEGATIVE)]
    lowest: Annotated[Float64, axes(1, start=np.inf)]
    highest: Annotated[Float64, axes(1, start=-np.inf)]
    beyond: Annotated[Float64, axes(1)]
    first: Annotated[Float64, axes(scale_guard.BLOCK, 1)]


@kernel
def bounded(z, tail):
    """Return a standardised value (float64) as the readout sees it: logarithmic beyond `CLIP`.

    `tail` (float64) is what the logarithm is multiplied by.
    """
    return z if abs(z) <= CLIP else math.copysign(CLIP + tail * math.log(abs(z) / CLIP), z)


@kernel
def scale(x, n_features, statistics, tail, scaled):
    """Write the standardised row; a masked or constant feature becomes 0.

    Beyond `CLIP` the scale is logarithmic: a fault that lies far out differs from one that does
    not, and no value is so large that it dominates the readout. Targets often grow with a feature
    as far as it reaches, classes hardly: so the tail of a regression is longer.

    Parameters
    ----------
    x
        (n_features or more,) float64.
    n_features
        int64.
    statistics
        `FeatureStatistics`.
    tail
        As in `bounded`.
    scaled
        (n_features or more,) float32, written.
    """
    for f in range(n_features):
        value = x[f]
        z = 0.0
        if abs(value) <= LARGEST and statistics.n_values[f] > 0.0:
            variance = statistics.squares[f] / statistics.n_values[f]
            if variance > 0.0:
                z = (value - statistics.mean[f]) / math.sqrt(variance)
        scaled[f] = bounded(z, tail)


@kernel
def bounded_range(statistics, f):
    """Return the range of feature `f` (int64) in bounded standard deviations; 0 for one value."""
    if statistics.n_values[f] == 0.0 or statistics.squares[f] == 0.0:
        return 0.0
    deviation = math.sqrt(statistics.squares[f] / statistics.n_values[f])
    mean = statistics.mean[f]
    highest = bounded((statistics.highest[f] - mean) / deviation, TAIL)
    return highest - bounded((statistics.lowest[f] - mean) / deviation, TAIL)


@kernel
def update_value(statistics, f, value, clipped, reopen):
    """Take a finite value into the statistics of a target, unless they have settled.

    Return whether they were learned anew without first values that stand apart: residuals so far
    are then those of a wrong scale.

    Parameters
    ----------
    statistics
        `TargetStatistics`.
    f
        int64.
    value
        float64.
    clipped
        bool: `scale` had to clip it.
    reopen
        float64: share of clipped values at which the statistics move again.
    """
    has_settled = statistics.n_values[f] >= SETTLE and statistics.squares[f] != 0.0
    n_before = np.int64(statistics.n_values[f])
    _take(statistics, f, value)
    if n_before < scale_guard.BLOCK:
        statistics.first[n_before, f] = value
        return n_before + 1 == scale_guard.BLOCK and _leave_out_apart(statistics, f)
    if has_settled:
        statistics.beyond[f] += RATE * ((1.0 if clipped else 0.0) - statistics.beyond[f])
        if statistics.beyond[f] > reopen:
            _restart(statistics, f, value)
            statistics.first[0, f] = value
    return False


@kernel
def _leave_out_apart(statistics, f):
    """Learn the statistics of a target anew if some of its first values stand apart.

    Return whether some do. The others stay the first ones of the next block.
    """
    first = statistics.first
    low, high = scale_guard.expected_range(first, scale_guard.BLOCK, f)
    n_kept = 0
    for i in range(scale_guard.BLOCK):
        if low <= first[i, f] <= high:
            first[n_kept, f] = first[i, f]
            n_kept += 1
    if n_kept == scale_guard.BLOCK:
        return False
    _restart(statistics, f, first[0, f])
    for i in range(1, n_kept):
        _take(statistics, f, first[i, f])
    return True


@kernel
def update_features(state, scratch):
    """Take the row in scratch into the features' statistics; return how many were missing."""
    guard = state.scale_guard
    missing = 0
    for f in range(state.counts.n_features):
        value = scratch.given[f]
        if scale_guard.is_missing(guard, f, value):
            missing += 1
            if abs(value) <= LARGEST:
                guard.n_fillers[f] += 1.0
        else:
            _update_feature(state, f, value, abs(scratch.scaled[f]) >= CLIP)
    return missing


@kernel
def _update_feature(state, f, value, clipped):
    """Take a value that is not missing into the statistics of a feature, and judge its scale."""
    statistics = state.statistics
    guard = state.scale_guard
    n_before = statistics.n_values[f]
    if not scale_guard.is_apart(guard, f, value):
        _take(statistics, f, value)
    ended = scale_guard.put(guard, f, value)
    if n_before >= SETTLE and statistics.squares[f] > 0.0:
        statistics.beyond[f] += RATE * ((1.0 if clipped else 0.0) - statistics.beyond[f])
        if statistics.beyond[f] > REOPEN:
            statistics.beyond[f] = 0.0
            if scale_guard.end_block(guard, f):
                _reopen(state, f, value)
            return
    if ended and scale_guard.end_block(guard, f):
        _judge_scale(state, f)


@kernel
def _take(statistics, f, value):
    """Take a value into mean and range of a feature, into the mean unless it has settled."""
    statistics.lowest[f] = min(statistics.lowest[f], value)
    statistics.highest[f] = max(statistics.highest[f], value)
    delta = value - statistics.mean[f]
    if statistics.n_values[f] < SETTLE:
        statistics.n_values[f] += 1.0
        statistics.mean[f] += delta / statistics.n_values[f]
        statistics.squares[f] += delta * (value - statistics.mean[f])
    elif statistics.squares[f] == 0.0:  # constant so far: its first move sets the scale
        statistics.squares[f] = statistics.n_values[f] * delta * delta


@kernel
def _judge_scale(state, f):
    """Compare a scale with the block that has ended, and replace it if it has to be."""
    statistics = state.statistics
    guard = state.scale_guard
    kept = state.kept_scales
    is_first = guard.n_recent[f] == scale_guard.BLOCK
    if is_first and statistics.n_values[f] == scale_guard.BLOCK:
        moments = scale_guard.block_moments(guard, f)
        if moments[0] < scale_guard.BLOCK:  # something stood apart when nothing was known
            _start_from(statistics, f, moments)
        return
    deviation = math.sqrt(statistics.squares[f] / statistics.n_values[f])
    verdict = scale_guard.judge(guard, f, statistics.mean[f], deviation)
    if verdict != scale_guard.TOO_WIDE:
        kept.n_wide[f] = 0.0
    else:
        kept.n_wide[f] += 1.0
    if verdict != scale_guard.SOUND and _fits_kept(guard, kept, f):
        _swap_with_kept(statistics, f, kept)
    elif kept.n_wide[f] >= WIDE_BLOCKS:
        _swap_with_kept(statistics, f, kept)
        _start_from(statistics, f, scale_guard.block_moments(guard, f))


@kernel
def _fits_kept(guard, kept, f):
    """Return whether the kept scale of feature `f` (int64) is sound for the block judged last."""
    if kept.n_values[f] == 0.0:
        return False
    deviation = math.sqrt(kept.squares[f] / kept.n_values[f])
    return scale_guard.judge(guard, f, kept.mean[f], deviation) == scale_guard.SOUND


@kernel
def _reopen(state, f, value):
    """Keep the scale of a feature, and go on with the kept one, or start anew at a value."""
    fits = _fits_kept(state.scale_guard, state.kept_scales, f)
    _swap_with_kept(state.statistics, f, state.kept_scales)
    if not fits:
        _restart(state.statistics, f, value)


@kernel
def _swap_with_kept(statistics, f, kept):
    """Exchange the scale of feature `f` (int64) with the kept one."""
    for a, b in (
        (statistics.n_values, kept.n_values),
        (statistics.mean, kept.mean),
        (statistics.squares, kept.squares),
        (statistics.lowest, kept.lowest),
        (statistics.highest, kept.highest),
    ):
        value = a[f]
        a[f] = b[f]
        b[f] = value
    kept.n_wide[f] = 0.0
    statistics.beyond[f] = 0.0


@kernel
def _start_from(statistics, f, moments):
    """Start the statistics of a feature anew from five moments; see `block_moments`."""
    n, mean, squares, lowest, highest = moments
    statistics.n_values[f] = n
    statistics.mean[f] = mean
    statistics.squares[f] = squares
    statistics.lowest[f] = lowest
    statistics.highest[f] = highest
    statistics.beyond[f] = 0.0


@kernel
def without_fillers(x, n_features, guard, row):
    """Write a row with NaN for fillers that stand apart.

    Parameters
    ----------
    x
        (n_features or more,) float64.
    n_features
        int64.
    guard
        `ScaleGuard`.
    row
        (n_features or more,) float64, written.
    """
    for f in range(n_features):
        value = x[f]
        row[f] = np.nan if scale_guard.is_missing(guard, f, value) else value


@kernel
def _restart(statistics, f, value):
    """Start the statistics of a feature anew at `value`."""
    _start_from(statistics, f, (1.0, value, 0.0, value, value))


@kernel
def encode_fields(x, scaled, n_features, n_fields, is_text, channels, rows):
    """Encode each feature by Gaussian receptive fields; return how many channels are not 0.

    A channel carries its field's activation, rescaled from [0.1, 1] to [0, 1]. Channel
    f * n_fields + m is field m of feature f, where texts are left out of the count.

    Parameters
    ----------
    x
        (n_features or more,) float64.
    scaled
        (n_features or more,) float32.
    n_features, n_fields
        int64.
    is_text
        (n_features or more,) int64: which features are texts, see `loco_stream._learner.texts`.
    channels
        (n_features * n_fields or more,) float32, all 0 beforehand; written.
    rows
        int32, written: which channels are not 0, ascending.
    """
    spacing = 2.0 * FIELD_RANGE / max(n_fields - 1, 1)
    n = np.int64(0)  # a literal 0 would be compiled separately
    first_channel = np.int64(-n_fields)
    for f in range(n_features):
        if is_text[f] != 0:
            continue
        first_channel += n_fields
        if not abs(x[f]) <= LARGEST:
            continue
        place = (min(max(np.float64(scaled[f]), -FIELD_RANGE), FIELD_RANGE) + FIELD_RANGE) / spacing
        first = max(0, math.ceil(place - FIELD_REACH))
        last = min(n_fields - 1, math.floor(place + FIELD_REACH))
        for m in range(first, last + 1):
            distance = (place - m) / FIELD_WIDTH
            above = math.exp(-0.5 * distance * distance) - FIELD_THRESHOLD
            strength = above / (1.0 - FIELD_THRESHOLD)
            if strength > 0.0:
                channel = first_channel + m
                channels[channel] = strength
                rows[n] = channel
                n += 1
    return n


@kernel
def intensity(value, statistics, f):
    """Return where a value lies in the running range of feature `f`, 0 to 1.

    It is 0 where the value is masked, or was constant so far.
    """
    span = statistics.highest[f] - statistics.lowest[f]
    if not abs(value) <= LARGEST or not span > 0.0 or statistics.n_values[f] == 0.0:
        return 0.0
    return min(max((value - statistics.lowest[f]) / span, 0.0), 1.0)


@kernel
def encode_intensities(x, statistics, n_features, channels, rows):
    """Encode each feature as its position in the running range; see `encode_fields`."""
    n = np.int64(0)  # a literal 0 would be compiled separately
    for f in range(n_features):
        strength = np.float32(intensity(x[f], statistics, f))
        if strength > 0.0:
            channels[f] = strength
            rows[n] = f
            n += 1
    return n
