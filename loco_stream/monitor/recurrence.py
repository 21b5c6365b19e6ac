"""Is this task known? The first samples after a change against the signatures of all earlier segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.monitor.segment import RETURN, Segment
from loco_stream.monitor.signature import Scale

__all__ = ["RecurrenceTracker"]


class RecurrenceTracker:
    """Evidence for each earlier segment, gathered over the first labelled samples of a new one.

    Parameters
    ----------
    n_candidates
        Segments before the new one.
    left
        The task that just ended. If the errors rose, the concept is not that one, and only
        signatures whose class means tell labels apart say anything; -1 after a change of the
        inputs, where neither holds.
    """

    def __init__(self, n_candidates: int, left: int) -> None:
        self.n = 0
        self.left = left
        self.evidence = np.zeros(
            (n_candidates, 2)
        )  # summed distance, times the nearest class was right

    def update(
        self, values: NDArray[np.float64], y: Any, scale: Scale, earlier: Sequence[Segment]
    ) -> bool:
        """Take one labelled sample; True once there are enough to decide."""
        self.n += 1
        for evidence, segment in zip(self.evidence, earlier, strict=True):
            if segment.signature is not None and segment.task != self.left:
                evidence += segment.signature.compare(values, y, scale)
        return self.n >= RETURN

    def decide(self, earlier: Sequence[Segment]) -> int | None:
        """Return the task that fits best, or None if no known one does."""
        fitting = []
        for (distance, right), segment in zip(
            (self.evidence / self.n).tolist(), earlier, strict=True
        ):
            signature = segment.signature
            if (
                signature is None
                or segment.task == self.left
                or (self.left >= 0 and not signature.informative)
            ):
                continue
            if signature.matches(self.n, distance, right):
                fitting.append((right, -distance, segment.task))
        return max(fitting)[2] if fitting else None
