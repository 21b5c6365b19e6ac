"""A curve over a stream of any length in a bounded number of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from loco_stream.metrics.scores._definition import State

Point: TypeAlias = Sequence[Any]  # begins with its position in the stream


class Curve:
    """Points over the stream, one per `stride` rows; the stride doubles when there are too many.

    A point stands for the rows since the one before, so that the first and the newest point are
    always kept.

    `most`: largest number of points.

    Examples
    --------
    >>> curve = Curve(most=4)
    >>> for n in range(6):
    ...     curve.add([n, 0.5])
    >>> curve.stride, curve.points
    (2, [[0, 0.5], [2, 0.5], [4, 0.5], [5, 0.5]])
    """

    def __init__(self, most: int = 512) -> None:
        self.stride = 1
        self.points: list[Point] = []
        self._most = most

    def add(self, point: Point) -> None:
        """Add a point; positions never decrease."""
        self._put(self.points, point)
        while len(self.points) > self._most:
            self.stride *= 2
            kept: list[Point] = []
            for old in self.points:
                self._put(kept, old)
            self.points = kept

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the points as columns, with a name for each."""
        columns = zip(*self.points, strict=True) if self.points else ([] for _ in names)
        return {name: list(column) for name, column in zip(names, columns, strict=True)}

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {"stride": self.stride, "points": [list(point) for point in self.points]}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self.stride = state["stride"]
        self.points = [tuple(point) for point in state["points"]]

    def _put(self, points: list[Point], point: Point) -> None:
        if points and self._stretch(points[-1]) >= self._stretch(point):
            points[-1] = point
        else:
            points.append(point)

    def _stretch(self, point: Point) -> int:
        # stretches of rows end at multiples of the stride
        return -(-int(point[0]) // self.stride)
