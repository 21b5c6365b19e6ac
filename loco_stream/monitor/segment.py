"""One stretch of the stream between two changes, and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from loco_stream.monitor.arrays import Arrays, plain
from loco_stream.monitor.holdout import HoldOut
from loco_stream.monitor.signature import Signature

__all__ = ["EARLY", "RETURN", "Segment"]

EARLY = 20  # scored samples that stand for "before training on it"
RETURN = 100  # scored samples in which a returning task must prove itself
_PLAIN = (
    *(
        "start",
        "task",
        "began",
        "classes",
        "end",
        "n",
        "hits",
        "early",
        "running",
        "end_accuracy",
        "goal",
    ),
    *("relearned", "returned", "update_energy"),
)
_FAST = 50  # samples in the running accuracy that says "relearned"


@dataclass(slots=True)
class Segment:
    """Counts of one segment.

    `start` and `end` are positions in the stream, `end` None while it runs.

    `began` says what opened it: "start", "concept", "input" or "boundary". `classes` is the number
    of labels seen so far when it began, of which one guess in `classes` is right by chance.
    """

    start: int
    task: int
    began: str
    hold: HoldOut
    signature: Signature | None = None
    classes: int = 0
    end: int | None = None
    n: int = 0
    hits: int = 0
    early: list[int] = field(default_factory=list)  # the first hits, up to RETURN
    running: float = 0.0  # running accuracy over the last 50 samples or so
    end_accuracy: float = math.nan  # accuracy over the last samples before the end
    goal: float = math.nan  # running accuracy at which a returned task counts as relearned
    relearned: int | None = None  # samples from the start until then
    returned: bool = False
    update_energy: list[float] = field(
        default_factory=lambda: [0.0, 0.0]
    )  # in protected directions, in all

    def add(self, hit: bool) -> None:
        """Count one scored sample."""
        self.n += 1
        self.hits += hit
        if len(self.early) < RETURN:
            self.early.append(int(hit))
        self.running = _follow(self.running, hit, self.n)
        if self.relearned is None and self.running >= self.goal and self.n >= EARLY:
            self.relearned = self.n

    def came_back(self, task: int, end_accuracy: float) -> None:
        """Take the segment as a return of `task`, which had `end_accuracy` when it was left."""
        self.task = task
        self.returned = True
        self.goal = 0.9 * end_accuracy
        running = 0.0
        for n, hit in enumerate(self.early, 1):
            running = _follow(running, hit, n)
            if running >= self.goal and n >= EARLY:
                self.relearned = n
                return

    def accuracy(self) -> float | None:
        """Return the prequential accuracy in this segment."""
        return self.hits / self.n if self.n else None

    def first_accuracy(self, n: int) -> float | None:
        """Return the accuracy over the first `n` scored samples, None before so many."""
        return sum(self.early[:n]) / n if len(self.early) >= n else None

    def report(self, name: str, left_at: float) -> dict[str, Any]:
        """Return what people want to know.

        `left_at` is the accuracy when this task was last left, or NaN.
        """
        first, (protected, energy) = self.first_accuracy(RETURN), self.update_energy
        drop = (
            None if first is None or not self.returned or math.isnan(left_at) else first - left_at
        )
        return {
            "task": name,
            "start": self.start,
            "end": self.end,
            "began": self.began,
            "returned": self.returned,
            "n_samples": self.n,
            "accuracy": self.accuracy(),
            "held_out": len(self.hold.held),
            "return_drop": drop,
            "relearning_samples": self.relearned if self.returned else None,
            "protected_update_share": protected / energy if energy > 0.0 else None,
        }

    def export(self) -> tuple[dict[str, Any], Arrays]:
        """Return everything known of it as plain values and arrays."""
        hold, arrays = self.hold.export()
        entry = {name: plain(getattr(self, name)) for name in _PLAIN}
        if self.signature is not None:
            entry["labels"], numbers = self.signature.export()
            arrays |= numbers
        return {**entry, "hold": hold}, arrays

    @classmethod
    def restore(
        cls, holdout: int, entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Segment:
        """Undo `export`, for a hold-out of at most `holdout` samples."""
        hold = HoldOut.restore(holdout, entry["hold"], arrays)
        segment = cls(hold=hold, **{name: entry[name] for name in _PLAIN})
        segment.early = list(segment.early)
        segment.update_energy = list(segment.update_energy)
        if "labels" in entry:
            segment.signature = Signature.restore(entry["labels"], arrays)
        return segment


def _follow(running: float, hit: int, n: int) -> float:
    """Return the running accuracy after the n-th sample."""
    return running + (hit - running) / min(n, _FAST)
