"""Quantiles of latency in constant memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

_STEPS = 16  # buckets per octave: a quantile is off by at most 2.2 %
_OCTAVES = 31  # from 0.1 us to 214 s
_FLOOR_US = 0.1
_MINUTE = 60.0  # seconds
_MARK_SECONDS = 5.0


class LatencyHistogram:
    """Counts in logarithmic buckets, 16 per octave, from 0.1 us to 214 s.

    counts: rows by bucket
    n: number of rows
    total_us, largest_us: sum and maximum of their latencies

    Examples
    --------
    >>> histogram = LatencyHistogram()
    >>> for us in (100, 100, 100, 900):
    ...     histogram.add(us * 1000)
    >>> round(histogram.quantile(0.5) / 100, 1), round(histogram.quantile(0.99) / 900, 1)
    (1.0, 1.0)
    """

    def __init__(self) -> None:
        self.counts = [0] * (_STEPS * _OCTAVES)
        self.n = 0
        self.total_us = 0.0
        self.largest_us = 0.0

    def add(self, nanoseconds: int, n: int = 1) -> None:
        """Count n rows with this latency each."""
        us = nanoseconds / 1000
        bucket = int(math.log2(us / _FLOOR_US) * _STEPS) if us > _FLOOR_US else 0
        self.counts[min(bucket, len(self.counts) - 1)] += n
        self.n += n
        self.total_us += us * n
        self.largest_us = max(self.largest_us, us)

    def quantile(self, q: float) -> float:
        """Return the q-quantile in microseconds; NaN before the first row."""
        return _quantile(self.counts, q)

    def cumulative(self) -> list[tuple[float, int]]:
        """Return the rows at or below 2, 4, 8, ... times 0.1 us, as Prometheus needs them."""
        seen = 0
        rows = []
        for octave in range(_OCTAVES):
            seen += sum(self.counts[octave * _STEPS : (octave + 1) * _STEPS])
            rows.append((_FLOOR_US * 2.0 ** (octave + 1), seen))
        return rows


class RecentLatency:
    """Quantiles of the last minute, to within five seconds.

    A reader of the quantiles copies the counts of the histogram now and then; rows cost nothing
    more.

    Examples
    --------
    >>> histogram = LatencyHistogram()
    >>> recent = RecentLatency(histogram)
    >>> for now, us in ((0.0, 100), (40.0, 100), (110.0, 900)):
    ...     histogram.add(us * 1000, 100)
    ...     last_minute = recent.look(now)
    >>> round(histogram.quantile(0.5) / 100, 1), round(last_minute["p50"] / 900, 1)
    (1.0, 1.0)
    """

    def __init__(self, histogram: LatencyHistogram) -> None:
        self._histogram = histogram
        self._marks = deque([(-math.inf, [0] * len(histogram.counts))])

    def look(self, now: float) -> dict[str, float]:
        """Return p50 and p99, us, of the rows in the minute before `now`; NaN without any."""
        marks = self._marks
        counts = self._histogram.counts
        while len(marks) > 1 and marks[1][0] <= now - _MINUTE:
            marks.popleft()
        recent = [n - before for n, before in zip(counts, marks[0][1], strict=True)]
        if now - marks[-1][0] >= _MARK_SECONDS:
            marks.append((now, counts.copy()))
        return {name: _quantile(recent, q) for name, q in (("p50", 0.5), ("p99", 0.99))}


def _quantile(counts: Sequence[int], q: float) -> float:
    rank = q * sum(counts)
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return float(_FLOOR_US * 2 ** ((bucket + 0.5) / _STEPS))
    return math.nan
