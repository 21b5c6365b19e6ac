"""A segment: the rows of a stream between two changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loco_stream._arrays import Array
from loco_stream._numbers import plain
from loco_stream._persistence.content import Arrays, Config, State
from loco_stream.monitor._holdout import HoldOut
from loco_stream.monitor._signature import Signature

EARLY = 20  # scored rows that stand for the accuracy before training
RETURN = 100  # scored rows in which a returning task is recognised
_SAVED = (
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
    "relearned",
    "returned",
    "update_energy",
)
_RUNNING_ROWS = 50  # rows in the running accuracy that decides on relearning


@dataclass(slots=True)
class Segment:
    """Counts of one segment.

    start, end: positions in the stream; `end` is None while the segment runs
    task: number of its task
    began: what opened it: "start", "concept", "input" or "boundary"
    hold: held-out rows
    signature: class means of its rows; None before the first ones
    classes: labels seen before it began: a random guess is correct once in `classes`
    n, hits: scored rows and correct predictions
    early: the first hits, up to `RETURN`
    running: running accuracy over about the last 50 rows
    end_accuracy: accuracy over the last rows before the end
    goal: running accuracy from which on a returned task counts as relearned
    relearned: rows from the start until then
    returned: whether its task had been seen before
    update_energy: energy of wrongly predicted rows in protected directions, and in all
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
    early: list[int] = field(default_factory=list)
    running: float = 0.0
    end_accuracy: float = math.nan
    goal: float = math.nan
    relearned: int | None = None
    returned: bool = False
    update_energy: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, hits: Sequence[int]) -> None:
        """Count scored rows in order: 1 for a correct prediction, 0 for a wrong one."""
        if len(self.early) < RETURN:
            self.early += hits[: RETURN - len(self.early)]
        running = self.running
        if self.n >= _RUNNING_ROWS and (self.relearned is not None or math.isnan(self.goal)):
            for hit in hits:
                running += (hit - running) / _RUNNING_ROWS
        else:
            running = self._follow_relearning(hits)
        self.running = running
        self.n += len(hits)
        self.hits += sum(hits)

    def _follow_relearning(self, hits: Sequence[int]) -> float:
        """Return the running accuracy after some rows, and note when it reaches the goal."""
        running = self.running
        goal = self.goal if self.relearned is None else math.inf
        for n, hit in enumerate(hits, self.n + 1):
            running += (hit - running) / (n if n < _RUNNING_ROWS else _RUNNING_ROWS)
            if running >= goal and n >= EARLY:
                self.relearned = n
                goal = math.inf
        return running

    def remove(self, hit: int) -> None:
        """Take back one scored row, which belongs to the next segment."""
        self.n -= 1
        self.hits -= hit

    def mark_return(self, task: int, end_accuracy: float) -> None:
        """Make the segment a return of `task`, whose accuracy was `end_accuracy` at its end."""
        self.task = task
        self.returned = True
        self.goal = 0.9 * end_accuracy
        running = 0.0
        for n, hit in enumerate(self.early, 1):
            running += (hit - running) / (n if n < _RUNNING_ROWS else _RUNNING_ROWS)
            if running >= self.goal and n >= EARLY:
                self.relearned = n
                return

    def accuracy(self) -> float | None:
        """Return the prequential accuracy; None without a scored row."""
        return self.hits / self.n if self.n else None

    def first_accuracy(self, n: int) -> float | None:
        """Return the accuracy over the first `n` scored rows; None before as many."""
        return sum(self.early[:n]) / n if len(self.early) >= n else None

    def report(self, name: str, left_at: float) -> Config:
        """Return the entry of the report.

        name: name of its task
        left_at: accuracy when that task was last left, or NaN
        """
        protected, energy = self.update_energy
        return {
            "task": name,
            "start": self.start,
            "end": self.end,
            "began": self.began,
            "returned": self.returned,
            "n_samples": self.n,
            "accuracy": self.accuracy(),
            "held_out": len(self.hold.rows),
            "return_drop": self._return_drop(left_at),
            "relearning_samples": self.relearned if self.returned else None,
            "protected_update_share": protected / energy if energy > 0.0 else None,
        }

    def _return_drop(self, left_at: float) -> float | None:
        """Return the change of accuracy between leaving a task and its return."""
        first = self.first_accuracy(RETURN)
        if first is None or not self.returned or math.isnan(left_at):
            return None
        return first - left_at

    def export_state(self) -> tuple[Config, Arrays]:
        """Return everything as plain values and arrays."""
        hold, arrays = self.hold.export_state()
        config = {name: plain(getattr(self, name)) for name in _SAVED}
        if self.signature is not None:
            config["labels"], numbers = self.signature.export_state()
            arrays |= numbers
        return {**config, "hold": hold}, arrays

    @classmethod
    def restore_state(cls, holdout: int, config: State, arrays: Mapping[str, Array]) -> Segment:
        """Undo `export_state`, for a hold-out of at most `holdout` rows."""
        hold = HoldOut.restore_state(holdout, config["hold"], arrays)
        segment = cls(hold=hold, **{name: config[name] for name in _SAVED})
        segment.early = list(segment.early)
        segment.update_energy = list(segment.update_energy)
        if "labels" in config:
            segment.signature = Signature.restore_state(config["labels"], arrays)
        return segment
