"""What the engine does for each event: samples, blocks, late labels and requests to predict."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from loco_stream._arrays import Float32
from loco_stream._compiler.timing import compile_seconds
from loco_stream._joins import n_rows
from loco_stream._persistence.content import Config, State
from loco_stream._problems import plain_label
from loco_stream.engine._data_quality import DataQuality
from loco_stream.engine._limited_log import LimitedLog
from loco_stream.engine._pending import PendingRow
from loco_stream.engine._quarantine import Quarantine
from loco_stream.engine._repeated_times import RepeatedTimes
from loco_stream.engine._row import Features, Label, Row, row_of, rows_of
from loco_stream.engine._text_columns import TextColumns
from loco_stream.engine._trainer import Trainer
from loco_stream.engine._validation import n_entries
from loco_stream.errors import InputError
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample, Source

Table: TypeAlias = Float32

_LAST_SECOND = 253_402_300_799.0  # of the year 9999; in milliseconds it is in 1978
_COUNTERS = ("n_rows", "n_rejected", "n_set_aside", "n_requested", "n_fill_values")
_ALARM_ROWS = 100  # that fail one after another: then it is not the rows

_log = logging.getLogger("loco_stream.engine.events")


class EventHandler:
    """Turns events into calls of a trainer, replies and counts.

    trainer: predicts, scores and learns
    source: gets the replies, the numbers of refused rows, and those of rows whose id came before
    delay: rows between a row and its label, None for none: row i is learned right before row i +
        delay is predicted, as in `progressive_val_score` of river
    strict: raise when the model refuses a row, or raises anything else; otherwise the row is
        counted and put into the quarantine, and the stream goes on

    Its attributes:
    quality: counts of input that is not used
    n_rows: rows processed, with and without a label
    text_columns: leaves out columns of texts that cannot be categories
    n_rejected, rejection: rows and late labels that were refused, and the last reason
    n_set_aside: commits of the log that could not be learned
    n_requested: rows predicted on request
    n_fill_values: values and labels that stood for a missing one
    n_failed: rows, labels and requests that raised something else than a refusal, in this process
    repeated_times: finds senders whose rows keep one time
    arrived: time at which the current commit arrived, seconds since 1970
    quarantine: keeps refused rows with the reason
    """

    def __init__(
        self,
        trainer: Trainer,
        source: Source,
        delay: int | None,
        strict: bool,
    ) -> None:
        self.trainer = trainer
        self.strict = strict
        has_categories = trainer.adapter.takes_blocks and trainer.adapter.takes_text
        self.text_columns = TextColumns(has_categories, source.used)
        is_left_out = self.text_columns.is_left_out
        self.quality = DataQuality(source, trainer.adapter.takes_text, is_left_out)
        self.n_rows = 0
        self.n_rejected = 0
        self.rejection: str | None = None
        self.n_set_aside = 0
        self.n_requested = 0
        self.n_fill_values = 0
        self.n_failed = 0
        self._failed_in_a_row = 0
        self.arrived = math.nan
        self.quarantine = Quarantine(None)
        self.repeated_times = RepeatedTimes(source.is_live)
        self._newest = math.nan  # event time of the last row
        self._source = source
        self._delayed = _DelayedLabels(delay)
        self._lock = threading.Lock()
        self._limited = LimitedLog(_log)

    @property
    def alarm(self) -> str | None:
        """Why the model learns nothing, if the last rows all failed; None otherwise."""
        if self._failed_in_a_row < _ALARM_ROWS:
            return None
        return f"the last {self._failed_in_a_row:,} rows failed: {self.rejection}"

    @property
    def lag(self) -> float | None:
        """Seconds between the event time of the newest row and its arrival; None without times."""
        lag = self.arrived - self._newest
        return None if math.isnan(lag) else lag

    def handle(self, event: Event) -> int:
        """Process one event; return its number of rows."""
        began = time.perf_counter() - compile_seconds()
        n_failed = self.n_failed
        try:
            rows = self._handle(event)
        except Exception as error:  # not in one of its rows: a reply, a count, or a whole block
            self._reject(event, error, n_entries(event))
            rows = n_rows(event)
            self.n_rows += rows
            return rows
        self.n_rows += rows
        if self.n_failed == n_failed:
            self._failed_in_a_row = 0
        if rows and self.trainer.measures is not None:
            seconds = time.perf_counter() - compile_seconds() - began
            seconds = max(seconds, 0.0)  # what another thread compiled may have begun before
            self.trainer.measures.add_time(int(seconds * 1e9), rows)
        return rows

    def _handle(self, event: Event) -> int:
        if isinstance(event, Labels):
            self._learn_labels(event)
            return 0
        if isinstance(event, PredictRequest):
            self._predict(event)
            return 0
        if isinstance(event, Sample):
            return self._handle_sample(event)
        return self._handle_block(event)

    def flush(self) -> None:
        """Learn the rows that `delay` holds back: the stream has ended."""
        for pending, y in self._delayed.take(is_over=True):
            self._learn_pending(pending, y)

    def _learn_pending(self, pending: PendingRow, y: Label) -> None:
        try:
            self.trainer.learn_pending(pending, y)
        except Exception as error:
            self._reject(pending.row, error, 1)

    def _handle_sample(self, event: Sample) -> int:
        x = self.text_columns.select(event.x, self.n_rows)
        self.quality.count_row(x, event.source)
        row = row_of(event, x)
        reply = None
        if event.tag is not None:
            features = tuple(map(str, x))
            reply = self._predict_row(row, np.array([list(x.values())], object), features)
        self._handle_row_with_id(row, event.y)
        if reply is not None:
            self._source.reply(event, *reply)
        self._watch(event)
        self._note_time(event.t, event.t)
        self.repeated_times.add(event)
        return 1

    def _note_time(self, newest: float, t: float) -> None:
        """Keep the time of the newest row; one in another unit is used as it is, and reported.

        t: the latest time of the rows at hand
        """
        self._newest = newest
        if t > _LAST_SECOND:
            self._limited.warning(
                "row times must be seconds since 1970, got %.0f, which is after the year 9999: "
                "is it in milliseconds?",
                t,
            )

    def _handle_row_with_id(self, row: Row, y: Label) -> None:
        """Process a row that may have an id: its label may have come before, or it itself."""
        if row.id is None:
            self._handle_row(row, y)
            return
        ids = self.trainer.pending.ids
        if ids.is_known(row.id):
            self._source.repeat(row.source, row.seq)
            return
        if y is None:
            y = ids.take_early(row.id)
        self._handle_row(row, y)
        if y is not None:
            ids.end(row.id, learned=True)

    def _handle_block(self, event: Block) -> int:
        n = len(event.X)
        times = event.row_times if event.times is not None and n else (event.t,)
        self._note_time(float(times[-1]), float(np.fmax.reduce(times)))
        self.repeated_times.add(event)
        for part in self.text_columns.select_block(event, self.n_rows):
            self._handle_part(part)
        self._watch(event)
        return n

    def _handle_part(self, event: Block) -> None:
        """Process rows of a block that have the same columns."""
        self.quality.count_block(event.X, event.features, event.source)
        if event.y is None and self.trainer.adapter.takes_blocks:
            self._observe_block(event)
        elif event.y is not None and self._fits_one_call(event):
            self._learn_block(event, event.y)
        else:
            self._handle_rows(event)

    def _watch(self, event: Sample | Block) -> None:
        """Pass rows to the anomaly detector, if there is one."""
        if self.trainer.watcher is None:
            return
        try:
            self.trainer.watcher.take(event)
        except Exception as error:
            if self.trainer.is_watching or self.strict:
                self._reject(event, error, n_rows(event))
            else:  # the model has learned the row: only the detector refuses it
                self.refuse({"refused by the detector": n_rows(event)}, str(error))

    def _fits_one_call(self, event: Block) -> bool:
        """Return whether the rows of a labelled block may be learned together."""
        return (
            self.trainer.takes_blocks
            and self._delayed.delay is None
            and event.tag is None
            and event.y is not None
            and not any(label is None for label in event.y)
        )

    def _learn_block(self, event: Block, labels: Sequence[Label]) -> None:
        def refuse(rest: Block, error: Exception, is_partly_learned: bool) -> None:
            if is_partly_learned:
                self._reject(rest, error, len(rest.X))
            else:
                self._handle_rows(rest)  # only the bad rows are left out

        self.trainer.learn_block(event, labels, refuse=None if self.strict else refuse)

    def _observe_block(self, event: Block) -> None:
        adapter = self.trainer.adapter
        reply = None
        if event.tag is not None:
            context = adapter.block_context(event)
            reply = adapter.predict_values(event.X, event.features, context, True)
        try:
            self.trainer.observe_block(event)
        except Exception as error:
            self._reject(event, error, len(event.X))
        self.quality.count_request(event.features, adapter.features, len(event.X))
        if reply is not None:
            self._source.reply(event, *reply)

    def _handle_rows(self, event: Block) -> None:
        """Process the rows of a block one by one."""
        replies = []
        for i, row in enumerate(rows_of(event)):
            if event.tag is not None:
                replies.append(self._predict_row(row, row.x, event.features))
            self._handle_row(row, None if event.y is None else event.y[i])
        if replies:
            self._source.reply(event, *_stacked(replies))

    def _predict_row(
        self, row: Row, X: Table, features: tuple[str, ...]
    ) -> tuple[Table, Sequence[Label]]:
        adapter = self.trainer.adapter
        adapter.enter_sequence(row.sequence)
        return adapter.predict_values(X, features, adapter.row_time(row), True)

    def _handle_row(self, row: Row, y: Label) -> None:
        try:
            if self.trainer.is_watching:
                self.trainer.watch_row(row)
            elif y is None:
                self._observe_row(row)
            elif self._delayed.delay is None:
                self.trainer.learn_row(row, y)
            else:
                self._learn_delayed(row, y)
        except Exception as error:
            self._reject(row, error, 1)

    def _observe_row(self, row: Row) -> None:
        names: Iterable[Hashable] = row.x if row.features is None else row.features
        known = self.trainer.adapter.features
        self.trainer.observe_row(row)
        self.quality.count_request(names, known, 1)

    def _learn_delayed(self, row: Row, y: Label) -> None:
        """Learn the rows whose label is due, then predict this one."""
        for pending, late in self._delayed.take(is_over=False):
            self._learn_pending(pending, late)
        if self._delayed.delay:
            self._delayed.add(self.trainer.predict_row(row), plain_label(y))
        else:
            self.trainer.learn_row(row, y)

    def _learn_labels(self, event: Labels) -> None:
        for of, y in zip(event.of, event.y, strict=True):
            try:
                if event.by_id:
                    self.trainer.learn_label_by_id(of, y)
                else:
                    self.trainer.learn_label(event.source, event.epoch, of, y)
            except Exception as error:
                self._reject(replace(event, of=[of], y=[y]), error, 1)

    def _predict(self, event: PredictRequest) -> None:
        self.count_request(event.features, len(event.X))
        self._source.reply(event, *self.trainer.adapter.predict_values(event.X, event.features, {}))

    def count_request(self, names: Iterable[Hashable], rows: int) -> None:
        """Count rows predicted on request, and the names in them; from any thread."""
        with self._lock:
            self.n_requested += rows
        self.quality.count_request(names, self.trainer.adapter.features, rows)

    def count_fill_values(self, n: int) -> None:
        """Count values that stood for a missing one; from any thread."""
        with self._lock:
            self.n_fill_values += n

    def _reject(self, item: Event | Row, error: Exception, rows: int) -> None:
        """Put what raised into the quarantine, whatever it raised; a strict run ends there."""
        if self.strict:
            raise error
        if isinstance(error, InputError):
            kind = "refused by the model"
            reason = str(error)
        else:
            kind = "failed"
            reason = f"{type(error).__name__}: {error}"
            self.n_failed += rows
            self._failed_in_a_row += rows
            _log.debug("a row failed", exc_info=error)
        self.set_aside(item, reason)
        self.refuse({kind: rows}, reason)

    def set_aside(self, item: Event | Row, reason: str) -> None:
        """Keep a refused row, and notify its source."""
        self.quarantine.add(item, reason)
        for seq in _row_numbers(item):
            self._source.refuse(item.source, seq, reason)

    def refuse(self, kinds: Mapping[str, int], reason: str) -> None:
        """Count rows or late labels that are not learned, by kind."""
        n = sum(kinds.values())
        self.n_rejected += n
        self.rejection = reason
        self.quality.skip(kinds, reason)
        what = "row or late label" if n == 1 else "rows or late labels"
        self._limited.warning("%d %s refused: %s", n, what, reason)

    def counters(self) -> dict[str, int]:
        """Return all counts under the keys of the report."""
        trainer = self.trainer
        return {
            "n_rows": self.n_rows,
            "n_samples": trainer.n_samples,
            "n_unlabelled": trainer.n_unlabelled,
            "n_held_out": trainer.n_held_out,
            "n_rejected": self.n_rejected,
            "n_unusable": trainer.n_unusable,
            "n_set_aside": self.n_set_aside,
            "n_asked": self.n_requested,
            "n_fill_values": self.n_fill_values,
            "n_pending": len(trainer.pending) + len(self._delayed),
            "n_expired": trainer.pending.expired,
            "n_orphaned": trainer.pending.orphaned,
            **trainer.pending.ids.counts,
        }

    def export_state(self) -> Config:
        """Return everything but the trainer as plain values."""
        return {
            "text_columns": self.text_columns.export_state(),
            **{name: getattr(self, name) for name in _COUNTERS},
            "now": self.trainer.now,
            "delayed": self._delayed.export_state(),
            "quality": self.quality.export_state(),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.text_columns.restore_state(state["text_columns"])
        self.trainer.now = state["now"]
        self._delayed.restore_state(state["delayed"])
        self.quality.restore_state(state["quality"])


class _DelayedLabels:
    """Labelled rows that are learned only `delay` rows after they were predicted."""

    def __init__(self, delay: int | None) -> None:
        self.delay = delay
        self._n_arrived = 0
        self._rows: deque[tuple[int, PendingRow, Label]] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, pending: PendingRow, y: Label) -> None:
        """Hold a row back."""
        self._rows.append((self._n_arrived + (self.delay or 0), pending, y))
        self._n_arrived += 1

    def take(self, *, is_over: bool) -> Iterable[tuple[PendingRow, Label]]:
        """Yield and remove the rows whose label is due before the next row; at the end, all."""
        while self._rows and (is_over or self._rows[0][0] <= self._n_arrived):
            _, pending, y = self._rows.popleft()
            yield pending, y

    def export_state(self) -> Config:
        """Return everything as plain values."""
        names: dict[Features, int] = {}
        rows = [[due, y, pending.export_state(names)] for due, pending, y in self._rows]
        return {"n_arrived": self._n_arrived, "rows": rows, "features": list(names)}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._n_arrived = state["n_arrived"]
        self._rows.clear()
        for due, y, fields in state["rows"]:
            self._rows.append((due, PendingRow.restore_state(fields, state["features"]), y))


def _row_numbers(item: Event | Row) -> range:
    """Return the numbers of the rows in an event that may have fields of any type."""
    is_numbered = type(item.seq) is int and isinstance(item.source, str)
    has_numbers_of_rows = isinstance(item, Labels) and not item.by_id
    if not is_numbered or has_numbers_of_rows or isinstance(item, PredictRequest):
        return range(0)
    return range(item.seq, item.seq + (n_entries(item) if isinstance(item, Block) else 1))


def _stacked(replies: Sequence[tuple[Table, Sequence[Label]]]) -> tuple[Table, Sequence[Label]]:
    """Join one-row replies; classes that appeared in between have probability 0 before."""
    last, classes = replies[-1]
    width = max(len(classes), last.shape[1])
    table = np.zeros((len(replies), width), dtype=np.float32)
    for i, (values, _) in enumerate(replies):
        table[i, : values.shape[1]] = values
    return table, classes
