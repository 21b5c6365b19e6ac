"""The course of the scores over a stream of any length, in a bounded number of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["Course"]


class Course:
    """Points over the stream, one for every `stride` samples.

    The stride doubles whenever there are too many.

    The newest point of a stretch stands for it, so that the beginning and the end are always there.

    Parameters
    ----------
    most
        Points kept.

    Examples
    --------
    >>> course = Course(most=4)
    >>> for n in range(6):
    ...     course.add([n, 0.5])
    >>> course.stride, course.points
    (2, [[0, 0.5], [2, 0.5], [4, 0.5], [5, 0.5]])
    """

    def __init__(self, most: int = 512) -> None:
        self.stride = 1
        self.points: list[Sequence[Any]] = []
        self._most = most

    def add(self, point: Sequence[Any]) -> None:
        """Add a point, which begins with its place in the stream; places never go back."""
        self._put(self.points, point)
        while len(self.points) > self._most:
            self.stride *= 2
            kept: list[Sequence[Any]] = []
            for old in self.points:
                self._put(kept, old)
            self.points = kept

    def _put(self, points: list[Sequence[Any]], point: Sequence[Any]) -> None:
        if points and self._stretch(points[-1]) >= self._stretch(point):
            points[-1] = point
        else:
            points.append(point)

    def _stretch(self, point: Sequence[Any]) -> int:
        """Return the number of the stretch a point lies in.

        Those end at the multiples of the stride.
        """
        return -(-int(point[0]) // self.stride)
