"""Covers: a bounded set of points such that everything seen lies within a radius of one of them.

A point is added if no kept point lies within the radius. When the cover is full, the radius grows
to the lower quartile of the distances between neighbors, and points nearer than that merge. Points
on a line are kept in order, so that the nearest one takes a binary search.
"""

import math

from loco_stream._compiler.jit import kernel

GROWTH = 1.0 + 1e-7  # of the radius: points at exactly the quartile merge too
FAR = 1e300


@kernel
def position(points, size, value):
    """Return how many of the first `size` sorted points lie below `value`.

    Parameters
    ----------
    points
        (capacity,) float64, sorted up to `size`.
    size
        int64.
    value
        float64.
    """
    low = 0
    high = size
    while low < high:
        middle = (low + high) // 2
        if points[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def nearest_on_line(points, size, value):
    """Return the distance of `value` to the nearest point, 0 without points; see `position`."""
    if size == 0:
        return 0.0
    after = position(points, size, value)
    best = FAR
    if after < size:
        best = points[after] - value
    if after > 0:
        best = min(best, value - points[after - 1])
    return best


@kernel
def insert(points, size, value):
    """Insert `value` into sorted points; there must be room for it."""
    place = position(points, size, value)
    for j in range(size, place, -1):
        points[j] = points[j - 1]
    points[place] = value


@kernel
def _lower_quartile(gaps, size):
    """Return the lower quartile of the first `size` gaps, which are sorted in place."""
    for i in range(1, size):
        gap = gaps[i]
        j = i
        while j > 0 and gaps[j - 1] > gap:
            gaps[j] = gaps[j - 1]
            j -= 1
        gaps[j] = gap
    return gaps[size // 4]


@kernel
def _merge_line(points, radius, gaps):
    """Grow the radius of a full cover and merge its points; return their number."""
    size = len(points)
    for i in range(size):
        gap = FAR
        if i > 0:
            gap = points[i] - points[i - 1]
        if i + 1 < size:
            gap = min(gap, points[i + 1] - points[i])
        gaps[i] = gap
    radius[0] = max(radius[0], _lower_quartile(gaps, size)) * GROWTH
    kept = 1
    for i in range(1, size):
        if points[i] - points[kept - 1] > radius[0]:
            points[kept] = points[i]
            kept += 1
    return kept


@kernel
def learn_line(points, size, radius, value, distance, gaps):
    """Learn a value that lies `distance` from the cover; return the number of points.

    Parameters
    ----------
    points
        (capacity,) float64, sorted up to `size`.
    size
        int64.
    radius
        (1,) float64, of the cover.
    value, distance
        float64.
    gaps
        (capacity,) float64, overwritten.
    """
    if size > 0 and distance <= radius[0]:
        return size
    while size == len(points):
        size = _merge_line(points, radius, gaps)
    insert(points, size, value)
    return size + 1


@kernel
def nearest_on_plane(points, size, x, y):
    """Return the distance of (x, y) to the nearest point, 0 without points.

    Parameters
    ----------
    points
        (2, capacity) float64.
    size
        int64.
    x, y
        float64.
    """
    if size == 0:
        return 0.0
    best = FAR
    for j in range(size):
        dx = points[0, j] - x
        dy = points[1, j] - y
        best = min(best, dx * dx + dy * dy)
    return math.sqrt(best)


@kernel
def _merge_plane(points, radius, gaps):
    """Grow the radius of a full cover and merge its points; return their number."""
    size = points.shape[1]
    for i in range(size):
        x = points[0, i]
        points[0, i] = FAR**0.5  # not its own neighbor
        gaps[i] = nearest_on_plane(points, size, x, points[1, i])
        points[0, i] = x
    radius[0] = max(radius[0], _lower_quartile(gaps, size)) * GROWTH
    kept = 1
    for i in range(1, size):
        x = points[0, i]
        y = points[1, i]
        if nearest_on_plane(points, kept, x, y) > radius[0]:
            points[0, kept] = x
            points[1, kept] = y
            kept += 1
    return kept


@kernel
def learn_plane(points, size, radius, x, y, distance, gaps):
    """Learn a point that lies `distance` from the cover; return the number of points.

    See `learn_line` and `nearest_on_plane` for the parameters.
    """
    if size > 0 and distance <= radius[0]:
        return size
    while size == points.shape[1]:
        size = _merge_plane(points, radius, gaps)
    points[0, size] = x
    points[1, size] = y
    return size + 1
