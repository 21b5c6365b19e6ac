"""Test-then-train: every row is predicted and scored before it is learned."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from loco_stream._numbers import to_number
from loco_stream._persistence.content import Config, State
from loco_stream._problems import TARGETS, is_numeric, plain_label, plain_labels
from loco_stream.engine._limited_log import AlarmLines, LimitedLog
from loco_stream.engine._measures import RunMeasures
from loco_stream.engine._model_adapter import (
    BlockPredictions,
    Interval,
    ModelAdapter,
    RowPrediction,
    joined,
)
from loco_stream.engine._pending import PendingRow, PendingRows
from loco_stream.engine._row import Label, Proba, Row, cut, row_at, rows_of
from loco_stream.engine._target_adapter import TargetSummary
from loco_stream.engine._watching import Watcher
from loco_stream.errors import InputError
from loco_stream.metrics.scores._definition import ScoredRows
from loco_stream.monitor import DriftAlarm, TaskMonitor
from loco_stream.monitor._row_codec import CodedRows
from loco_stream.stream import Block, Prediction, Predictions

_log = logging.getLogger("loco_stream.engine.trainer")
_limited = LimitedLog(_log)

_SCORED_TOGETHER = 1024  # rows: scores cost less for many rows at once

_COUNTERS = ("n_samples", "n_unlabelled", "n_held_out", "n_unusable", "n_drifts")


class ScoredRow(NamedTuple):
    """A labelled row, and its prediction before it was learned."""

    row: Row
    y: Label
    y_pred: Label
    proba: Proba | None
    interval: Interval


class _Failure(NamedTuple):
    """What rows that were learned together raised."""

    error: Exception
    is_partly_learned: bool


class _Unscored:
    """Rows that follow one another, are learned, and are neither scored nor emitted yet."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.y_pred: list[Label] = []
        self.times: list[float] = []
        self.first: Block | None = None  # begins with the first row
        self.last: Block | None = None  # ends with the last row
        self._predicted: list[BlockPredictions] = []

    def add(
        self,
        part: Block,
        labels: Sequence[Label],
        y_pred: Sequence[Label],
        predicted: BlockPredictions,
    ) -> None:
        """Append rows; `y_pred` are the usable ones of their predictions."""
        if self.first is None:
            self.first = part
        self.last = part
        self.labels += labels
        self.y_pred += y_pred
        self.times += [part.t] * len(labels) if part.times is None else part.times.tolist()
        self._predicted.append(predicted)

    def joined(self) -> BlockPredictions:
        """Return the predictions of all rows."""
        return joined(self._predicted)


