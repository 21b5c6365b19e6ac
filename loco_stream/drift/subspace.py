"""The compiled part of the input detector: one pass over one input vector."""

from __future__ import annotations

import math

from loco_stream._compiler.jit import entry, kernel

__all__ = ["CLIP", "HORIZON", "RESTART", "SCORE_SIZE", "WARM_UP", "observe"]

# samples in the running statistics: long against the delay of an alarm, short against a season
HORIZON = 1000.0
WARM_UP = 100  # samples before the statistics are good enough to alarm
# effective samples kept at a restart, so that the new inputs take over within about a hundred
RESTART = 20.0
CLIP = 3.0  # standard deviations; one outlier must not make an alarm
SCORE_SIZE = 6
_OUTLIER = 4.0  # standard deviations at which a feature is cut
_FLOOR = 1e-3  # energy a dimension below which all inputs look the same
_REFRESH = (
    16  # wide inputs renew one in 16 standard deviations a sample: square roots are what costs
)


@entry
def observe(
    x, mean, variance, inverse, buckets, signs, folded, rest, components, lengths, score, pace
):  # type: ignore[no-untyped-def]
    """Update every running statistic with `x` and return the innovation of the log energy outside, in deviations.

    `score` is (samples since restart; mean, variance and lag-one correlation of the log energy; its
    last standardised value; effective samples in the input statistics). `pace` scales all rates.
    All arrays are changed in place.
    """
    score[5] += 1.0
    rate = max(1.0 / score[5], 1.0 / HORIZON) * pace
    _standardise(x, mean, variance, inverse, buckets, signs, folded, rate, score[5])
    energy = _outside(folded, rest, components, lengths, rate)
    return _innovation(math.log(energy / rest.size + _FLOOR), score, pace)


@kernel
def _fill(array, value):  # type: ignore[no-untyped-def]
    for j in range(array.size):  # an assignment to a slice may raise, which kernels cannot
        array[j] = value


@kernel
def _standardise(x, mean, variance, inverse, buckets, signs, folded, rate, n):  # type: ignore[no-untyped-def]
    """Fill `folded` with the standardised input, folded if it is wide.

    Missing values count as average.
    """
    wide = x.size > folded.size
    if wide:
        _fill(folded, 0.0)
    for j in range(x.size):
        deviation = x[j] - mean[j]
        if abs(deviation) < math.inf:  # neither NaN nor infinite
            value = min(_OUTLIER, max(-_OUTLIER, deviation * inverse[j]))
            mean[j] += rate * deviation
            variance[j] += rate * ((1.0 - rate) * deviation * deviation - variance[j])
        else:
            value = 0.0
        if wide:
            folded[buckets[j]] += signs[j] * value
        else:
            folded[j] = value
    step = _REFRESH if wide and n > 2 * _REFRESH else 1
    for j in range(int(n) % step, x.size, step):
        inverse[j] = 1.0 / math.sqrt(variance[j]) if variance[j] > 1e-24 else 0.0


@kernel
def _outside(folded, rest, components, lengths, rate):  # type: ignore[no-untyped-def]
    """Let the components follow `folded` (CCIPCA) and return the energy that they leave, kept in `rest`."""
    width = rest.size
    for j in range(width):
        rest[j] = folded[j]
    for i in range(len(components)):
        component = components[i]
        dot = 0.0
        for j in range(width):
            dot += component[j] * rest[j]
        if lengths[i] < 1e-12:  # not met yet: starts in the direction of what is left
            length = 0.0
            for j in range(width):
                component[j] = rest[j]
                length += rest[j] * rest[j]
            lengths[i] = math.sqrt(length)
            _fill(rest, 0.0)
            break
        along = dot / lengths[i]
        scale = along / lengths[i]
        length = 0.0
        for j in range(width):
            before = component[j]
            component[j] = (1.0 - rate) * before + rate * along * rest[j]
            rest[j] -= scale * before
            length += component[j] * component[j]
        lengths[i] = math.sqrt(length)
    energy = 0.0
    for j in range(width):
        energy += rest[j] * rest[j]
    return energy


@kernel
def _innovation(level, score, pace):  # type: ignore[no-untyped-def]
    """Standardise `level`, take out what the value before predicts, and update the running statistics of both."""
    score[0] += 1.0
    rate = max(1.0 / score[0], 1.0 / HORIZON) * pace
    deviation = math.sqrt(score[2])
    change = level - score[1]
    standard = min(CLIP, max(-CLIP, change / (deviation + 1e-6)))
    correlation = min(0.98, max(0.0, score[3]))
    innovation = (standard - correlation * score[4]) / math.sqrt(1.0 - correlation * correlation)
    if score[0] > WARM_UP / 2:
        change = standard * (deviation + 1e-6)
    score[1] += rate * change
    score[2] += rate * ((1.0 - rate) * change * change - score[2])
    if score[0] > 2.0:
        score[3] += rate * (standard * score[4] - score[3])
    score[4] = standard
    return innovation
