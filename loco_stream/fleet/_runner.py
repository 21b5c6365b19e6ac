"""Feeds a stream to a fleet: rows go to the model of their key, durable rows are acknowledged."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from loco_stream._joins import n_rows
from loco_stream._persistence.content import Config, State
from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream._problems import FORECASTING, is_numeric
from loco_stream._text import counted
from loco_stream.engine._admission import Admission, NameBounds
from loco_stream.engine._forecasting import step_scores
from loco_stream.engine._listeners import Listeners
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._repeated_times import RepeatedTimes
from loco_stream.engine._report import jsonable
from loco_stream.engine._source_reader import Commit, SourceReader
from loco_stream.engine._text_columns import TextColumns
from loco_stream.engine._unused_log import n_unused
from loco_stream.engine._validation import validate_events
from loco_stream.fleet._backend import KeyReport
from loco_stream.fleet._columns import FleetColumns
from loco_stream.fleet._fleet import Fleet
from loco_stream.fleet._key_router import KeyRouter, check_feature
from loco_stream.fleet._limits import KeyLimits
from loco_stream.fleet._operations import FleetOperations
from loco_stream.fleet._replies import Replies
from loco_stream.fleet._rows import LABELS, OBSERVE, Key, KeyRows, Label, Outputs
from loco_stream.records import Record
from loco_stream.stream import Block, Event, Position, Prediction, Sample, Sink

FleetReport: TypeAlias = dict[str, Any]

_ACK_SECONDS = 0.5  # longest time until learned rows are made durable and acknowledged
_LISTED = 10  # keys in a list of the report
_SCORE_ROWS = 500
# rows of a recording, which yields them one by one, that are learned together
_GATHERED_ROWS = 256
_GATHERED_SECONDS = 0.1
_UNUSED = {  # by counter: what was not used, and why
    "n_without_key": ("row", "without a value of {key} left out"),
    "n_expired": (
        "waiting row",
        "dropped: no label came within `max_age` ({max_age:g} s), or more than {capacity:,} rows "
        "waited",
    ),
    "n_orphaned": ("label", "arrived for rows that were not pending"),
    "n_over_keys": ("row", "of keys beyond the limit left out"),
    "n_over_rate": ("row", "beyond the rate of a key left out"),
    "n_fill_values": ("value", "counted as missing: named in `missing_values`"),
    "n_out_of_time": ("row", "had {what}, which models of a fleet do not get"),
    "n_unused": ("row", "of the source left out; the last error: {error}"),
}


@dataclass(slots=True)
class _KeyScore:
    """Mean error of a key over about its last 500 rows in this process.

    It is the share of wrong labels, or the mean absolute error of values and over targets.
    """

    n_rows: int = 0
    mean: float = 0.0

    def add(self, error: float) -> None:
        self.n_rows += 1
        self.mean += (error - self.mean) / min(self.n_rows, _SCORE_ROWS)


@dataclass(slots=True)
class _Counts:
    n_samples: int = 0
    n_unlabelled: int = 0
    n_refused: int = 0
    n_fill_values: int = 0
    n_out_of_time: int = 0
    last_refusal: str = ""


class FleetRunner:
    """Reads a source, routes its rows by key, and lets a fleet predict and then learn them.

    Raises `SourceError` if every row of the source has the same features, and none is `key`.

    fleet: the models
    reader: reads the source
    key: the feature that holds the key; it is no input of the models
    sinks: each receives every prediction, with source ``SOURCE/KEY``, the drifts of keys, and the
        report
    watchers: each is called with the runner after every commit
    limits: drops rows of too many keys, or of keys that send too many; None drops none
    bounds: how many names of features and classes rows may bring, over all keys since the start; a
        row beyond is refused. By default there is no bound.
    missing_values: as `StreamEngine` takes them; a key is never one
    max_age: seconds that a row waits for its label

    Its attribute `kept`: what is kept if the process ends now, in one clause.
    """

    kept = "acknowledged rows are kept, the others are read again"

    def __init__(
        self,
        fleet: Fleet,
        reader: SourceReader,
        key: str,
        sinks: Iterable[Sink] = (),
        watchers: Iterable[Callable[[FleetRunner], None]] = (),
        limits: KeyLimits | None = None,
        bounds: NameBounds | None = None,
        *,
        missing_values: Iterable[float] = (),
        max_age: float = 3600.0,
    ) -> None:
        check_feature(key, reader.source)
        self._admission = Admission(bounds or NameBounds())
        self._missing = MissingValues.of(missing_values, spared=key)
        self._limits = limits or KeyLimits()
        if self._limits.counts_keys:
            self._limits.know(fleet.keys())
        self.fleet = fleet
        self._reader = reader
        self._key = key
        self._is_regression = is_numeric(fleet.task)
        self._is_watching = fleet.task == "watching"
        self._is_series = fleet.task == FORECASTING
        takes_text = fleet.takes_text and not self._is_watching
        text_columns = TextColumns(takes_text, reader.source.used)
        self._router = KeyRouter(
            key,
            max_age=max_age,
            labelled=not self._is_watching,
            is_series=self._is_series,
            text_columns=text_columns,
        )
        self._columns = FleetColumns(takes_text, text_columns, reader.source.is_live)
        self._times = RepeatedTimes(reader.source.is_live)
        self._replies = Replies(fleet, self._router, reader.source.reply)
        self._listeners = Listeners(sinks, watchers)
        # commits of a live source are not gathered: they must not wait
        self._live = reader.source.is_live
        # the last drift and the last alarm of each key, the newest at the end
        self._drifts: dict[Key, Record] = {}
        self._alarms: dict[Key, Record] = {}
        self._scores: defaultdict[Key, _KeyScore] = defaultdict(_KeyScore)
        self._steps = np.zeros((5, 0))  # `HorizonScores.totals` over all keys of this run
        self._counts = _Counts()
        self._n_alarms = 0
        # an error of the source, raised after the rows before it are learned
        self._error: Exception | None = None
        self._acknowledged_at = time.monotonic()
        self._position: Position | None = None  # acknowledged last

    def stop(self) -> None:
        """End after the rows at hand; may be called from a signal handler or another thread."""
        self._reader.stop()

    def run(self) -> FleetReport:
        """Run until the stream ends or `stop` is called; return the report."""
        report: FleetReport | None = None
        try:
            with closing(self._reader.source), closing(self._reader):
                self._learn_stream()
            report = self.report()
        finally:
            # after an error the fleet may not answer, and the sinks still hold records
            end = self._all_counts() if report is None else report
            notes = self._listeners.close(end)
        report["notes"] += notes
        report |= self._listeners.losses()
        return report

    def _learn_stream(self) -> None:
        """Learn all rows from the stored position on."""
        if (stored := self.fleet.read_position()) is not None:
            self._resume(*decode_plain(stored))
        # a fleet stores no undelivered records: it has no checkpoint that sinks may rely on
        self._listeners.begin(self.fleet.template, self._reader.source, self.fleet.task, None)
        position = None
        while (commit := self._next()) is not None:
            events, position = commit
            self._take(events)
            self._listeners.notify_watchers(self)
            if not events or time.monotonic() - self._acknowledged_at > _ACK_SECONDS:
                self._acknowledge(position)
        if position is not None:
            self._acknowledge(position)

    def _resume(self, position: Position, pending: State, fingerprint: State | None = None) -> None:
        """Continue from what `_acknowledge` stored; earlier releases stored no fingerprint."""
        self._position = position
        self._router.restore_state(pending)
        if fingerprint:
            self._reader.source.verify(fingerprint)
        self._reader.seek(position)

    @property
    def errors(self) -> list[float]:
        """Mean error of each key of this run, over about its last 500 rows."""
        return [score.mean for score in self._scores.values()]

    def status(self) -> FleetReport:
        """Return counts, why no rows can come, and the position that was acknowledged last."""
        n_keys, n_resident = self.fleet.counts()
        alarms = {"n_alarms": self._n_alarms, "n_alarmed_keys": len(self._alarms)}
        return {
            **self._all_counts(),
            "n_repeated": self.fleet.n_repeated,
            "n_keys": n_keys,
            "n_resident": n_resident,
            "task": self.fleet.task,
            "n_drifted_keys": len(self._drifts),
            **(alarms if self._is_watching else {}),
            "outage": self._reader.source.outage or None,
            "position": self._position,
        }

    def alarmed(self) -> list[KeyReport]:
        """Return the reports of the keys that raised an alarm last in this run, newest first."""
        return [self._key_report(key) for key in list(self._alarms)[::-1][:_LISTED]]

    def worst(self, n: int = _LISTED) -> list[KeyReport]:
        """Return the reports of the keys with the largest error in this run, the largest first."""
        scores = self._scores
        return [self._key_report(key) for key in nlargest(n, scores, lambda key: scores[key].mean)]

    def changed(self, n: int = _LISTED) -> list[KeyReport]:
        """Return the reports of the keys that drifted last in this run, the newest first."""
        drifted = list(self._drifts)[::-1][:n]
        return [self._key_report(key, self._drifts[key]) for key in drifted]

    def report(self) -> FleetReport:
        """Return counts, and the ten keys with the largest error and those that drifted last."""
        counts = self._all_counts()
        return {
            **self.status(),
            "worst": self.worst(),
            "drifted_lately": self.changed(),
            **({"alarmed_lately": self.alarmed()} if self._is_watching else {}),
            **(jsonable(step_scores(self._steps)) if self._is_series else {}),
            "notes": [
                *self._reader.source.notes,
                *self.fleet.notes,
                *self._listeners.notes,
                *self._unused(counts),
            ],
        }

    def search(self, text: str) -> list[str]:
        """Return up to ten keys of this run that contain a text."""
        return list(islice((str(key) for key in self._scores if text in str(key)), _LISTED))

    def device(self, text: str) -> KeyReport | None:
        """Return the report of a key given as text; None if no row of it arrived in this run."""
        key = next((key for key in self._scores if str(key) == text), None)
        return None if key is None else self._key_report(key, self._drifts.get(key))

    def forecast(self, text: str, horizon: int | None = None) -> Config:
        """Return the forecast of a key given as text; see `FleetOperations.forecast`."""
        found: Config = jsonable(FleetOperations(self.fleet).forecast(text, horizon))
        return found

    def _key_report(self, key: Key, drift: Record | None = None) -> KeyReport:
        score = self._scores.get(key)
        name = "state" if self._is_watching else "error"
        return {
            "key": key,
            name: None if score is None or not score.n_rows else score.mean,
            **({} if drift is None else {"drift": drift}),
            **({"alarm": self._alarms[key]} if key in self._alarms else {}),
            **self.fleet.report(key),
        }

    def _all_counts(self) -> dict[str, int]:
        router = self._router
        return {
            "n_samples": self._counts.n_samples,
            "n_unlabelled": self._counts.n_unlabelled,
            "n_without_key": router.n_without_key + self._replies.n_without_key,
            "n_pending": len(router),
            "n_expired": router.n_expired,
            "n_orphaned": router.n_orphaned,
            **router.ids.counts,
            "n_asked": self._replies.n_requested,
            "n_fill_values": self._counts.n_fill_values,
            "n_out_of_time": self._counts.n_out_of_time,
            "n_rejected": self.fleet.n_refused + self._counts.n_refused,
            "n_over_keys": self._limits.n_over_keys,
            "n_over_rate": self._limits.n_over_rate,
            "n_unused": n_unused(self._reader.source),
        }

    def _unused(self, counts: Mapping[str, int]) -> list[str]:
        known = {
            "key": repr(self._key),
            "what": "a sequence id" if self._is_series else "a time or a sequence id",
            "error": self._reader.source.last_error,
            "max_age": self._router.max_age,
            "capacity": self._router.capacity,
        }
        shown = [
            f"{counted(counts[name], thing)} {text.format_map(known)}"
            for name, (thing, text) in _UNUSED.items()
            if counts[name]
        ]
        shown += self._router.ids.sentences()
        shown += self._router.text_columns.sentences()
        shown += self._columns.sentences()
        shown += self._times.sentences()
        last = self._counts.last_refusal
        return [*shown, f"rows or labels were refused: {last}"] if last else shown

    def _next(self) -> Commit | None:
        """Return the next commit; those of a recording are joined, to log several rows at once."""
        if self._error is not None:
            raise self._error
        gathered: list[Event] = []
        position = None
        count = 0
        deadline = time.monotonic() + _GATHERED_SECONDS
        while (commit := self._read(bool(gathered))) is not None:
            events, position = commit
            gathered += events
            count += sum(map(n_rows, events))
            if self._live or not events or count >= _GATHERED_ROWS or time.monotonic() > deadline:
                break
        return None if position is None else (gathered, position)

    def _read(self, has_rows: bool) -> Commit | None:
        """Return one commit, None at the end.

        With `has_rows` there are rows to learn first, so that an error of the source is kept for
        later.
        """
        try:
            return self._reader.next()
        except Exception as error:
            if not has_rows:
                raise
            self._error = error
            return None

    def _take(self, events: Sequence[Event]) -> None:
        valid = validate_events(events, self.fleet.task, self._missing, is_stored=True)
        self._counts.n_fill_values += valid.n_fill_values
        self._admission.admit(valid, self.fleet.task)
        if valid.n_refused:
            self._counts.n_refused += valid.n_refused
            self._counts.last_refusal = valid.reason
        if self.fleet.has_context:
            self._counts.n_out_of_time += sum(
                _n_out_of_time(event, not self._is_series) for event in valid.events
            )
        for part in self._replies.steps(valid.events):
            routed = map(self._limits.admit, self._router.route(part))
            self._learn([rows for rows in routed if rows is not None])
        self._columns.log_lost()
        for event in valid.events:
            if isinstance(event, Sample | Block):
                self._times.add(event)

    def _learn(self, batch: Sequence[KeyRows]) -> None:
        self._columns.count(batch)
        for rows, result in zip(batch, self.fleet.process(batch), strict=True):
            if result.refusal is not None:
                continue
            if rows.kind == LABELS:
                self._emit_late(rows, result.outputs)
            else:
                self._emit_rows(rows, result.outputs, result.n_repeated)
            self._emit_records(rows.key, result.records)
            if len(result.steps):
                self._steps = np.array(result.steps) + (self._steps if self._steps.size else 0.0)

    def _emit_rows(self, rows: KeyRows, outputs: Outputs, n_repeated: int) -> None:
        """Count new rows and emit their predictions; repeated rows were emitted before."""
        if self._is_watching:
            self._count_watched(rows.key, outputs[n_repeated:])
            return
        for i in range(n_repeated, len(rows)):
            y = None if rows.kind == OBSERVE else rows.y[i]
            self._emit(rows, i, outputs[i], y)
            self._counts.n_unlabelled += y is None

    def _count_watched(self, key: Key, states: Outputs) -> None:
        """Count rows of a stream without labels; a key is as bad as its state scores are high."""
        score = self._scores[key]
        for state in states:
            score.add(state)
        self._counts.n_samples += len(states)

    def _emit_late(self, rows: KeyRows, outputs: Outputs) -> None:
        """Emit the predictions of rows whose labels have arrived."""
        for i, (found, y) in enumerate(zip(outputs, rows.y, strict=True)):
            if found is not None and y is not None:
                self._emit(rows, i, found[0], y)

    def _emit(self, rows: KeyRows, i: int, y_pred: Label, y: Label) -> None:
        if y is not None:
            self._score(rows.key, y, y_pred)
        source = f"{rows.source}/{rows.key}"
        epoch, seq = rows.number(i)
        info = None if rows.infos is None else rows.infos[i]
        row_id, extra, t = info or (None, None, math.nan)
        extra = {"key": rows.key, **(extra or {})}
        self._listeners.emit_prediction(
            Prediction(seq, y_pred, y, None, t, source, epoch, row_id, extra)
        )

    def _score(self, key: Key, y: Label, y_pred: Label) -> None:
        score = self._scores[key]
        if not self._is_regression:
            score.add(float(y != y_pred))
        elif (error := absolute_error(y, y_pred)) is not None:
            score.add(error)
        self._counts.n_samples += 1

    def _emit_records(self, key: Key, records: Iterable[Record]) -> None:
        for record in records:
            self._listeners.emit_record({**record, "key": key})
            if record["kind"] == "anomaly":
                self._n_alarms += 1
                self._alarms.pop(key, None)
                self._alarms[key] = record
            if record["kind"] == "drift":
                self._drifts.pop(key, None)
                self._drifts[key] = record

    def _acknowledge(self, position: Position) -> None:
        """Make rows durable, then the position and the pending rows, and acknowledge the source."""
        self.fleet.flush()
        state = [position, self._router.export_state(), self._reader.source.fingerprint]
        self.fleet.write_position(encode_plain(state))
        self._reader.source.ack(position)
        self._position = position
        self._acknowledged_at = time.monotonic()


def absolute_error(y: Label, y_pred: Label) -> float | None:
    """Return the error of a value, or the mean over the targets; None if none was predicted.

    Examples
    --------
    >>> absolute_error(2.0, 2.5), absolute_error({"a": 1.0, "b": 2.0}, {"a": 4.0, "b": 1.0})
    (0.5, 2.0)
    """
    if y_pred is None:
        return None
    if not isinstance(y, Mapping):
        return float(abs(y - y_pred))
    errors = [abs(value - y_pred[name]) for name, value in y.items() if name in y_pred]
    return math.fsum(errors) / len(errors) if errors else None


def _n_out_of_time(event: Event, timed: bool) -> int:
    """Return the rows of an event if they belong to a sequence or, with `timed`, have a time."""
    if not isinstance(event, Sample | Block):
        return 0
    is_lost = event.sequence is not None or (timed and event.t == event.t)
    return n_rows(event) if is_lost else 0
