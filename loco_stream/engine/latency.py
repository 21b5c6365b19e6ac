"""Latency quantiles in constant memory."""

from __future__ import annotations

import math

__all__ = ["LatencyHistogram"]

_STEPS = 16  # buckets an octave: a quantile is off by at most 2.2 %
_OCTAVES = 31  # from 0.1 us to 214 s
_FLOOR_US = 0.1


class LatencyHistogram:
    """Counts in logarithmic buckets, 16 an octave, from 0.1 us to three minutes.

    Examples
    --------
    >>> histogram = LatencyHistogram()
    >>> for us in (100, 100, 100, 900):
    ...     histogram.add(us * 1000)
    >>> round(histogram.quantile(0.5) / 100, 1), round(histogram.quantile(0.99) / 900, 1)
    (1.0, 1.0)
    """

    def __init__(self) -> None:
        self._counts = [0] * (_STEPS * _OCTAVES)
        self.n = 0
        self.total_us = 0.0

    def add(self, nanoseconds: int, n: int = 1) -> None:
        """Count n rows that each took so long."""
        us = nanoseconds / 1000
        bucket = int(math.log2(us / _FLOOR_US) * _STEPS) if us > _FLOOR_US else 0
        self._counts[min(bucket, len(self._counts) - 1)] += n
        self.n += n
        self.total_us += us * n

    def quantile(self, q: float) -> float:
        """Microseconds within which a share q of the rows stayed; NaN before the first row."""
        if not self.n:
            return math.nan
        rank, seen = q * self.n, 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return float(_FLOOR_US * 2 ** ((bucket + 0.5) / _STEPS))
        raise AssertionError("the counts add up to n")

    def cumulative(self) -> list[tuple[float, int]]:
        """Rows at or below 2, 4, 8, ... times 0.1 us: the buckets that Prometheus gets."""
        seen, rows = 0, []
        for octave in range(_OCTAVES):
            seen += sum(self._counts[octave * _STEPS : (octave + 1) * _STEPS])
            rows.append((_FLOOR_US * 2.0 ** (octave + 1), seen))
        return rows
