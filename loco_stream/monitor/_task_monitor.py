"""The task monitor: detects changes, holds out rows of each task, and measures forgetting."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Array
from loco_stream._numbers import plain, to_number
from loco_stream._persistence.content import Arrays, Config, State, with_prefix, without_prefix
from loco_stream._renamed import renamed
from loco_stream._rng import derive_key
from loco_stream._text import listed
from loco_stream.drift import ConceptDetector, ErrorThreshold
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.monitor._alarm import AlarmLog, DriftAlarm
from loco_stream.monitor._holdout import HeldRow, Predictor, UniformDraws
from loco_stream.monitor._holdout_plan import GROUP, HoldOutPlan
from loco_stream.monitor._input_view import InputView
from loco_stream.monitor._matrix import Matrix
from loco_stream.monitor._recall_tracker import RecallTracker
from loco_stream.monitor._rescoring import Rescoring
from loco_stream.monitor._row_codec import CodedRows, Extras, Names, Row, RowCodec, Table, Vector
from loco_stream.monitor._settings import checked_settings
from loco_stream.monitor._task_column import TaskColumn
from loco_stream.monitor._timeline import Timeline

Label: TypeAlias = Any  # a class label, or a number in regression

_PURPOSE = 8  # of the random key of hold-outs
_MAX_LABELS = 10_000  # labels counted for the chance level
# Rows examined together while no detector warns: one by one would cost half as much again.
_TOGETHER = 8
# Rows by which a snapshot of a model's readout is older than the row that reveals it, on average.
_SNAPSHOT_AGE = 100


@dataclass(slots=True)
class UnexaminedRow:
    """A row that waits to be examined: numbers, label, whether it was a hit, and position."""

    row: Vector | None
    y: Label
    hit: int | None
    index: int


class UnexaminedRows(NamedTuple):
    """Rows that wait to be examined, and of which none lacks inputs or a prediction.

    Each field has one entry per row; see `UnexaminedRow`.
    """

    rows: Sequence[Vector] | Matrix
    labels: Sequence[Label]
    hits: Sequence[int]
    positions: Sequence[int]

    def inputs(self, n: int, width: int) -> Matrix:
        """Return the first `width` numbers of the first `n` rows, (n, width)."""
        if isinstance(self.rows, np.ndarray):
            return self.rows[:n, :width]
        return np.array([row[:width] for row in self.rows[:n]]).reshape(n, width)

    def rows_from(self, begin: int) -> list[UnexaminedRow]:
        """Return the rows from `begin` on."""
        if begin == len(self.labels):
            return []
        return [
            UnexaminedRow(*one) for one in zip(*(column[begin:] for column in self), strict=True)
        ]


class TaskMonitor:
    """Detects changes of a stream, divides it into segments, and measures forgetting.

    A test on the errors and one on the inputs raise alarms; both within `min_segment` rows count as
    one change. A few rows of each segment are held out: they are never trained on, and predicted
    again in turn, so that the accuracy matrix is measured while the stream runs. A segment whose
    first hundred rows have the class means of an earlier one is recognised as a return of its task.
    So is a segment in which a model predicts with a snapshot that it took in an earlier task, as
    `LOCOClassifier` does; this opens a segment even if the errors do not rise.

    Parameters
    ----------
    drift_detector
        Test on the errors, one of `loco_stream.drift.describe_detectors()`. Checkpoints need one
        whose state is plain numbers. In regression an error counts if it exceeds the running
        .8-quantile of the errors.
    detector_options
        Keyword arguments of the test.
    inputs
        Whether changes of the inputs are detected too, in the features of the first row.
    tasks
        "auto": alarms start segments. "given": only `begin_task` does. "none": nothing does.
        "column:NAME": a new value of the feature NAME does, and the value names the task.
    holdout
        Rows held out per segment at most. 200 give a standard error of 3 points. With 0 no row is
        stored, and there is no accuracy matrix.
    share
        Probability with which a row is held out, in (0, 1), until the hold-out is full; then it
        falls as in a reservoir.
    rescore_every
        Rows of the stream per prediction of a held-out row, on average.
    max_segments
        Segments kept. Beyond that, the oldest is merged into the next one of its task, or into its
        neighbour.
    min_segment
        Scored rows before an alarm may start another segment.
    problem
        "classification" or "regression".
    seed
        Draws the held-out rows.

    Raises
    ------
    ConfigError
        A setting is of another type or out of its range.

    Examples
    --------
    >>> from loco_stream import TaskMonitor
    >>> monitor = TaskMonitor(holdout=0)
    >>> for i in range(3000):
    ...     y = i % 2
    ...     y_pred = y if i < 2000 or i > 2200 else 1 - y
    ...     for alarm in monitor.update(y, y_pred, {"a": float(y)}, i):
    ...         if alarm.state == "drift":
    ...             print(alarm)
    the concept changed at row 2,000, detected at row 2,007 (HDDMA)
    >>> [(task["start"], task["end"]) for task in monitor.report()["tasks"]]
    [(0, 2000), (2000, None)]
    """

    @renamed(detector="drift_detector", task="problem")
    def __init__(
        self,
        drift_detector: str = "HDDMA",
        detector_options: Mapping[str, Any] | None = None,
        *,
        inputs: bool = True,
        tasks: str = "auto",
        holdout: int = 200,
        share: float = 0.02,
        rescore_every: int = 8,
        max_segments: int = 16,
        min_segment: int = 200,
        problem: str = "classification",
        seed: int = 0,
    ) -> None:
        self._settings = settings = checked_settings(locals())
        holdout = settings["holdout"]
        seed = settings["seed"]
        self._is_regression = settings["problem"] == "regression"
        self._share = settings["share"] if holdout else 0.0
        self._column = TaskColumn(settings["tasks"])
        self._concept = ConceptDetector(settings["drift_detector"], settings["detector_options"])
        self._threshold = ErrorThreshold()
        self._codec = RowCodec()
        self._recall = RecallTracker()
        self._view = InputView(watch=settings["inputs"], seed=seed)
        self._draws = UniformDraws(derive_key(seed, _PURPOSE))
        self._plan = HoldOutPlan(self._share, self._draws)
        self._timeline = Timeline(holdout, settings["max_segments"], self._draws)
        self._rescoring = Rescoring(settings, self._timeline)
        self._alarms = AlarmLog()
        self._labels: set[Label] = set()
        self._last: tuple[int, Label] = (-1, None)  # position and prediction of the last scored row
        self._unscored: HeldRow | None = None  # held out before its first prediction is known
        self._unexamined: list[UnexaminedRow] = []

    def __repr__(self) -> str:
        names = ("problem", "drift_detector", "tasks", "holdout")
        shown = ", ".join(f"{name}={self._settings[name]!r}" for name in names)
        n_segments = len(self._timeline.segments)
        return f"TaskMonitor({shown}, n_drifts={self._alarms.n_drifts}, segments={n_segments})"

    @property
    def settings(self) -> Config:
        """The parameters by name, as plain values."""
        return deepcopy(self._settings)

    @property
    def holds_out(self) -> bool:
        """Whether rows are held out at all."""
        return self._share > 0.0

    @property
    def missing_column(self) -> str:
        """A sentence on a task column that no row so far had a value in; empty if there is none."""
        return self._column.missing

    @property
    def untested_columns(self) -> str:
        """A sentence on columns whose changes are not detected; empty if there are none."""
        late = () if self._view.detector is None else self._codec.names[self._view.width :]
        if not late:
            return ""
        named = listed(map(str, late))
        return f"input drift is not tested in columns that came after the first row: {named}"

    def update(
        self, y: Label, y_pred: Label, x: Row, index: int, features: Names | None = None
    ) -> list[DriftAlarm]:
        """Take one prediction; return the alarms that it raises.

        While no detector warns, rows are examined eight at a time.

        Parameters
        ----------
        y
            The label; None if it is not known (yet): then only the inputs are examined.
        y_pred
            The prediction before the row was learned; None if there is none.
        x
            The row by name, or an array of one row; None if it was examined before, when it came
            without a label.
        index
            Its position in the stream, from 0; never decreasing.
        features
            Names of the columns if `x` is an array.
        """
        row = None
        if x is not None:
            self._follow_column(x, index, features)
            row, _ = self._codec.encode(x, features)
        return self._take(row, y, y_pred, index)

    def rows_together(self, X: Table, index: int, features: Names) -> int:
        """Return how many of the next rows may be learned in one call.

        The monitor has to see the model after the last of them: a group of rows is over, or the
        task column has a new value.

        Parameters
        ----------
        X
            The next rows, (n, n_features).
        index
            Position of the first one.
        features
            Names of the columns.
        """
        n = min(len(X), GROUP - index % GROUP)
        name = self._column.name
        if name is not None and name in features:
            column = X[:n, features.index(name)].tolist()
            return min(n, self._column.rows_until_change(column) + 1)
        return n

    def rows_held_out(self, index: int, n: int) -> list[int]:
        """Return which of the next `n` rows, as many as may be learned in one call, are held out.

        Parameters
        ----------
        index
            Position of the first one.
        n
            From `rows_together`.
        """
        if not self._share:
            return []
        return self._plan.held(index, n, self._timeline.running.hold)

    def encode(self, X: Table, features: Names) -> CodedRows:
        """Return rows (n, n_features) as `update_row` and `hold_out_row` take them."""
        return self._codec.encode_rows(X, features)

    def update_row(
        self, rows: CodedRows, i: int, y: Label, y_pred: Label, index: int
    ) -> list[DriftAlarm]:
        """Do what `update` does for row `i` of an array."""
        self._follow_column(rows.X[i], index, rows.features)
        return self._take(rows.numbers[i], y, y_pred, index)

    def update_rows(
        self,
        rows: CodedRows,
        y: Sequence[Label],
        y_pred: Sequence[Label],
        index: int,
        model: Predictor,
    ) -> bool:
        """Do what `update_row`, `hold_out_row` and `rescore` do for rows that are no event.

        The result is bit-identical. If a row changes the state of a detector, starts a task or is
        not scored, nothing is changed, False is returned, and the rows have to be taken one by one.

        Parameters
        ----------
        rows
            From `encode`; as many as may be learned in one call.
        y, y_pred
            Label and prediction of each row.
        index
            Position of the first one.
        model
            As it is after the last one.
        """
        if not self._expects_no_event(rows, y_pred):
            return False
        threshold = copy(self._threshold) if self._is_regression else self._threshold
        hits, tolerances = self._judge(y, y_pred)
        waiting = self._waiting(rows, y, hits, index)
        X = waiting.inputs(self._n_due(waiting), self._view.width)
        folded = self._test_group(X, waiting.hits)
        if folded is None:
            self._threshold = threshold
            return False
        self._count_group(rows, (y, y_pred, hits, tolerances), index)
        self._recognise_group(waiting, X, folded)
        self._unexamined = waiting.rows_from(len(folded))
        self._rescoring.save(len(y) - 1)
        self.rescore(model, index + len(y) - 1)
        return True

    def _expects_no_event(self, rows: CodedRows, y_pred: Sequence[Label]) -> bool:
        """Return whether no event is due in rows, and none depends on what is left from before."""
        timeline = self._timeline
        column = self._column
        return (
            not self._alarms.unreported
            and self._alarms.are_stable
            and timeline.due_row is None
            and timeline.recurrence is None
            and self._unscored is None
            and bool(self._view.width)
            and None not in y_pred
            and all(one.row is not None and one.hit is not None for one in self._unexamined)
            and (
                column.name is None
                or column.rows_until_change(rows.column(column.name)) == len(y_pred)
            )
        )

    def _waiting(
        self, rows: CodedRows, y: Sequence[Label], hits: Sequence[int], index: int
    ) -> UnexaminedRows:
        """Return the rows that wait to be examined, with those of a group."""
        positions = range(index, index + len(y))
        before = self._unexamined
        if not before:
            return UnexaminedRows(rows.numbers, y, hits, positions)
        return UnexaminedRows(
            [*(one.row for one in before if one.row is not None), *rows.numbers],
            [*(one.y for one in before), *y],
            [*(one.hit for one in before if one.hit is not None), *hits],
            [*(one.index for one in before), *positions],
        )

    def _n_due(self, waiting: UnexaminedRows) -> int:
        """Return how many of the rows that wait would be examined now."""
        n = len(waiting.labels)
        return n - n % _TOGETHER if (waiting.positions[-1] + 1) % GROUP else n

    def _test_group(self, X: Matrix, hits: Sequence[int]) -> Sequence[Vector] | Matrix | None:
        """Test rows (n, width) and the first `n` hits; return each as the input detector sees it.

        Return None, and change nothing, if a state changes.
        """
        if not len(X):
            return []
        before = self._view.snapshot()
        folded = self._view.update_together(X)
        errors = [1 - hit for hit in hits[: len(X)]]
        if folded is None or not self._concept.update_if_stable(errors):
            self._view.restore_snapshot(before)
            return None
        return folded

    def _count_group(
        self,
        rows: CodedRows,
        judged: tuple[Sequence[Label], Sequence[Label], Sequence[int], Sequence[float]],
        index: int,
    ) -> None:
        """Count the predictions of a group, and hold out the rows that are planned.

        `judged` are labels, predictions, and what `_judge` returns for them.
        """
        y, y_pred, hits, tolerances = judged
        if self._column.name is not None:
            for value in rows.column(self._column.name):
                self._column.follow(value, rows.features)
        self._count_labels(y)
        hold = self._timeline.running.hold
        places = self._plan.take_rows(index, len(y), hold) if self._share else {}
        for at, place in places.items():
            i = at - index
            self._last = (at, y_pred[i])
            row = rows.numbers[i].copy()
            self._hold_out(row, rows.extras_of(i), y[i], at, place, tolerances[i])
        self._last = (index + len(y) - 1, y_pred[-1])
        self._timeline.add(hits, index)

    def _recognise_group(
        self, waiting: UnexaminedRows, X: Matrix, folded: Sequence[Vector] | Matrix
    ) -> None:
        """Do what `_examine` does with rows `X`, the first that wait, which the detectors saw."""
        running = self._timeline.running
        n_examined = len(folded)
        if self._view.has_protected:
            for i in range(n_examined):
                if not waiting.hits[i]:
                    self._view.add_update_energy(running.update_energy, folded[i])
        n_before = running.n - len(waiting.labels)
        positions = waiting.positions[:n_examined]
        wanted = self._timeline.rows_to_describe(positions, n_before, _TOGETHER)
        if wanted:  # no task is to be recognised, or a row could be an event
            values = self._view.signature_rows(X[wanted])
            labels = [self._class_of(waiting.labels[i]) for i in wanted]
            index = [positions[i] for i in wanted]
            self._timeline.describe(values, labels, index, self._view.scale)

    def _take(self, row: Vector | None, y: Label, y_pred: Label, index: int) -> list[DriftAlarm]:
        hit = None if y is None or y_pred is None else self._score(y, y_pred, index)
        self._unexamined.append(UnexaminedRow(row, y, hit, index))
        if self._alarms.suspects or len(self._unexamined) >= _TOGETHER:
            self._examine()
        return self._alarms.take()

    def hold_out(self, x: Row, y: Label, index: int, features: Names | None = None) -> bool:
        """Return whether a row is held out, and must not be learned; arguments as for `update`."""
        place = self._place_of(index)
        if place is None:
            return False
        row, extras = self._codec.encode(x, features)
        return self._hold_out(row, extras, y, index, place, self._tolerance)

    def hold_out_row(self, rows: CodedRows, i: int, y: Label, index: int) -> bool:
        """Do what `hold_out` does for row `i` of an array."""
        place = self._place_of(index)
        if place is None:
            return False
        row = rows.numbers[i].copy()
        return self._hold_out(row, rows.extras_of(i), y, index, place, self._tolerance)

    def _place_of(self, index: int) -> int | None:
        """Return the place of a row in the hold-out, None if it is no candidate."""
        return self._plan.take(index, self._timeline.running.hold) if self._share else None

    @property
    def _tolerance(self) -> float:
        """Error up to which a prediction is correct now; 0 in classification."""
        return max(self._threshold.quantile, 1e-300) if self._is_regression else 0.0

    def _hold_out(
        self, row: Vector, extras: Extras, y: Label, index: int, place: int, tolerance: float
    ) -> bool:
        label = to_number(y) if self._is_regression else y
        held = HeldRow(index, row, extras, label, tolerance)
        scored, y_pred = self._last
        if scored == index:
            held.score(y_pred, index)
        else:
            self._unscored = held
        return self._timeline.running.hold.put(held, place)

    def rescore(self, model: Predictor, index: int | None = None) -> None:
        """Let `model` predict some held-out rows again, as far as the budget allows.

        Called after every row that was scored. Rows are predicted after the last one of a group,
        and after the first one of a task that was given. The attribute `recalled` of a model, if
        it has one, is the snapshot it predicts with.

        Parameters
        ----------
        model
            As it is after the row.
        index
            Position of the row; by default that of the last scored one.
        """
        self._rescoring.save(1)
        due = self._timeline.due_row
        at = self._last[0] if index is None else index
        if (at + 1) % GROUP and (due is None or not due.is_now):
            return
        self._examine()
        recalled = getattr(model, "recalled", None)
        if recalled is not None and recalled != self._recall.nothing_new:
            self._follow_recall(*recalled)
        self._rescoring.spend(model, self._codec, self._last[0])

    def measure(self, model: Predictor) -> None:
        """Examine all rows and predict every held-out row now: the stream has ended."""
        self._examine()
        at = self._last[0]
        if self._timeline.due_row is not None:
            self._timeline.measure_row(model, self._codec, math.inf, at)
        for segment in self._timeline.segments:
            segment.hold.rescore(model, self._codec, len(segment.hold.rows), at)

    def begin_task(self, name: str | None = None, index: int | None = None) -> None:
        """Start a segment: a new task begins.

        Parameters
        ----------
        name
            Name of the task; one used before means that this task is back.
        index
            Position of its first row in the stream; by default the next one.
        """
        self._examine()
        at = self._last[0] + 1 if index is None else index
        self._concept.restart()
        self._view.restart()
        if self._timeline.running.n:
            self._start_segment(at, "boundary")
            boundary = DriftAlarm(at, "boundary", "given", "drift", at, name or "")
            self._alarms.count_drift(boundary)
            if self._column.name is not None:
                self._alarms.add(boundary)
        if name is not None:
            self._timeline.name_task(name)

    def report(self) -> Config:
        """Return drifts, tasks, the accuracy matrix and its measures with standard errors.

        Returns
        -------
        dict
            drifts (the last 1000: at, since, kind, detector, task), n_drifts, n_without_task,
            tasks (one entry per segment), n_merged_segments, accuracy_matrix and
            accuracy_matrix_se (segments x segments, None where not measured; the last row is the
            running segment as last measured), average_accuracy, forgetting, backward_transfer and
            forward_transfer, each with its standard error under the name + "_se"; None where
            nothing was measured. Forward transfer is estimated as accuracy on the first 20 rows of
            a segment minus chance.
        """
        return {
            "drifts": self._alarms.report(),
            "n_drifts": self._alarms.n_drifts,
            "n_without_task": self._column.n_missing,
            **self._timeline.report(transfers=not self._is_regression),
        }

    def _follow_column(self, x: Row, index: int, features: Names | None) -> None:
        """Start a segment if there is a task column, and it has a new value in this row."""
        if self._column.name is None:
            return
        named: Mapping[Hashable, object] = (
            x if features is None else dict(zip(features, np.ravel(x), strict=True))
        )
        name = self._column.follow(named.get(self._column.name), named)
        if name is not None:
            self.begin_task(name, index)

    def _score(self, y: Label, y_pred: Label, index: int) -> int:
        """Count one prediction; return 1 if it was correct, else 0."""
        ((hit,), _) = self._judge([y], [y_pred])
        self._count_labels([y])
        self._last = (index, y_pred)
        if self._unscored is not None and self._unscored.index == index:
            self._unscored.score(y_pred, index)
        self._unscored = None
        self._timeline.add([hit], index)
        return hit

    def _judge(self, y: Sequence[Label], y_pred: Sequence[Label]) -> tuple[list[int], list[float]]:
        """Return 1 for each correct prediction, else 0, and the `_tolerance` after each."""
        pairs = zip(y, y_pred, strict=True)
        if not self._is_regression:
            return [1 if label == prediction else 0 for label, prediction in pairs], [0.0] * len(y)
        hits = []
        tolerances = []
        for value, prediction in pairs:
            error = abs(to_number(value) - to_number(prediction))
            # NaN is a wrong prediction, but no example of the usual size of errors
            hit = 1 - self._threshold.update(error) if math.isfinite(error) else 0
            hits.append(hit)
            tolerances.append(self._tolerance)
        return hits, tolerances

    def _count_labels(self, labels: Sequence[Label]) -> None:
        """Add labels to those that a random guess would choose from."""
        if self._is_regression or self._labels.issuperset(labels):
            return
        for y in labels:
            if y not in self._labels and len(self._labels) < _MAX_LABELS:
                self._labels.add(y)

    def _examine(self) -> None:
        """Pass the rows that wait to the detectors and to the signature of their segment."""
        rows = self._unexamined
        timeline = self._timeline
        if not rows:
            return
        self._unexamined = []
        newest = rows[-1].index
        folded = self._test_inputs(rows, newest)
        for one, row in zip(rows, folded, strict=True):
            if one.hit is not None:
                self._test_error(one, row, newest)
        for one in rows:
            if one.y is None or one.row is None:
                continue
            if one.index % timeline.signature_step(timeline.running.n) == 0:
                self._recognise(one.row, one.y, one.index)

    def _test_inputs(self, rows: list[UnexaminedRow], newest: int) -> list[Vector | None]:
        """Test the inputs; return each row, or the one before it, as the detector sees it."""
        last = self._view.folded
        whole = [one.row for one in rows if one.row is not None]
        if not whole:
            return [last] * len(rows)
        tested = zip(*self._view.update(whole), strict=True)
        folded = []
        for one in rows:
            if one.row is not None:
                state, onset, last = next(tested)
                self._test_moves(one.row, one.index, newest)
                if state != self._alarms.states["input"]:
                    since = one.index + 1 - onset
                    moved = self._feature_names(self._view.moves.most_moved())
                    alarm = DriftAlarm(newest, "input", "energy", state, since, features=moved)
                    self._take_state(alarm)
            folded.append(last)
        return folded

    def _test_moves(self, row: Vector, index: int, newest: int) -> None:
        """Report a feature that repeats its value; no other task begins by that."""
        stuck = self._view.stuck(row)
        if stuck < 0:
            return
        since = max(0, index - self._view.moves.run(stuck))
        alarm = DriftAlarm(
            newest, "input", "stuck", "drift", since, features=self._feature_names([stuck])
        )
        self._alarms.add(alarm)
        self._alarms.count_drift(alarm)

    def _feature_names(self, columns: Sequence[int]) -> tuple[str, ...]:
        """Return names of features of the inputs."""
        names = self._codec.names
        return tuple(str(names[column]) for column in columns)

    def _test_error(self, one: UnexaminedRow, row: Vector | None, newest: int) -> None:
        hit = bool(one.hit)
        state = self._concept.update(1 - hit)
        if state != self._alarms.states["concept"]:
            since = one.index + 1 - self._concept.onset
            self._take_state(DriftAlarm(newest, "concept", self._concept.name, state, since))
        if not hit:
            self._view.add_update_energy(self._timeline.running.update_energy, row)

    def _take_state(self, alarm: DriftAlarm) -> None:
        """Take the new state of a detector; report a warning, act on a drift."""
        self._alarms.set_state(alarm.kind, alarm.state)
        if alarm.state == "stable":
            return
        since = max(0, alarm.since) if alarm.state == "drift" else alarm.at
        alarm = replace(alarm, since=since)
        self._alarms.add(alarm)
        if alarm.state == "drift":
            self._alarms.count_drift(alarm)
            running = self._timeline.running
            if self._settings["tasks"] == "auto" and running.n >= self._settings["min_segment"]:
                self._start_segment(max(since, running.start + 1), alarm.kind)

    def _start_segment(self, at: int, began: str) -> None:
        """End the running segment and start the next one at position `at`."""
        self._timeline.start_segment(at, began, len(self._labels))
        self._view.close_segment()

    def _class_of(self, y: Label) -> Label:
        """Return the class that signatures take for a label."""
        return self._view.is_above_mean(y) if self._is_regression else y

    def _recognise(self, row: Vector, y: Label, index: int) -> None:
        """Add a row to the signature of its segment; report if its task is a known one."""
        values = self._view.signature_row(row)
        if values is None:
            return
        name = self._timeline.recognise(values, self._class_of(y), index, self._view.scale)
        if name is not None:
            running = self._timeline.running
            alarm = DriftAlarm(index, running.began, "signature", "return", running.start, name)
            self._alarms.add(alarm)

    def _follow_recall(self, n_taken: int, active: int) -> None:
        """Follow the snapshots of a model; one of another task that stays active is a return."""
        timeline = self._timeline
        at = self._last[0]
        running = timeline.running
        before = timeline.task_at(at - _SNAPSHOT_AGE)
        task = self._recall.update(at, n_taken, active, before, running.task)
        # a task whose segments were merged into others has no name any more
        if task is None or task not in timeline.names or self._settings["tasks"] != "auto":
            return
        since = self._recall.since
        if running.began == "concept" and since < running.start + _SNAPSHOT_AGE:
            since = running.start  # the errors revealed the change first
        elif running.n >= self._settings["min_segment"]:
            self._start_recalled(at, since)
        else:
            return
        timeline.return_to(task)
        timeline.recurrence = None
        name = timeline.names[task]
        self._alarms.add(DriftAlarm(at, "concept", "recall", "return", since, name))

    def _start_recalled(self, at: int, since: int) -> None:
        """Start a segment that the errors did not reveal."""
        drift = DriftAlarm(at, "concept", "recall", "drift", since)
        self._alarms.count_drift(drift)
        self._alarms.add(drift)
        self._start_segment(since, "concept")
        self._concept.restart()

    def export_state(self) -> tuple[Config, Arrays]:
        """Return everything as plain values and arrays.

        Raises
        ------
        CheckpointError
            A checkpoint cannot hold the state of the drift detector.
        """
        timeline, arrays = self._timeline.export_state()
        arrays |= with_prefix("concept", self._concept.export_state())
        arrays |= with_prefix("view", self._view.export_state())
        for i, one in enumerate(self._unexamined):
            if one.row is not None:
                arrays[f"unexamined/{i}"] = one.row.copy()
        config = {
            "settings": self.settings,
            "alarms": self._alarms.export_state(),
            "column": self._column.export_state(),
            "labels": sorted(map(plain, self._labels), key=repr),
            "recall": self._recall.export_state(),
            "rescoring": self._rescoring.export_state(),
            "features": list(self._codec.names),
            "n_inputs": self._view.width,
            "timeline": timeline,
            **self._export_rows(),
        }
        return config, arrays

    def _export_rows(self) -> Config:
        """Return what concerns single rows as plain values."""
        index, y_pred = self._last
        unexamined = [
            [plain(one.y), one.hit, one.index, one.row is not None] for one in self._unexamined
        ]
        return {
            "draws": [self._draws.key, self._draws.counter],
            "planned": self._plan.export_state(),
            "threshold": [self._threshold.n, self._threshold.quantile],
            "last": [index, plain(y_pred)],
            "unscored": None if self._unscored is None else self._unscored.index,
            "unexamined": unexamined,
        }

    def restore_state(self, config: State, arrays: Mapping[str, Array]) -> None:
        """Continue from what `export_state` returned, settings included.

        Raises
        ------
        CheckpointError
            The state is incomplete; nothing is changed.
        """
        try:
            fresh = type(self)(**config["settings"])
            fresh._restore_parts(config, arrays)
            fresh._restore_rows(config, arrays)
        except ConfigError as error:
            raise CheckpointError(
                f"the saved monitor has settings that this release refuses: {error}"
            ) from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"the saved state of the monitor cannot be restored: {error!r}"
            ) from error
        self.__dict__.update(fresh.__dict__)

    def _restore_parts(self, config: State, arrays: Mapping[str, Array]) -> None:
        self._alarms.restore_state(config["alarms"])
        self._column.restore_state(config["column"])
        self._recall.restore_state(config["recall"])
        self._rescoring.restore_state(config["rescoring"])
        self._codec.restore_names(config["features"])
        self._concept.restore_state(without_prefix("concept", arrays))
        self._view.restore_state(config["n_inputs"], without_prefix("view", arrays))
        self._timeline.restore_state(config["timeline"], arrays)
        self._labels = set(config["labels"])

    def _restore_rows(self, config: State, arrays: Mapping[str, Array]) -> None:
        self._draws = UniformDraws(*config["draws"])
        self._timeline.draws = self._draws
        self._plan = HoldOutPlan(self._share, self._draws)
        self._plan.restore_state(config["planned"])
        self._threshold.n, self._threshold.quantile = config["threshold"]
        index, y_pred = config["last"]
        self._last = (index, y_pred)
        for i, (y, hit, position, has_row) in enumerate(config["unexamined"]):
            hash(y)  # raises TypeError for what cannot be a label
            row = arrays[f"unexamined/{i}"].copy() if has_row else None
            self._unexamined.append(UnexaminedRow(row, y, hit, position))
        held = self._timeline.running.hold.rows
        unscored = [row for row in held if row.index == config["unscored"]]
        self._unscored = unscored[0] if unscored else None
