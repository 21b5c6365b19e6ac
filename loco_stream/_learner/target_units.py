"""Targets of a regression: from their units to the readout's, standard deviations, and back."""

import math

from loco_stream._compiler.jit import kernel

TARGET_CLIP = 8.0  # standardised targets beyond are clipped
RANGE_MARGIN = 0.25  # of the target's range: how far beyond it a prediction may go


@kernel
def deviation_of(statistics, j):
    """Return the standard deviation of target `j`, 0 before its second value; see `value_of`."""
    return math.sqrt(statistics.squares[j] / max(statistics.n_values[j], 1.0))


@kernel
def value_of(statistics, j, score):
    """Return an output in the units of target `j`, within its range and a margin.

    Parameters
    ----------
    statistics
        `TargetStatistics`, or those of several targets.
    j
        int64: position of the target.
    score
        float64: the output, in standard deviations.
    """
    if statistics.n_values[j] == 0.0:
        return 0.0
    margin = RANGE_MARGIN * (statistics.highest[j] - statistics.lowest[j])
    value = statistics.mean[j] + deviation_of(statistics, j) * score
    if not math.isfinite(value):
        return statistics.mean[j]
    return min(max(value, statistics.lowest[j] - margin), statistics.highest[j] + margin)


@kernel
def output_bounds(statistics, j):
    """Return the lowest and highest output of target `j` by which `value_of` moves, float64."""
    if statistics.n_values[j] == 0.0 or not statistics.squares[j] > 0.0:
        return 0.0, 0.0
    deviation = deviation_of(statistics, j)
    margin = RANGE_MARGIN * (statistics.highest[j] - statistics.lowest[j])
    lowest = (statistics.lowest[j] - margin - statistics.mean[j]) / deviation
    highest = (statistics.highest[j] + margin - statistics.mean[j]) / deviation
    return lowest, highest


@kernel
def in_deviations(statistics, j, value):
    """Return a value (float64) of target `j` in its standard deviations, 0 if it does not vary."""
    deviation = deviation_of(statistics, j)
    return (value - statistics.mean[j]) / deviation if deviation > 0.0 else 0.0


@kernel
def clipped(z):
    """Return a standardised target (float64) as it is learned."""
    return min(max(z, -TARGET_CLIP), TARGET_CLIP)


@kernel
def standardised(statistics, j, value):
    """Return a value (float64) of target `j` in its standard deviations, as it is learned."""
    return clipped(in_deviations(statistics, j, value))
