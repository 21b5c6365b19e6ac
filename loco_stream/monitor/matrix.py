"""The accuracy matrix as the stream writes it, and the measures read from it with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.metrics import average_accuracy, backward_transfer, forgetting

__all__ = ["AccuracyMatrix", "measures", "standard_error", "with_none"]


def standard_error(accuracy: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sqrt(p (1 - p) / n) with p drawn one sample towards 1/2, so that 20 of 20 right is not certainty."""
    p = (accuracy * n + 1.0) / (n + 2.0)
    return np.sqrt(p * (1.0 - p) / np.maximum(n, 1.0))


class AccuracyMatrix:
    """Rows R[i, :] of accuracies on all segments' hold-outs at the end of segment i, with their sample counts."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.counts: list[list[int]] = []

    def close(self, measured: Sequence[tuple[float, int]]) -> None:
        """Append the row of a segment that ended.

        (accuracy, samples) of every hold-out up to its own.
        """
        self.rows.append([accuracy for accuracy, _ in measured])
        self.counts.append([n for _, n in measured])

    def merge(self, target: int) -> None:
        """Pool column 0 with column `target`, weighted by samples, and drop row 0.

        The state after it is gone.
        """
        for values, counts in zip(self.rows[1:], self.counts[1:], strict=True):
            if target < len(values):
                n = counts[0] + counts[target]
                total = sum(values[j] * counts[j] for j in (0, target) if counts[j])
                values[target] = total / n if n else math.nan
                counts[target] = n
            del values[0], counts[0]
        del self.rows[:1], self.counts[:1]

    def with_rows(
        self, current: Sequence[Sequence[tuple[float, int]]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return R and the sample counts as square arrays, rows not closed yet added.

        NaN above the diagonal.
        """
        size = len(self.rows) + len(current)
        R = np.full((size, size), math.nan)
        counts = np.zeros((size, size))
        closed = [
            list(zip(*pair, strict=True)) for pair in zip(self.rows, self.counts, strict=True)
        ]
        for i, row in enumerate([*closed, *current]):
            for j, (accuracy, n) in enumerate(row):
                R[i, j] = accuracy
                counts[i, j] = n
        return R, counts


def measures(R: NDArray[np.float64], counts: NDArray[np.float64]) -> dict[str, Any]:
    """Return average accuracy, forgetting and backward transfer with standard errors.

    Segments without a measured entry where one is needed are left out; None if none is left. The
    errors of two measurements of one hold-out are taken as independent, which overstates that of
    their difference.
    """
    names = ("average_accuracy", "forgetting", "backward_transfer")
    complete = [j for j in range(len(R)) if not np.isnan(R[j:, j]).any()]
    if (
        len(R) - 1 not in complete
    ):  # the running segment has nothing withheld yet: the last closed row is the last
        R = R[:-1, :-1]
        counts = counts[:-1, :-1]
        complete = [j for j in range(len(R)) if not np.isnan(R[j:, j]).any()]
    if not complete:
        return dict.fromkeys((*names, *(f"{name}_se" for name in names)))
    R = R[np.ix_(complete, complete)]
    counts = counts[np.ix_(complete, complete)]
    squared = standard_error(R, counts) ** 2
    n = len(R)
    best = [j + int(np.argmax(R[j:-1, j])) for j in range(n - 1)]
    earlier = max(1, n - 1)
    last = squared[-1, :-1].sum()
    return {
        "average_accuracy": average_accuracy(R),
        "average_accuracy_se": math.sqrt(squared[-1].sum()) / n,
        "forgetting": forgetting(R),
        "forgetting_se": math.sqrt(last + sum(squared[row, j] for j, row in enumerate(best)))
        / earlier,
        "backward_transfer": backward_transfer(R),
        "backward_transfer_se": math.sqrt(last + np.diag(squared)[:-1].sum()) / earlier,
    }


def with_none(matrix: NDArray[np.float64]) -> list[list[float | None]]:
    """Return nested lists with None where a value is missing, as JSON has no NaN."""
    return [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]
