"""The segments of a stream in order: opened, closed, named, recognised, merged."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.monitor.arrays import Arrays, part, prefixed
from loco_stream.monitor.holdout import Draws, HoldOut, predict
from loco_stream.monitor.matrix import AccuracyMatrix, measures, standard_error, with_none
from loco_stream.monitor.recurrence import RecurrenceTracker
from loco_stream.monitor.rows import RowCodec
from loco_stream.monitor.segment import EARLY, Segment
from loco_stream.monitor.signature import Scale, Signature

__all__ = ["Timeline"]

_END = 200  # scored samples that give the accuracy at the end of a segment
_BLOCK = (
    50  # samples that wait, without being stored, before a signature takes them in: twice at most
)
_THIN = 1000  # samples of a segment from which on one in eight is enough for its signature
_MEMORY = 1024  # hits kept, so that the samples between a change and its alarm can be told apart


class Timeline:
    """Segments with their hold-outs, the rows of R measured at their ends, and the tasks they belong to.

    Parameters
    ----------
    holdout
        Samples withheld a segment at most.
    max_segments
        Segments kept before the oldest is merged into another.
    draws
        Random numbers for merging hold-outs.
    """

    def __init__(self, holdout: int, max_segments: int, draws: Draws) -> None:
        self.holdout = holdout
        self.max_segments = max_segments
        self.draws = draws
        self.matrix = AccuracyMatrix()
        self.hits: deque[tuple[int, int]] = deque(maxlen=_MEMORY)
        self.names: dict[int, str] = {}
        self.n_tasks = self.n_merged = 0
        self.recurrence: RecurrenceTracker | None = None
        self.pending: list[
            tuple[int, Signature]
        ] = []  # the newest blocks of samples, by their first position
        # a segment has ended and its row is not measured yet: its start, its end, and whether that
        # end is now
        self.row_due: tuple[int, int, bool] | None = None
        self.segments = [Segment(0, self._new_task(), "start", HoldOut(holdout))]

    @property
    def running(self) -> Segment:
        """The segment that has not ended."""
        return self.segments[-1]

    @property
    def n_held(self) -> int:
        """Samples withheld in all segments."""
        return sum(len(segment.hold.held) for segment in self.segments)

    def task_at(self, index: int) -> int:
        """Return the task that ran at a position of the stream.

        The oldest known one if that was before it.
        """
        return next(
            (segment.task for segment in reversed(self.segments) if segment.start <= index),
            self.segments[0].task,
        )

    def add(self, hit: int, index: int) -> None:
        """Count one scored sample."""
        self.hits.append((index, hit))
        self.running.add(bool(hit))

    def cut(self, at: int, began: str, n_classes: int) -> None:
        """End the running segment and begin another at position `at` of the stream.

        Samples already counted or withheld from there on move to the new one: an alarm comes late.
        For the same reason the row of R is made of answers given before `at`, unless `at` is now (a
        boundary the user gave).
        """
        if self.row_due:
            self.close_row()
        old = self.running
        old.end = at
        before = [hit for index, hit in self.hits if old.start <= index < at][-_END:]
        old.end_accuracy = sum(before) / len(before) if before else math.nan
        new = Segment(at, self._new_task(), began, old.hold.split(at), classes=n_classes)
        for _, hit in (pair for pair in self.hits if pair[0] >= at):
            new.add(bool(hit))
            old.n = old.n - 1
            old.hits = old.hits - hit
        self._settle_pending(at)
        self.segments.append(new)
        self.recurrence = RecurrenceTracker(
            len(self.segments) - 1, old.task if began == "concept" else -1
        )
        self.row_due = (old.start, at, began == "boundary")
        if not self.holdout:
            self.close_row()

    def accuracies(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return R and its sample counts so far.

        The last row is the running segment, as last measured.
        """
        running = [segment.hold.accuracy() for segment in self.segments]
        return self.matrix.with_rows([self._row(), running] if self.row_due else [running])

    def measure_row(self, model: Any, codec: RowCodec, budget: float, at: int) -> int:
        """Close the row of the segment that ended.

        Return how many withheld samples `model` predicted for it.

        After an alarm the model has already learned some of what came next, so answers from before
        the change are taken where there are any in the segment; only the other samples are
        predicted, at most `budget` of them.
        """
        start, end, now = self.row_due or (0, 0, True)
        held = [held for segment in self.segments[:-1] for held in segment.hold.held]
        stale = held if now else [one for one in held if not one.scored_in(start, end)]
        done = predict(model, codec, stale[: int(min(budget, len(stale)))], at)
        self.close_row()
        return done

    def close_row(self) -> None:
        """Write the row of the segment that ended, from the answers there are."""
        self.matrix.close(self._row())
        self.row_due = None
        if len(self.segments) > self.max_segments:
            self._merge_oldest()

    def _row(self) -> list[tuple[float, int]]:
        """Return accuracy and samples of every hold-out at the end of the segment that ended last."""
        start, end, now = self.row_due or (0, 0, True)
        holds = [segment.hold for segment in self.segments[:-1]]
        return [hold.accuracy() if now else hold.accuracy(start, end) for hold in holds]

    def name(self, name: str) -> None:
        """Give the running segment's task the user's name, or find the task that has it."""
        known = [
            task
            for task, other in self.names.items()
            if other == name and task != self.running.task
        ]
        if known:
            self.return_to(known[0])
        else:
            self.names[self.running.task] = name
        self.recurrence = None

    def return_to(self, task: int) -> None:
        """Take the running segment as another visit of `task`."""
        left = [segment.end_accuracy for segment in self.segments[:-1] if segment.task == task]
        only_here = all(segment.task != self.running.task for segment in self.segments[:-1])
        if (
            only_here and self.running.task == self.n_tasks - 1
        ):  # else an earlier segment needs the name
            self.n_tasks -= 1
            del self.names[self.running.task]
        self.running.came_back(task, left[-1] if left else math.nan)

    def wants_signature(self, index: int) -> bool:
        """Return whether `recognise` should see this sample.

        A long segment is known well enough from one in eight.
        """
        return self.recurrence is not None or self.running.n <= _THIN or index % 8 == 0

    def recognise(
        self, values: NDArray[np.float64], label: Any, index: int, scale: Scale
    ) -> str | None:
        """Learn what the running segment looks like.

        Return the task's name once it turns out to be known.
        """
        self._sign(values, label, index, scale)
        recurrence = self.recurrence
        earlier = self.segments[:-1]
        if recurrence is None or not recurrence.update(values, label, scale, earlier):
            return None
        self.recurrence = None
        task = recurrence.decide(earlier)
        if task is None:
            return None
        self.return_to(task)
        return self.names[task]

    def _sign(self, values: NDArray[np.float64], label: Any, index: int, scale: Scale) -> None:
        """Learn what the running segment looks like, 50 samples or more late.

        By then an alarm would have come.
        """
        if self.running.signature is None:
            self.running.signature = Signature(len(values))
        if not self.pending or self.pending[-1][1].n >= _BLOCK:
            self.pending.append((index, Signature(len(values))))
        if len(self.pending) > 2:
            self.running.signature.absorb(self.pending.pop(0)[1])
        self.pending[-1][1].update(values, label, scale, self.running.signature)

    def _settle_pending(self, at: int) -> None:
        """Give the blocks before position `at` to the segment that ends there.

        The one across it belongs to none.
        """
        ends = [start for start, _ in self.pending[1:]]
        for (_, block), end in zip(self.pending, ends, strict=False):
            if end <= at and self.running.signature is not None:
                self.running.signature.absorb(block)
        self.pending = [(start, block) for start, block in self.pending if start >= at]

    def reports(self) -> list[dict[str, Any]]:
        """Return one entry a segment."""
        left: dict[int, float] = {}
        entries = []
        for segment in self.segments:
            entries.append(
                segment.report(self.names[segment.task], left.get(segment.task, math.nan))
            )
            left[segment.task] = segment.end_accuracy
        return entries

    def report(self, transfers: bool) -> dict[str, Any]:
        """Return tasks, accuracy matrix and measures.

        Forward transfer only where asked: it needs a chance level.
        """
        R, counts = self.accuracies()
        transfer, transfer_se = self.forward_transfer() if transfers else (None, None)
        return {
            "tasks": self.reports(),
            "n_merged_segments": self.n_merged,
            "accuracy_matrix": with_none(R) if self.holdout else [],
            "accuracy_matrix_se": with_none(standard_error(R, counts)) if self.holdout else [],
            **measures(R, counts),
            "forward_transfer": transfer,
            "forward_transfer_se": transfer_se,
        }

    def forward_transfer(self) -> tuple[float | None, float | None]:
        """Return the mean of first accuracy minus chance over all segments but the first, and its standard error."""
        gains = []
        squared = []
        for segment in self.segments[1:]:
            first = segment.first_accuracy(EARLY)
            if first is not None and segment.classes:
                gains.append(first - 1.0 / segment.classes)
                squared.append(float(standard_error(np.array(first), np.array(EARLY))) ** 2)
        if not gains:
            return None, None
        return sum(gains) / len(gains), math.sqrt(sum(squared)) / len(gains)

    def _new_task(self) -> int:
        task = self.n_tasks
        self.names[task] = f"task {task}"
        self.n_tasks += 1
        return task

    def _merge_oldest(self) -> None:
        """Pool the oldest segment with the next one of its task, or with its neighbour."""
        oldest, *others = self.segments
        target = next((k for k, other in enumerate(others[:-1]) if other.task == oldest.task), 0)
        into = others[target]
        self.matrix.merge(target + 1)
        into.hold.absorb(oldest.hold, self.draws)
        into.n = into.n + oldest.n
        into.hits = into.hits + oldest.hits
        if target == 0:
            into.start = oldest.start
        if into.task == oldest.task and oldest.signature is not None and into.signature is not None:
            into.signature.absorb(oldest.signature)
        if self.recurrence is not None:
            self.recurrence.evidence = self.recurrence.evidence[1:]
        self.segments = others
        self.n_merged += 1
        alive = {segment.task for segment in others}
        self.names = {task: name for task, name in self.names.items() if task in alive}

    def export(self) -> tuple[dict[str, Any], Arrays]:
        """Return everything as plain values and arrays."""
        arrays: Arrays = {"hits": np.array(self.hits, dtype=np.int64).reshape(-1, 2)}
        segments = []
        pending = []
        for i, segment in enumerate(self.segments):
            entry, own = segment.export()
            segments.append(entry)
            arrays |= prefixed(f"segment/{i}", own)
        for i, (start, block) in enumerate(self.pending):
            labels, own = block.export()
            pending.append([start, labels])
            arrays |= prefixed(f"pending/{i}", own)
        recurrence = self.recurrence
        if recurrence is not None:
            arrays["recall"] = recurrence.evidence.copy()
        config = {
            "segments": segments,
            "names": [[task, name] for task, name in self.names.items()],
            "counters": [self.n_tasks, self.n_merged],
            "row_due": None if self.row_due is None else list(self.row_due),
            "pending": pending,
            "recall": None if recurrence is None else [recurrence.n, recurrence.left],
            "rows": [list(row) for row in self.matrix.rows],
            "counts": [list(row) for row in self.matrix.counts],
        }
        return config, arrays

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `export`."""
        self.hits.extend((index, hit) for index, hit in arrays["hits"].tolist())
        self.segments = [
            Segment.restore(self.holdout, entry, part(f"segment/{i}", arrays))
            for i, entry in enumerate(config["segments"])
        ]
        self.pending = [
            (start, Signature.restore(labels, part(f"pending/{i}", arrays)))
            for i, (start, labels) in enumerate(config["pending"])
        ]
        self.names = {task: name for task, name in config["names"]}  # noqa: C416
        self.n_tasks, self.n_merged = config["counters"]
        if not self.segments or any(segment.task not in self.names for segment in self.segments):
            raise ValueError("there is no segment, or one whose task has no name")
        if config["row_due"] is not None:
            start, end, now = config["row_due"]
            self.row_due = (start, end, now)
        if config["recall"] is not None:
            self.recurrence = RecurrenceTracker(0, config["recall"][1])
            self.recurrence.n, self.recurrence.evidence = (
                config["recall"][0],
                arrays["recall"].copy(),
            )
        self.matrix.rows = [list(row) for row in config["rows"]]
        self.matrix.counts = [list(row) for row in config["counts"]]
        if [*map(len, self.matrix.rows)] != [*map(len, self.matrix.counts)]:
            raise ValueError("the rows of the accuracy matrix and their counts differ in length")
