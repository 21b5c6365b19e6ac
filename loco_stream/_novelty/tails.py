"""Tails: how improbable a distance is, from the largest distances so far.

The 200 largest are kept. Beyond the k-th largest the tail is exponential (peaks over threshold,
Pickands 1975), where k is 2 % of the distances, at least 8. Its mean m is known from k excesses
only. With a prior in proportion to 1/m, the probability of an excess of at least z is

    (1 + z / (k m)) ** -k

(a Lomax distribution), which is much larger than exp(-z / m) where k is small: in the first
hundreds of rows no distance is as improbable as it looks.
"""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._novelty.covers import insert

SHARE = 0.02  # of the distances, to which the tail is fitted
FEWEST = 8
MIN_DISTANCES = 30  # before, every score is 0
MOST = 30.0  # largest score: a smaller probability than 1e-30 is no measurement

SIZE = 0  # columns of the figures of a tail
COUNT = 1
THRESHOLD = 2
EXCESS = 3
LEVEL = 4
N_FIGURES = 5


@kernel
def _share(count, size):
    """Return to how many of the largest distances the tail is fitted."""
    return min(max(FEWEST, int(SHARE * count)), size)


@kernel
def tail_score(tail, distance):
    """Return -log10 of the probability of a distance at least as large, from 0 to `MOST`.

    Parameters
    ----------
    tail
        (N_FIGURES,) float64: how many distances are kept and were seen, threshold, mean excess, and
        the score of the threshold.
    distance
        float64.
    """
    if tail[COUNT] < MIN_DISTANCES:
        return 0.0
    threshold = tail[THRESHOLD]
    level = tail[LEVEL]
    if distance > threshold:
        if tail[EXCESS] <= 0.0:
            return MOST
        k = _share(tail[COUNT], int(tail[SIZE]))
        beyond = k * math.log10(1.0 + (distance - threshold) / (k * tail[EXCESS]))
        return min(level + beyond, MOST)
    return level * distance / threshold if threshold > 0.0 else 0.0


@kernel
def learn_distance(largest, tail, distance):
    """Learn a distance.

    Parameters
    ----------
    largest
        (capacity,) float64, the largest distances, sorted.
    tail
        (N_FIGURES,) float64, see `tail_score`.
    distance
        float64.
    """
    size = int(tail[SIZE])
    before = _share(tail[COUNT], size)
    tail[COUNT] += 1.0
    changed = True
    if size < len(largest):
        insert(largest, size, distance)
        size += 1
        tail[SIZE] = size
    elif distance > largest[0]:
        for j in range(1, size):
            largest[j - 1] = largest[j]
        insert(largest, size - 1, distance)
    else:
        changed = False
    k = _share(tail[COUNT], size)
    if changed or k != before:
        _fit(largest, tail, size, k)
    tail[LEVEL] = math.log10((tail[COUNT] + 1.0) / (k + 1.0))


@kernel
def _fit(largest, tail, size, k):
    """Set threshold and mean excess by the `k` largest of `size` distances."""
    threshold = largest[size - k]
    total = 0.0
    for j in range(size - k, size):
        total += largest[j] - threshold
    tail[THRESHOLD] = threshold
    tail[EXCESS] = total / k
