"""Recognition of known tasks from the first rows after a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from loco_stream.monitor._matrix import Matrix
from loco_stream.monitor._segment import RETURN, Segment
from loco_stream.monitor._signature import InputScale

Label: TypeAlias = Any


class RecurrenceTracker:
    """Evidence for each earlier segment, collected over the first labelled rows of a new one.

    n_candidates: segments before the new one
    left: task that just ended. After a rise of the errors the concept is another one, and only
        signatures whose class means separate the labels are evidence; -1 after a change of the
        inputs, where neither holds.
    """

    def __init__(self, n_candidates: int, left: int) -> None:
        self.n = 0
        self.left = left
        # per segment: summed distance, and rows in which the nearest class was the label
        self.evidence: Matrix = np.zeros((n_candidates, 2))

    def update(
        self, values: Matrix, y: Label, scale: InputScale, earlier: Sequence[Segment]
    ) -> bool:
        """Take one labelled row; return True once there are enough rows to decide."""
        self.n += 1
        for evidence, segment in zip(self.evidence, earlier, strict=True):
            if segment.signature is not None and segment.task != self.left:
                evidence += segment.signature.compare(values, y, scale)
        return self.n >= RETURN

    def decide(self, earlier: Sequence[Segment]) -> int | None:
        """Return the task that fits best, or None if no known one does."""
        fitting = []
        means = (self.evidence / self.n).tolist()
        for (distance, accuracy), segment in zip(means, earlier, strict=True):
            if self._may_be(segment, distance, accuracy):
                fitting.append((accuracy, -distance, segment.task))
        return max(fitting)[2] if fitting else None

    def _may_be(self, segment: Segment, distance: float, accuracy: float) -> bool:
        signature = segment.signature
        if signature is None or segment.task == self.left:
            return False
        if self.left >= 0 and not signature.is_informative:
            return False
        return signature.matches(self.n, distance, accuracy)
