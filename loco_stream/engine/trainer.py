"""Test-then-train: every row is predicted before it is learned, at once or when its label comes."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from loco_stream.engine.ledger import Ledger
from loco_stream.engine.listeners import Listeners
from loco_stream.engine.model_adapter import Answer, ModelAdapter, Observed, Row, plain
from loco_stream.engine.pending import Pending, Waiting
from loco_stream.engine.score import Score
from loco_stream.errors import ConfigError, InputError
from loco_stream.monitor.alarm import Alarm
from loco_stream.numbers import to_number
from loco_stream.stream import Block, Event, Labels, Prediction, Predictions, PredictRequest, Sample

__all__ = ["Answered", "Trainer"]

_COUNTERS = (
    "n_samples",
    "n_unlabelled",
    "n_held_out",
    "n_rejected",
    "n_unusable",
    "n_set_aside",
    "n_asked",
)


class Answered(NamedTuple):
    """A row whose label is known, and what was said of it before."""

    row: Row
    y: Any
    y_pred: Any
    proba: Mapping[Any, float] | None
    interval: tuple[float, float] | None


class Trainer:
    """Turns events into predictions, scores and learning steps.

    Parameters
    ----------
    model_adapter
        The model.
    score
        Counts answers.
    monitor
        A `TaskMonitor`: sees every answer, and may withhold rows from training.
    pending
        Rows that wait for late labels.
    delay
        Samples between a row and its label, None for none: row i is learned right before row
        i + delay is predicted, as in river's `progressive_val_score`.
    reply
        Called with an event, values and classes where somebody asked.
    ledger
        Counts what is not used.
    strict
        Raise when the model refuses a row; otherwise count the row as rejected and go on.
    """

    def __init__(
        self,
        model_adapter: ModelAdapter,
        score: Score,
        monitor: Any,
        pending: Pending,
        delay: int | None,
        reply: Callable[[Event, Any, Sequence[Any]], None],
        ledger: Ledger,
        strict: bool,
    ) -> None:
        if delay is not None and delay < 0:
            raise ConfigError(f"delay must be 0 samples or more, not {delay}")
        self.model_adapter = model_adapter
        self.score = score
        self.monitor = monitor
        self.pending = pending
        self.delay = delay
        self.strict = strict
        self._reply = reply
        self.ledger = ledger
        self._emit: Callable[[Prediction], None] | None = None
        self._emit_block: Callable[[Predictions], None] | None = None
        self._alert: Callable[[Alarm, Row], None] | None = None
        self._wants_proba = score.task == "classification"
        self._due: deque[tuple[int, Waiting, Any]] = deque()
        self._arrived = 0
        self._asking = threading.Lock()
        self.n_samples = self.n_unlabelled = self.n_held_out = self.n_rejected = self.n_asked = 0
        self.n_unusable = 0  # answers of a regression that were no number: not scored
        self.n_set_aside = 0  # commits of the log that could not be learned
        self.last_drift: int | None = None
        self.n_drifts = 0
        self.rejection: str | None = None
        self.last: Answered | None = None  # for those who look on
        self.now = 0.0
        self.newest = self.arrived = (
            math.nan
        )  # event time of the last row, and when it came, seconds since 1970 UTC

    @property
    def lag(self) -> float | None:
        """Seconds between the event time of the newest row and its arrival.

        None without event times.
        """
        lag = self.arrived - self.newest
        return None if math.isnan(lag) else lag

    def listen(self, listeners: Listeners) -> None:
        """Name who is told of alarms and predictions."""
        self._alert = listeners.emit_alarm
        if listeners.wants("prediction"):
            self._emit, self._emit_block = listeners.emit_prediction, listeners.emit_block

    def handle(self, event: Event) -> int:
        """Do all that an event asks for; returns its rows."""
        began = time.perf_counter_ns()
        if isinstance(event, Sample):
            self.ledger.row(event.x)
            self._sample(event)
            rows = 1
            self.newest = event.t
        elif isinstance(event, Block):
            rows = len(event.X)
            self.newest = (
                float(event.row_times[-1]) if event.times is not None and rows else event.t
            )
            self.ledger.block(event.X, event.features)
            self._block(event)
        elif isinstance(event, Labels):
            self._labels(event)
            return 0
        else:
            self._ask(event)
            return 0
        self.score.took(time.perf_counter_ns() - began, rows)
        return rows

    def flush(self) -> None:
        """Learn the rows whose labels `delay` still holds back: the stream is over."""
        while self._due:
            _, waiting, y = self._due.popleft()
            self._answer(waiting, y)

    def _sample(self, event: Sample) -> None:
        row = Row(
            event.x, None, event.seq, event.t, event.source, event.epoch, event.sequence, event.t
        )
        answer = None
        if event.tag is not None:
            self.model_adapter.enter(row.sequence)
            X = np.array([list(event.x.values())], object)
            answer = self.model_adapter.values(
                X, tuple(map(str, event.x)), **self.model_adapter.at(row)
            )
        self._row(row, event.y)
        if answer is not None:
            self._reply(event, *answer)

    def _block(self, event: Block) -> None:
        labels = event.y
        if labels is None and self.model_adapter.takes_blocks:
            self._unlabelled(event)
        elif labels is not None and self._fits_one_call(event):
            self._whole(event, labels)
        else:
            answers = []
            for i, row in enumerate(_rows(event)):
                if event.tag is not None:
                    self.model_adapter.enter(row.sequence)
                    answers.append(
                        self.model_adapter.values(
                            row.x, event.features, **self.model_adapter.at(row)
                        )
                    )
                self._row(row, None if labels is None else labels[i])
            if answers:
                self._reply(event, *_stacked(answers))

    def _fits_one_call(self, event: Block) -> bool:
        """Whether nothing has to happen between two rows, so that the block may be learned in one compiled call."""
        return (
            self.model_adapter.takes_blocks
            and self.delay is None
            and (self._emit is None or self.model_adapter.tells_blocks)
            and event.tag is None
            and not self.monitor.holds_out
            and event.y is not None
            and not any(label is None for label in event.y)
        )

    def _whole(self, event: Block, labels: Sequence[Any]) -> None:
        try:
            spoken = self.model_adapter.learn_predict(event, labels)
        except InputError as error:
            self._reject(error, len(labels))
            return
        rows = _rows(event)
        labels = [plain(y) for y in labels]
        answers = spoken.answers
        if self.score.task == "regression":
            answers = [answer._replace(y_pred=self._usable(answer.y_pred)) for answer in answers]
        if self._emit_block is not None:
            said = (
                [row.t for row in rows],
                [answer.y_pred for answer in answers],
                labels,
                *spoken[1:],
            )
            self._emit_block(Predictions(event.seq, *said, event.source, event.epoch))
        for row, y, answer in zip(rows, labels, answers, strict=True):
            self._count(row, y, answer)
            self.n_samples += 1
        if rows:
            answer = answers[-1]
            y = labels[-1]
            proba = None if answer.p_true is None else {y: answer.p_true}
            self.last = Answered(rows[-1], y, answer.y_pred, proba, answer.interval)

    def _unlabelled(self, event: Block) -> None:
        adapter = self.model_adapter
        answer = (
            None
            if event.tag is None
            else adapter.values(event.X, event.features, **adapter.context(event))
        )
        observed = adapter.observe_block(event, self._wants_proba)
        for row, said in zip(_rows(event), observed, strict=True):
            self._wait(self._waiting(row, said))
        if answer is not None:
            self._reply(event, *answer)

    def _row(self, row: Row, y: Any) -> None:
        adapter = self.model_adapter
        try:
            self._release(y)
            adapter.enter(row.sequence)
            if y is None or self.delay:
                self._keep(self._waiting(row, adapter.observe(row, self._wants_proba)), y)
                return
            said = Observed(*adapter.answer(row, self._wants_proba), adapter.interval(row))
            self._answer(self._waiting(row, said), plain(y), late=False)
        except InputError as error:
            self._reject(error, 1)

    def _waiting(self, row: Row, said: Observed) -> Waiting:
        return Waiting(
            row, self._usable(said.y_pred), said.proba, self.now, said.interval, said.ticket
        )

    def _keep(self, waiting: Waiting, y: Any) -> None:
        """Let a row wait for its label, which `delay` holds back or which has not come."""
        if y is None:
            self._wait(waiting)
            return
        self._watch(None, waiting.y_pred, waiting.row)
        self._due.append((self._arrived + (self.delay or 0), waiting, plain(y)))
        self._arrived += 1

    def _usable(self, y_pred: Any) -> Any:
        """Return an answer that can be scored, else None.

        A model that diverges must not end the run.
        """
        if y_pred is None or self.score.task != "regression" or math.isfinite(to_number(y_pred)):
            return y_pred
        self.n_unusable += 1
        return None

    def _release(self, y: Any) -> None:
        """Learn the rows whose label is due before the next labelled row is predicted."""
        if y is not None:
            while self._due and self._due[0][0] <= self._arrived:
                _, waiting, late = self._due.popleft()
                self._answer(waiting, late)

    def _wait(self, waiting: Waiting) -> None:
        self.n_unlabelled += 1
        row = waiting.row
        self.ledger.predicted(
            row.x if row.features is None else row.features, self.model_adapter.features, 1
        )
        self.pending.put(waiting)
        self._watch(None, waiting.y_pred, waiting.row)
        self._tell(waiting, None)

    def _answer(self, waiting: Waiting, y: Any, late: bool = True) -> None:
        """Score a prediction, then learn its row unless it is held out."""
        row = waiting.row
        monitor = self.monitor
        self._tell(waiting, y)
        self.last = Answered(row, y, waiting.y_pred, waiting.proba, waiting.interval)
        p_true = waiting.proba.get(y, 0.0) if waiting.proba else None
        self._count(row, y, Answer(waiting.y_pred, p_true, waiting.interval), late)
        if monitor.holds_out and monitor.hold_out(row.x, y, self.n_samples, row.features):
            self.n_held_out += 1
            if not late:  # it is still the row that the next one follows
                self.model_adapter.observe(row, False)
        else:
            self.model_adapter.learn(row, y, waiting.ticket)
        monitor.rescore(self.model_adapter.model)
        self.n_samples += 1

    def _count(self, row: Row, y: Any, answer: Answer, late: bool = False) -> None:
        self.score.add(y, *answer)
        if answer.y_pred is not None:
            self._watch(y, answer.y_pred, row, late)

    def _watch(self, y: Any, y_pred: Any, row: Row, late: bool = False) -> None:
        """Show the monitor an answer.

        A row that waited for its label (`late`) was looked at when it came.
        """
        x, features = (None, None) if late else (row.x, row.features)
        for alarm in self.monitor.update(y, y_pred, x, self.n_samples, features):
            if alarm.state == "drift":
                self.last_drift = alarm.at
                self.n_drifts += 1
            if self._alert is not None:
                self._alert(alarm, row)

    def _tell(self, waiting: Waiting, y: Any) -> None:
        if self._emit is not None:
            row = waiting.row
            self._emit(
                Prediction(row.seq, waiting.y_pred, y, waiting.proba, row.t, row.source, row.epoch)
            )

    def _labels(self, event: Labels) -> None:
        for of, y in zip(event.of, event.y, strict=True):
            waiting = self.pending.take(event.source, event.epoch, of)
            if waiting is not None and y is not None:
                try:
                    self._answer(waiting, plain(y))
                except InputError as error:
                    self._reject(error, 1)

    def _ask(self, event: PredictRequest) -> None:
        self.asked(event.features, len(event.X))
        self._reply(event, *self.model_adapter.values(event.X, event.features))

    def asked(self, names: Iterable[Hashable], rows: int) -> None:
        """Count rows that somebody asked about, and the names in them; from any thread."""
        with self._asking:
            self.n_asked += rows
        self.ledger.predicted(names, self.model_adapter.features, rows)

    def _reject(self, error: InputError, rows: int) -> None:
        if self.strict:
            raise error
        self.refuse({"refused by the model": rows}, str(error))

    def refuse(self, kinds: Mapping[str, int], reason: str) -> None:
        """Count rows, or late labels, that are not learned, by kind."""
        self.n_rejected += sum(kinds.values())
        self.rejection = reason
        self.ledger.skip(kinds, reason)

    def counters(self) -> dict[str, int]:
        """Return what was counted, rows each."""
        own = {name: getattr(self, name) for name in _COUNTERS}
        return {
            **own,
            "n_pending": len(self.pending) + len(self._due),
            "n_expired": self.pending.expired,
            "n_orphaned": self.pending.orphaned,
        }

    def export_state(self) -> dict[str, Any]:
        """Return everything but model, score and monitor as plain values."""
        names: dict[tuple[str, ...], int] = {}
        due = [[at, y, waiting.export(names)] for at, waiting, y in self._due]
        counters = {name: getattr(self, name) for name in _COUNTERS}
        state = {
            "arrived": self._arrived,
            "due": due,
            "features": list(names),
            "counters": counters,
            "now": self.now,
            "last_drift": self.last_drift,
            "n_drifts": self.n_drifts,
        }
        return {
            **state,
            "pending": self.pending.export_state(),
            "ledger": self.ledger.export_state(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_state`."""
        self._arrived = state["arrived"]
        self.now = state["now"]
        self.last_drift = state["last_drift"]
        self.n_drifts = state["n_drifts"]
        self._due.clear()
        for at, y, fields in state["due"]:
            self._due.append((at, Waiting.restore(fields, state["features"]), y))
        for name in _COUNTERS:
            setattr(self, name, state["counters"].get(name, 0))
        self.pending.restore_state(state["pending"])
        self.ledger.restore_state(state.get("ledger", {}))  # an older release kept none


def _rows(event: Block) -> list[Row]:
    moments = event.row_times.tolist()
    times = [event.t] * len(moments) if event.times is None else moments
    sequence = [None] * len(event.X) if event.sequence is None else event.sequence
    return [
        Row(
            event.X[i : i + 1],
            event.features,
            event.seq + i,
            times[i],
            event.source,
            event.epoch,
            sequence[i],
            moments[i],
        )
        for i in range(len(event.X))
    ]


def _stacked(answers: Sequence[tuple[Any, Sequence[Any]]]) -> tuple[Any, Sequence[Any]]:
    """Join one-row answers; classes that appeared on the way have probability 0 before."""
    classes = answers[-1][1]
    width = max(len(classes), answers[-1][0].shape[1])
    table = np.zeros((len(answers), width), dtype=np.float32)
    for i, (values, _) in enumerate(answers):
        table[i, : values.shape[1]] = values
    return table, classes