class Trainer:
    """Predicts, scores and learns rows with one model; rows without a label wait for it.

    It starts no thread, and its state is plain values and arrays, in bounded memory.

    adapter: the model
    pending: rows that wait for their labels
    measures: scores; None if nothing is scored
    monitor: examines every prediction, and may hold out rows; None for no monitor
    in_detail: whether probabilities and intervals are computed and scored too
    logs_source: whether the log line of an alarm begins with the source of the row, which ends with
        the key in a fleet

    Its attributes:
    n_samples: labelled rows, learned or held out
    n_unlabelled: rows that waited, or wait, for their labels
    n_held_out: rows that were held out
    n_unusable: predictions of a regression that were not finite numbers; they are not scored
    n_drifts, last_drift: number of drift alarms, and the row of the last one
    last: the last labelled row
    watcher: scores every row with an anomaly detector; None without one
    now: time at which rows arrive, seconds since 1970
    """

    def __init__(
        self,
        adapter: ModelAdapter,
        pending: PendingRows,
        measures: RunMeasures | None = None,
        monitor: TaskMonitor | None = None,
        *,
        in_detail: bool = True,
        logs_source: bool = False,
    ) -> None:
        self.adapter = adapter
        self.pending = pending
        self.measures = measures
        self.monitor = monitor
        self.n_samples = 0
        self.n_unlabelled = 0
        self.n_held_out = 0
        self.n_unusable = 0
        self.n_drifts = 0
        self.last_drift: int | None = None
        self.last: ScoredRow | None = None
        self.watcher: Watcher | None = None
        self.now = 0.0
        self._in_detail = in_detail
        self._logs_source = logs_source
        self._set_problem()
        self._emit: Callable[[Prediction], None] | None = None
        self._emit_block: Callable[[Predictions], None] | None = None
        self._emit_alarm: Callable[[DriftAlarm, Row], None] | None = None
        self._alarm_lines = AlarmLines(_log)
        self._unscored = _Unscored()

    def set_task(
        self, adapter: ModelAdapter, measures: RunMeasures, monitor: TaskMonitor | None
    ) -> None:
        """Replace the model and what measures it, before the first label is learned."""
        self.adapter = adapter
        self.measures = measures
        self.monitor = monitor
        self._set_problem()
        self.pending.forget_predictions()

    def _set_problem(self) -> None:
        problem = "" if self.measures is None else self.measures.problem
        self._is_regression = is_numeric(problem)
        self._with_proba = self._in_detail and not self._is_regression
        self._summary = TargetSummary() if problem == TARGETS else None

    def on_prediction(
        self, emit: Callable[[Prediction], None], emit_block: Callable[[Predictions], None]
    ) -> None:
        """Pass every prediction to one function, those of blocks learned in one call to another."""
        self._emit = emit
        self._emit_block = emit_block

    def on_alarm(self, emit: Callable[[DriftAlarm, Row], None]) -> None:
        """Pass every alarm of the monitor, with the row that raised it, to a function."""
        self._emit_alarm = emit

    @property
    def is_watching(self) -> bool:
        """Whether there is a detector and no model: rows need no labels."""
        return self.measures is not None and self.measures.problem == "watching"

    def watch_row(self, row: Row) -> None:
        """Count a row of a stream without labels, and examine its inputs."""
        self._examine(None, None, row, is_late=False)
        self.n_samples += 1

    @property
    def takes_blocks(self) -> bool:
        """Whether a block of labelled rows may be learned in few calls."""
        has_listener = self._emit is not None and not self.adapter.has_full_blocks
        return self.adapter.takes_blocks and not has_listener

    # labelled rows

    def learn_row(self, row: Row, y: Label) -> Label:
        """Predict and score a labelled row, then learn it; return the prediction.

        Raises `InputError` if the model refuses the row: nothing was learned.
        """
        self.adapter.enter_sequence(row.sequence)
        if self._in_detail:
            predicted = self.adapter.predict_row(row, self._with_proba)
        else:
            predicted = RowPrediction(self.adapter.predict(row))
        prediction = self._usable(predicted)
        self._finish(row, prediction, plain_label(y), is_late=False)
        return prediction.y_pred

    def learn_block(
        self,
        block: Block,
        labels: Sequence[Label],
        rows: Sequence[Row] | None = None,
        refuse: Callable[[Block, Exception, bool], None] | None = None,
    ) -> list[Label]:
        """Do the same for the rows of a block, in as few calls as the monitor allows.

        Scores, alarms, hold-outs and checkpoints are those of `learn_row` for each row.

        Raises `InputError` if the model refuses rows, and there is no `refuse`.

        block, labels: the rows, and one label per row
        rows: the same rows one by one, if the caller has them
        refuse: called with rows that were to be learned together and are not counted, the error,
            and whether the model may have learned some of them; the other rows of the block are
            learned. By default the error is raised.
        """
        said: list[Label] = []
        begin = 0
        while begin < len(block.X):
            n = self._rows_together(block, begin)
            part = block if n == len(block.X) else cut(block, begin, begin + n)
            each = None if rows is None else rows[begin : begin + n]
            n_before = self.n_samples
            y_pred, failure = self._learn_part(part, labels[begin : begin + n], each)
            said += y_pred
            begin += n
            if (
                failure is not None
                or begin == len(block.X)
                or len(self._unscored.labels) >= _SCORED_TOGETHER
            ):
                self._score_learned()
            if failure is not None:
                if refuse is None:
                    raise failure.error
                n_done = self.n_samples - n_before
                refuse(cut(part, n_done, n) if n_done else part, *failure)
        return said

    def _rows_together(self, block: Block, begin: int) -> int:
        """Return how many rows from `begin` on may be learned in one call."""
        if self.monitor is None:
            return len(block.X) - begin
        return self.monitor.rows_together(block.X[begin:], self.n_samples, block.features)

    def _learn_part(
        self, part: Block, labels: Sequence[Label], rows: Sequence[Row] | None
    ) -> tuple[list[Label], _Failure | None]:
        """Predict and learn rows between which the monitor needs no model, then examine them.

        Return the predictions, and what the other rows of the part raised.
        """
        parts: list[BlockPredictions] = []
        held: list[int] = []
        failure = None
        n_predicted = 0
        n_seen = self.adapter.n_seen
        try:
            if self.monitor is not None:
                held = self.monitor.rows_held_out(self.n_samples, len(part.X))
            labels = plain_labels(labels)
            for predicted in self.adapter.test_then_train(part, labels, held, self._in_detail):
                parts.append(predicted)
                n_predicted += len(predicted.y_pred)
                if n_predicted < len(labels):  # another call follows
                    n_seen = self.adapter.n_seen
        except Exception as error:
            failure = _Failure(error, self._has_learned(n_seen, error))
        if not parts:
            return [], failure
        try:  # the rows before those that failed are learned
            return self._finish_part(part, labels, held, rows, joined(parts)), failure
        except Exception as error:
            return [], _Failure(error, True)

    def _has_learned(self, n_seen: int | None, error: Exception) -> bool:
        """Return whether a call that failed may have learned rows, `n_seen` being those before it.

        A model that does not count its rows learns none of those that it refuses.
        """
        if n_seen is None:
            return not isinstance(error, InputError)
        return self.adapter.n_seen != n_seen

    def _finish_part(
        self,
        part: Block,
        labels: Sequence[Label],
        held: Sequence[int],
        rows: Sequence[Row] | None,
        predicted: BlockPredictions,
    ) -> list[Label]:
        """Examine the rows that have a prediction, the first ones of a part."""
        n = len(predicted.y_pred)
        if n < len(labels):
            part = cut(part, 0, n)
            labels = labels[:n]
        y_pred = predicted.y_pred
        if self._is_regression:
            y_pred = list(map(self._finite, y_pred))
        self._unscored.add(part, labels, y_pred, predicted)
        if self.monitor is None:
            self.n_samples += n
        else:
            n_held = sum(i < n for i in held)
            self._examine_part(self.monitor, part, labels, y_pred, n_held, rows)
        return y_pred

    def _score_learned(self) -> None:
        """Emit and score the rows that were learned since the last call."""
        rows = self._unscored
        if not rows.labels:
            return
        self._unscored = _Unscored()
        predicted = rows.joined()
        p_true = predicted.p_true(rows.labels)
        self.last = _last_scored(rows, p_true[-1], predicted.interval[-1])
        if self._emit_block is not None:
            self._emit_block(_predictions(rows, predicted))
        if self.measures is not None:
            scored = ScoredRows(rows.labels, rows.y_pred, p_true, predicted.interval)
            _score_part(self.measures, scored, predicted)

    def _examine_part(
        self,
        monitor: TaskMonitor,
        part: Block,
        labels: Sequence[Label],
        y_pred: Sequence[Label],
        n_held: int,
        rows: Sequence[Row] | None,
    ) -> None:
        """Pass rows to the monitor, which sees the model after the last one, and count them."""
        encoded = monitor.encode(part.X, part.features)
        pairs = self._summarised_rows(labels, y_pred)
        if monitor.update_rows(encoded, *pairs, self.n_samples, self.adapter.model):
            self.n_samples += len(labels)
            self.n_held_out += n_held
        else:
            self._score_learned()  # an alarm is emitted after the predictions up to it
            each = rows_of(part) if rows is None else rows
            is_predicted = [prediction is not None for prediction in y_pred]
            self._examine_rows(monitor, each, encoded, pairs, is_predicted)

    def _examine_rows(
        self,
        monitor: TaskMonitor,
        rows: Sequence[Row],
        encoded: CodedRows,
        pairs: tuple[Sequence[Label], Sequence[Label]],
        is_predicted: Sequence[bool],
    ) -> None:
        """Do what `_examine_part` does row by row, since something happens in them.

        `pairs` are the labels and the predictions, as the monitor takes them.
        """
        model = self.adapter.model
        holds_out = monitor.holds_out
        for i, (y, prediction) in enumerate(zip(*pairs, strict=True)):
            index = self.n_samples
            if is_predicted[i]:
                alarms = monitor.update_row(encoded, i, y, prediction, index)
                if alarms:
                    self._take_alarms(alarms, rows[i])
            if holds_out and monitor.hold_out_row(encoded, i, y, index):
                self.n_held_out += 1
            monitor.rescore(model, index)
            self.n_samples = index + 1

    # rows whose labels come later

    def predict_row(self, row: Row) -> PendingRow:
        """Predict a row whose label comes later, and examine its inputs.

        Raises `InputError` if the model refuses the row.
        """
        self.adapter.enter_sequence(row.sequence)
        prediction = self._usable(self.adapter.observe(row, self._with_proba))
        pending = PendingRow(row, prediction, self.now)
        self._examine(None, prediction.y_pred, row, is_late=False)
        return pending

    def observe_row(self, row: Row) -> Label:
        """Predict a row and keep it until its label comes; return the prediction.

        Raises `InputError` if the model refuses the row.
        """
        self.adapter.enter_sequence(row.sequence)
        return self._keep(row, self.adapter.observe(row, self._with_proba))

    def observe_block(self, block: Block) -> None:
        """Do the same for every row of a block, in one call."""
        predicted = self.adapter.observe_block(block, self._with_proba)
        for row, prediction in zip(rows_of(block), predicted, strict=True):
            self._keep(row, prediction)

    def _keep(self, row: Row, prediction: RowPrediction) -> Label:
        self.n_unlabelled += 1
        prediction = self._usable(prediction)
        self.pending.put(PendingRow(row, prediction, self.now))
        self._examine(None, prediction.y_pred, row, is_late=False)
        self._emit_prediction(row, prediction, None)
        return prediction.y_pred

    def learn_label(self, source: str, epoch: int, seq: int, y: Label) -> PendingRow | None:
        """Learn the row that waits for this label, if any and if `y` is not None; return the row.

        Raises `InputError` if the model refuses the row: nothing was learned.
        """
        pending = self.pending.take(source, epoch, seq)
        if pending is not None and y is not None:
            self.learn_pending(pending, plain_label(y))
        return pending

    def learn_label_by_id(self, row_id: Any, y: Label) -> None:
        """Learn the row with an id, now or, if it has not come yet, when it comes.

        Raises `InputError` if the model refuses the row: nothing was learned.
        """
        key = self.pending.ids.find(row_id, plain_label(y), self.now)
        if key is not None:
            self.learn_label(*key, y)

    def learn_pending(self, pending: PendingRow, y: Label) -> None:
        """Score and learn a row whose label has come."""
        self._finish(pending.row, pending.prediction, y, is_late=True)

    # steps of a row

    def _finish(self, row: Row, prediction: RowPrediction, y: Label, is_late: bool) -> None:
        """Score a prediction, then learn its row unless it is held out."""
        y_pred, proba, interval, ticket = prediction
        self._emit_prediction(row, prediction, y)
        self.last = ScoredRow(row, y, y_pred, proba, interval)
        if self.measures is not None:
            p_true = proba.get(y, 0.0) if proba else None
            self.measures.score(y, y_pred, p_true, interval)
        if y_pred is not None:
            self._examine(y, y_pred, row, is_late)
        if self.measures is not None and proba:
            self.measures.ranking.update(y, proba)
        if self._is_held_out(row, y):
            self.n_held_out += 1
            if not is_late:  # the next row follows it
                self.adapter.observe(row, False)
        else:
            self.adapter.learn(row, y, ticket)
        if self.monitor is not None:
            self.monitor.rescore(self.adapter.model, self.n_samples)
        self.n_samples += 1

    def _is_held_out(self, row: Row, y: Label) -> bool:
        monitor = self.monitor
        if monitor is None or not monitor.holds_out:
            return False
        return monitor.hold_out(row.x, y, self.n_samples, row.features)

    def _examine(self, y: Label, y_pred: Label, row: Row, is_late: bool) -> None:
        """Pass a prediction to the monitor; the inputs of a late row were examined before."""
        if self.monitor is None:
            return
        x = None if is_late else row.x
        features = None if is_late else row.features
        if y is not None and self._summary is not None:
            y, y_pred = self._summary.update(y, y_pred)
        self._take_alarms(self.monitor.update(y, y_pred, x, self.n_samples, features), row)

    def _summarised_rows(
        self, labels: Sequence[Label], y_pred: Sequence[Label]
    ) -> tuple[Sequence[Label], Sequence[Label]]:
        """Return labels and predictions as the monitor takes them: one number for all targets.

        Both are None for a row without a prediction, and the label of such a row does not enter the
        scale of the summaries.
        """
        if self._summary is None:
            return labels, y_pred
        pairs = [
            (None, None) if prediction is None else self._summary.update(y, prediction)
            for y, prediction in zip(labels, y_pred, strict=True)
        ]
        return [y for y, _ in pairs], [prediction for _, prediction in pairs]

    def _take_alarms(self, alarms: Sequence[DriftAlarm], row: Row) -> None:
        for alarm in alarms:
            self._alarm_lines.add(alarm, row.source if self._logs_source else "")
            if alarm.state == "drift":
                self.last_drift = alarm.at
                self.n_drifts += 1
            if self._emit_alarm is not None:
                self._emit_alarm(alarm, row)

    def _usable(self, prediction: RowPrediction) -> RowPrediction:
        """Return a prediction without a value that is not finite."""
        y_pred = self._finite(prediction.y_pred)
        return prediction._replace(y_pred=None) if y_pred is None else prediction

    def _finite(self, y_pred: Label) -> Label:
        """Return a prediction, or None, counted, for a value that is not finite.

        A diverging model must not end the run.
        """
        if not self._is_regression or _is_finite(y_pred):
            return y_pred
        self.n_unusable += 1
        _limited.warning("the prediction %r is not a finite number and is not scored", y_pred)
        return None

    def _emit_prediction(self, row: Row, prediction: RowPrediction, y: Label) -> None:
        if self._emit is not None:
            y_pred = prediction.y_pred
            where = (row.t, row.source, row.epoch, row.id, row.extra)
            self._emit(Prediction(row.seq, y_pred, y, prediction.proba, *where))

    # checkpoints

    def export_state(self) -> Config:
        """Return everything but model, measures and monitor as plain values."""
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "last_drift": self.last_drift,
            "pending": self.pending.export_state(),
            **({} if self._summary is None else {"summary": self._summary.export_state()}),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.last_drift = state["last_drift"]
        self.pending.restore_state(state["pending"])
        if self._summary is not None:
            self._summary.restore_state(state["summary"])


def _is_finite(y_pred: Label) -> bool:
    """Return whether every predicted number is finite; None, no prediction, is fine."""
    if y_pred is None:
        return True
    values = y_pred.values() if isinstance(y_pred, dict) else (y_pred,)
    return all(math.isfinite(to_number(value)) for value in values)


def _score_part(measures: RunMeasures, rows: ScoredRows, predicted: BlockPredictions) -> None:
    measures.score_many(rows)
    if predicted.proba is not None:
        measures.ranking.update_block(
            rows.y_true, predicted.proba, predicted.classes, predicted.known
        )


def _predictions(rows: _Unscored, predicted: BlockPredictions) -> Predictions:
    block = rows.first
    assert block is not None
    return Predictions(
        block.seq,
        rows.times,
        rows.y_pred,
        rows.labels,
        predicted.proba,
        predicted.classes,
        predicted.known,
        block.source,
        block.epoch,
    )


def _last_scored(rows: _Unscored, p_true: float | None, interval: Interval) -> ScoredRow:
    block = rows.last
    assert block is not None
    y = rows.labels[-1]
    proba = None if p_true is None else {y: p_true}
    return ScoredRow(row_at(block, len(block.X) - 1), y, rows.y_pred[-1], proba, interval)
