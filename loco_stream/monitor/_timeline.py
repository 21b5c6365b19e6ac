"""The segments of a stream in order: started, ended, named, recognised and merged."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loco_stream._arrays import Array
from loco_stream._persistence.content import Arrays, Config, State, with_prefix, without_prefix
from loco_stream.monitor._holdout import HoldOut, Predictor, UniformDraws, predict
from loco_stream.monitor._matrix import AccuracyMatrix, Matrix, measures, standard_error, with_none
from loco_stream.monitor._recurrence import RecurrenceTracker
from loco_stream.monitor._row_codec import RowCodec, Vector
from loco_stream.monitor._segment import EARLY, Segment
from loco_stream.monitor._signature import InputScale, Label, Signature

_END = 200  # scored rows that give the accuracy at the end of a segment
# Rows of a block that waits before a signature takes it, at most two blocks.
_BLOCK = 50
_THIN = 1000  # rows of a segment from which on its signature takes one row in `_STEP`
_STEP = 8
_KEPT_HITS = 1024  # to separate the rows between a change and its alarm


@dataclass(frozen=True, slots=True)
class DueRow:
    """A row of the accuracy matrix that is not measured yet, for the segment from start to end.

    `is_now`: whether the segment ends with the last scored row.
    """

    start: int
    end: int
    is_now: bool


class Timeline:
    """Segments with their hold-outs, the accuracy matrix at their ends, and their tasks.

    holdout: held-out rows per segment at most
    max_segments: segments kept before the oldest one is merged into another
    draws: random numbers for merging hold-outs
    """

    def __init__(self, holdout: int, max_segments: int, draws: UniformDraws) -> None:
        self.holdout = holdout
        self.max_segments = max_segments
        self.draws = draws
        self.matrix = AccuracyMatrix()
        self.hits: deque[tuple[int, int]] = deque(maxlen=_KEPT_HITS)
        self.names: dict[int, str] = {}
        self.n_tasks = 0
        self.n_merged = 0
        self.recurrence: RecurrenceTracker | None = None
        # the newest blocks of rows, by their first position
        self.pending: list[tuple[int, Signature]] = []
        self.due_row: DueRow | None = None
        self.segments = [Segment(0, self._new_task(), "start", HoldOut(holdout))]

    @property
    def running(self) -> Segment:
        """The segment that has not ended."""
        return self.segments[-1]

    @property
    def n_held(self) -> int:
        """Held-out rows of all segments."""
        return sum(len(segment.hold.rows) for segment in self.segments)

    def task_at(self, index: int) -> int:
        """Return the task that ran at a position, the oldest known one if it was earlier."""
        tasks = (segment.task for segment in reversed(self.segments) if segment.start <= index)
        return next(tasks, self.segments[0].task)

    def add(self, hits: Sequence[int], index: int) -> None:
        """Count scored rows, from position `index` on: 1 for a correct prediction, or 0."""
        self.hits.extend(enumerate(hits, index))
        self.running.add(hits)

    def start_segment(self, at: int, began: str, n_classes: int) -> None:
        """End the running segment and start another at position `at`.

        An alarm comes late: rows counted or held out from `at` on move to the new segment, and the
        row of the accuracy matrix is made of predictions from before `at`, unless the user gave the
        boundary.
        """
        if self.due_row is not None:
            self.close_row()
        old = self.running
        old.end = at
        last_hits = [hit for index, hit in self.hits if old.start <= index < at][-_END:]
        old.end_accuracy = sum(last_hits) / len(last_hits) if last_hits else math.nan
        self._assign_pending(at)
        self.segments.append(self._next_segment(old, at, began, n_classes))
        left = old.task if began == "concept" else -1
        self.recurrence = RecurrenceTracker(len(self.segments) - 1, left)
        self.due_row = DueRow(old.start, at, began == "boundary")
        if not self.holdout:
            self.close_row()

    def _next_segment(self, old: Segment, at: int, began: str, n_classes: int) -> Segment:
        """Return a segment with the rows of `old` from position `at` on."""
        new = Segment(at, self._new_task(), began, old.hold.split(at), classes=n_classes)
        for index, hit in self.hits:
            if index >= at:
                new.add([hit])
                old.remove(hit)
        return new

    def accuracies(self) -> tuple[Matrix, Matrix]:
        """Return R and its row counts; the last row is the running segment as last measured."""
        running = [segment.hold.accuracy() for segment in self.segments]
        return self.matrix.with_rows([self._last_row(), running] if self.due_row else [running])

    def measure_row(self, model: Predictor, codec: RowCodec, budget: float, at: int) -> int:
        """Close the row of the segment that ended; return how many rows were predicted for it.

        After an alarm the model has learned some rows of the next segment. Predictions from before
        the change are therefore used where there are any; the other rows are predicted now, at most
        `budget` of them.
        """
        due = self.due_row or DueRow(0, 0, True)
        held = [row for segment in self.segments[:-1] for row in segment.hold.rows]
        stale = held if due.is_now else [h for h in held if not h.scored_in(due.start, due.end)]
        n = predict(model, codec, stale[: int(min(budget, len(stale)))], at)
        self.close_row()
        return n

    def close_row(self) -> None:
        """Append the row of the segment that ended, from the predictions there are."""
        self.matrix.append(self._last_row())
        self.due_row = None
        if len(self.segments) > self.max_segments:
            self._merge_oldest()

    def _last_row(self) -> list[tuple[float, int]]:
        """Return accuracy and rows of every hold-out at the end of the segment that ended last."""
        holds = [segment.hold for segment in self.segments[:-1]]
        if self.due_row is None or self.due_row.is_now:
            return [hold.accuracy() for hold in holds]
        return [hold.accuracy(self.due_row.start, self.due_row.end) for hold in holds]

    def name_task(self, name: str) -> None:
        """Name the task of the running segment; a name used before means that this task is back."""
        running = self.running.task
        known = [task for task, other in self.names.items() if other == name and task != running]
        if known:
            self.return_to(known[0])
        else:
            self.names[running] = name
        self.recurrence = None

    def return_to(self, task: int) -> None:
        """Make the running segment a return of `task`."""
        running = self.running.task
        left = [segment.end_accuracy for segment in self.segments[:-1] if segment.task == task]
        is_used_before = any(segment.task == running for segment in self.segments[:-1])
        if not is_used_before and running == self.n_tasks - 1:
            self.n_tasks -= 1
            del self.names[running]
        self.running.mark_return(task, left[-1] if left else math.nan)

    def signature_step(self, n: int) -> int:
        """Return every which row `recognise` needs after `n` rows of the segment.

        One row in eight of a long segment is enough.
        """
        return 1 if self.recurrence is not None or n <= _THIN else _STEP

    def rows_to_describe(self, positions: Sequence[int], n: int, together: int) -> list[int]:
        """Return which rows after the first `n` of a segment `describe` needs, by `signature_step`.

        positions: positions of the rows in the stream; no task is to be recognised
        together: rows that are examined at a time, and counted before
        """
        room = max(0, _THIN - n)
        n_all = len(positions) if room >= len(positions) else room - room % together
        thin = [i for i, at in enumerate(positions[n_all:], n_all) if not at % _STEP]
        return [*range(n_all), *thin]

    def recognise(self, values: Vector, label: Label, index: int, scale: InputScale) -> str | None:
        """Add a row to the signature of the running segment.

        Return the name of its task once the task turns out to be a known one.
        """
        self.describe(values[None], [label], [index], scale)
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

    def describe(
        self, values: Matrix, labels: Sequence[Label], index: Sequence[int], scale: InputScale
    ) -> None:
        """Add rows to the newest block; a block is merged 50 rows late, after any alarm."""
        width = values.shape[1]
        if self.running.signature is None:
            self.running.signature = Signature(width)
        begin = 0
        while begin < len(labels):
            if not self.pending or self.pending[-1][1].n >= _BLOCK:
                self.pending.append((index[begin], Signature(width)))
            if len(self.pending) > 2:
                self.running.signature.merge(self.pending.pop(0)[1])
            block = self.pending[-1][1]
            end = begin + _BLOCK - block.n
            block.update(values[begin:end], labels[begin:end], scale, self.running.signature)
            begin = end

    def _assign_pending(self, at: int) -> None:
        """Merge blocks before position `at` into the segment that ends there; drop one across."""
        ends = [start for start, _ in self.pending[1:]]
        for (_, block), end in zip(self.pending, ends, strict=False):
            if end <= at and self.running.signature is not None:
                self.running.signature.merge(block)
        self.pending = [(start, block) for start, block in self.pending if start >= at]

    def reports(self) -> list[Config]:
        """Return one entry per segment."""
        left: dict[int, float] = {}
        entries = []
        for segment in self.segments:
            left_at = left.get(segment.task, math.nan)
            entries.append(segment.report(self.names[segment.task], left_at))
            left[segment.task] = segment.end_accuracy
        return entries

    def report(self, transfers: bool) -> Config:
        """Return tasks, accuracy matrix and measures; forward transfer needs a chance level."""
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
        """Return the mean over segments of first accuracy minus chance, and its standard error."""
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

    def _drop_unused_names(self) -> None:
        """Drop the names of tasks that no segment belongs to."""
        used = {segment.task for segment in self.segments}
        self.names = {task: name for task, name in self.names.items() if task in used}

    def _merge_oldest(self) -> None:
        """Pool the oldest segment with the next one of its task, or with its neighbour."""
        oldest, *others = self.segments
        target = next((k for k, other in enumerate(others[:-1]) if other.task == oldest.task), 0)
        self.matrix.merge(target + 1)
        self._merge_segment(oldest, others[target])
        if target == 0:
            others[0].start = oldest.start
        if self.recurrence is not None:
            self.recurrence.evidence = self.recurrence.evidence[1:]
        self.segments = others
        self.n_merged += 1
        self._drop_unused_names()

    def _merge_segment(self, oldest: Segment, target: Segment) -> None:
        target.hold.merge(oldest.hold, self.draws)
        target.n += oldest.n
        target.hits += oldest.hits
        is_same_task = target.task == oldest.task
        if is_same_task and oldest.signature is not None and target.signature is not None:
            target.signature.merge(oldest.signature)

    def export_state(self) -> tuple[Config, Arrays]:
        """Return everything as plain values and arrays."""
        segments, arrays = self._export_segments()
        pending, pending_arrays = self._export_pending()
        recurrence = self.recurrence
        due = self.due_row
        config = {
            "segments": segments,
            "names": [[task, name] for task, name in self.names.items()],
            "n_tasks": self.n_tasks,
            "n_merged": self.n_merged,
            "due_row": None if due is None else [due.start, due.end, due.is_now],
            "pending": pending,
            "recurrence": None if recurrence is None else [recurrence.n, recurrence.left],
            "matrix": [list(row) for row in self.matrix.rows],
            "matrix_counts": [list(row) for row in self.matrix.counts],
        }
        arrays |= pending_arrays
        arrays["hits"] = np.array(self.hits, dtype=np.int64).reshape(-1, 2)
        if recurrence is not None:
            arrays["recurrence"] = recurrence.evidence.copy()
        return config, arrays

    def _export_segments(self) -> tuple[list[Config], Arrays]:
        configs = []
        arrays: Arrays = {}
        for i, segment in enumerate(self.segments):
            config, own = segment.export_state()
            configs.append(config)
            arrays |= with_prefix(f"segment/{i}", own)
        return configs, arrays

    def _export_pending(self) -> tuple[list[list[object]], Arrays]:
        configs: list[list[object]] = []
        arrays: Arrays = {}
        for i, (start, block) in enumerate(self.pending):
            labels, own = block.export_state()
            configs.append([start, labels])
            arrays |= with_prefix(f"pending/{i}", own)
        return configs, arrays

    def restore_state(self, config: State, arrays: Mapping[str, Array]) -> None:
        """Continue from `export_state`."""
        self.hits.extend((index, hit) for index, hit in arrays["hits"].tolist())
        self._restore_segments(config, arrays)
        self.pending = [
            (start, Signature.restore_state(labels, without_prefix(f"pending/{i}", arrays)))
            for i, (start, labels) in enumerate(config["pending"])
        ]
        self.n_merged = config["n_merged"]
        if config["due_row"] is not None:
            self.due_row = DueRow(*config["due_row"])
        if config["recurrence"] is not None:
            n, left = config["recurrence"]
            self.recurrence = RecurrenceTracker(0, left)
            self.recurrence.n = n
            self.recurrence.evidence = arrays["recurrence"].copy()
        self._restore_matrix(config)

    def _restore_matrix(self, config: State) -> None:
        self.matrix.rows = [list(row) for row in config["matrix"]]
        self.matrix.counts = [list(row) for row in config["matrix_counts"]]
        if [*map(len, self.matrix.rows)] != [*map(len, self.matrix.counts)]:
            raise ValueError("the rows of the accuracy matrix must be as long as their counts")

    def _restore_segments(self, config: State, arrays: Mapping[str, Array]) -> None:
        self.segments = [
            Segment.restore_state(self.holdout, entry, without_prefix(f"segment/{i}", arrays))
            for i, entry in enumerate(config["segments"])
        ]
        self.names = {task: name for task, name in config["names"]}  # noqa: C416
        self.n_tasks = config["n_tasks"]
        if not self.segments or any(segment.task not in self.names for segment in self.segments):
            raise ValueError("there is no segment, or one whose task has no name")
