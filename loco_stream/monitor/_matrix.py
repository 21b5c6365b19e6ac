"""The accuracy matrix of a running stream, and its measures with standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._persistence.content import Config
from loco_stream.metrics import average_accuracy, backward_transfer, forgetting

Matrix: TypeAlias = Float64
Measured: TypeAlias = Sequence[tuple[float, int]]  # accuracy and rows of each hold-out

_MEASURES = ("average_accuracy", "forgetting", "backward_transfer")


def standard_error(accuracy: Matrix, n: Matrix) -> Matrix:
    """Return sqrt(p (1 - p) / n), with p moved towards 1/2: 20 hits of 20 are no certainty."""
    p = (accuracy * n + 1.0) / (n + 2.0)
    return np.sqrt(p * (1.0 - p) / np.maximum(n, 1.0))


class AccuracyMatrix:
    """Rows R[i, :] of accuracies on all hold-outs at the end of segment i, with their counts."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.counts: list[list[int]] = []

    def append(self, measured: Measured) -> None:
        """Append the row of a segment that ended: every hold-out up to its own."""
        self.rows.append([accuracy for accuracy, _ in measured])
        self.counts.append([n for _, n in measured])

    def merge(self, target: int) -> None:
        """Pool column 0 with column `target`, weighted by counts, and drop row 0."""
        for values, counts in zip(self.rows[1:], self.counts[1:], strict=True):
            if target < len(values):
                _pool(values, counts, target)
            del values[0], counts[0]
        del self.rows[:1], self.counts[:1]

    def with_rows(self, current: Sequence[Measured]) -> tuple[Matrix, Matrix]:
        """Return R and its counts as square arrays, with rows of segments that are not closed yet.

        R is NaN above the diagonal.
        """
        pairs = zip(self.rows, self.counts, strict=True)
        closed: list[Measured] = [list(zip(*pair, strict=True)) for pair in pairs]
        size = len(closed) + len(current)
        R = np.full((size, size), math.nan)
        counts = np.zeros((size, size))
        for i, row in enumerate([*closed, *current]):
            for j, (accuracy, n) in enumerate(row):
                R[i, j] = accuracy
                counts[i, j] = n
        return R, counts


def _pool(values: list[float], counts: list[int], target: int) -> None:
    """Pool entry 0 of a row into entry `target`."""
    n = counts[0] + counts[target]
    total = sum(values[j] * counts[j] for j in (0, target) if counts[j])
    values[target] = total / n if n else math.nan
    counts[target] = n


def measures(R: Matrix, counts: Matrix) -> Config:
    """Return average accuracy, forgetting and backward transfer, with standard errors.

    Segments that lack an entry are left out; a measure without any is None. The errors of two
    measurements on one hold-out are taken as independent, which overstates the error of their
    difference.
    """
    complete = _complete(R)
    if len(R) - 1 not in complete:  # the running segment has no held-out row yet
        R = R[:-1, :-1]
        counts = counts[:-1, :-1]
        complete = _complete(R)
    if not complete:
        return dict.fromkeys((*_MEASURES, *(f"{name}_se" for name in _MEASURES)))
    R = R[np.ix_(complete, complete)]
    errors = _standard_errors(R, counts[np.ix_(complete, complete)])
    values = (average_accuracy(R), forgetting(R), backward_transfer(R))
    named: Config = {}
    for name, value, error in zip(_MEASURES, values, errors, strict=True):
        named |= {name: value, f"{name}_se": error}
    return named


def _complete(R: Matrix) -> list[int]:
    """Return the segments measured at their end and at every later one."""
    return [j for j in range(len(R)) if not np.isnan(R[j:, j]).any()]


def _standard_errors(R: Matrix, counts: Matrix) -> tuple[float, float, float]:
    """Return the standard errors of the three measures of a complete R."""
    squared = standard_error(R, counts) ** 2
    n = len(R)
    n_earlier = max(1, n - 1)
    last = squared[-1, :-1].sum()
    at_best = sum(squared[j + int(np.argmax(R[j:-1, j])), j] for j in range(n - 1))
    at_end = np.diag(squared)[:-1].sum()
    return (
        math.sqrt(squared[-1].sum()) / n,
        math.sqrt(last + at_best) / n_earlier,
        math.sqrt(last + at_end) / n_earlier,
    )


def with_none(matrix: Matrix) -> list[list[float | None]]:
    """Return nested lists with None for NaN, which JSON does not have."""
    return [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]
