"""Running mean and variance of a feature, of which a single value can set neither."""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._fillers import is_filler
from loco_stream._numbers import LARGEST

# Squared deviations, in variances, at which a value enters clipped. Of a feature that is mostly
# constant, one value in a hundred still keeps its scale.
FARTHEST = 100.0
NO_VARIANCE = 1e-24  # at most: the feature is constant


@kernel
def is_missing(value, mean, variance):  # type: ignore[no-untyped-def]
    """Return whether a value is NaN, beyond `LARGEST`, or a customary filler that stands apart.

    All parameters are float64; mean and variance are those of the values before.
    """
    if not abs(value) <= LARGEST:
        return True
    deviation = value - mean
    return deviation * deviation > FARTHEST * variance and is_filler(value)


@kernel
def follow(deviation, variance, rate):  # type: ignore[no-untyped-def]
    """Return the step of a running mean, and the new variance, after a deviation from the mean.

    The deviation enters clipped, but not that from a constant. A change of level or scale is still
    followed within rows, since each of them multiplies the variance. All are float64.
    """
    squared = deviation * deviation
    if squared > FARTHEST * variance and variance > NO_VARIANCE:
        squared = FARTHEST * variance
        deviation = math.copysign(math.sqrt(squared), deviation)
    return rate * deviation, variance + rate * ((1.0 - rate) * squared - variance)
