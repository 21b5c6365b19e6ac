"""The current numbers of a running engine, from which report, metrics and pages are made."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Hashable, Mapping, Sequence

from loco_stream import __version__
from loco_stream._persistence.content import Config, State
from loco_stream._prediction_mode import takes_mode
from loco_stream._problems import TARGETS
from loco_stream._text import counted, did_you_mean
from loco_stream.engine._commits import CommitPipeline
from loco_stream.engine._events import EventHandler
from loco_stream.engine._forecasting import ForecastAdapter
from loco_stream.engine._label_watch import PATIENCE_ROWS
from loco_stream.engine._limited_log import LimitedLog
from loco_stream.engine._listeners import Listeners
from loco_stream.engine._measures import RunMeasures
from loco_stream.engine._report import Report
from loco_stream.engine._task import note_on_classes
from loco_stream.metrics._keys import KEYS
from loco_stream.metrics._prequential import Prequential
from loco_stream.monitor import TaskMonitor
from loco_stream.records import of_status
from loco_stream.stream import Source

_STATUS_SECONDS = 0.1
_SLOW_SECONDS = 1.0
_FILLED_COLUMNS = 5  # with a sentence of their own
_SHOWN_TARGETS = 5  # with a sentence of their own
_RECORD_SECONDS = 5.0  # between status records
_NUMBERS = frozenset(key.name for key in KEYS if key.kind in ("gauge", "counter"))
_WITHOUT_LABELS = ("drifts", "n_drifts")  # keys of the monitor in a stream without labels
_STATUS_ONLY = frozenset(key.name for key in KEYS if key.status_only)
_log = logging.getLogger("loco_stream.engine.status")


class StatusBoard:
    """The status of an engine, renewed ten times per second and shown to the watchers.

    Scores by class, the monitor's numbers and the data quality, which take long to compute, are
    renewed once per second.

    handler: has counts and the trainer
    commits: has the checkpoint folder
    source: its counts are included
    listeners: watchers, and listeners to status records
    """

    def __init__(
        self,
        handler: EventHandler,
        commits: CommitPipeline,
        source: Source,
        listeners: Listeners,
    ) -> None:
        self._handler = handler
        self._trainer = handler.trainer
        self._commits = commits
        self._source = source
        self._listeners = listeners
        self._slow: Config = {}  # what takes long to count: at most a second old
        self._slow_at = -math.inf
        self._emitted_at = -math.inf
        self._updated_at = 0.0
        self._has_warned = False  # of a task column that no row has
        self._on_classes = ""  # note on classes that may be values
        self._classes: set[Hashable] = set()  # known at the last look
        self._limited = LimitedLog(_log)
        self.status = self._measure()  # zeros for a reader before the run

    @property
    def _measures(self) -> RunMeasures:
        measures = self._trainer.measures
        assert measures is not None
        return measures

    @property
    def _monitor(self) -> TaskMonitor:
        monitor = self._trainer.monitor
        assert monitor is not None
        return monitor

    def update(self, engine: object) -> None:
        """Renew the status if it is a tenth of a second old."""
        now = time.monotonic()
        if now - self._updated_at >= _STATUS_SECONDS:
            self._updated_at = now
            self._renew(engine)

    def refresh(self, engine: object) -> None:
        """Renew the whole status now."""
        self._slow_at = -math.inf
        self._renew(engine)

    def _renew(self, engine: object) -> None:
        self.status = self._measure()
        self._warn_of_task_column()
        self._listeners.notify_watchers(engine)
        now = time.monotonic()
        if self._listeners.wants("status") and now - self._emitted_at >= _RECORD_SECONDS:
            self._emitted_at = now
            self._listeners.emit_record(of_status(_numbers(self.status), self._source.name))

    def _warn_of_task_column(self) -> None:
        """Log once that no row has the task column: a service may run for months."""
        sentence = self._monitor.missing_column
        if sentence and not self._has_warned and self._handler.n_rows >= PATIENCE_ROWS:
            self._has_warned = True
            _log.warning("%s", sentence)

    def report(self, is_interrupted: bool) -> Report:
        """Return the report: the status with everything from monitor and counters."""
        estimator = self._trainer.adapter.estimator
        return Report(
            {
                **{name: value for name, value in self.status.items() if name not in _STATUS_ONLY},
                **self._monitor_report(),
                **self._watcher_report(),
                **self._fan(),
                **self._quality(),
                "categories": getattr(estimator, "categories_", {}),
                "prediction_modes": _modes(estimator, self._measures.problem),
                "seed": getattr(estimator, "seed", None),
                "version": __version__,
                "task": self._measures.problem,
                "source": self._source.name,
                "interrupted": is_interrupted,
                "curve": self._measures.curve_report(),
            }
        )

    def _quality(self) -> Config:
        """Return what was not used, by the engine and by the model."""
        quality = self._handler.quality.report()
        fillers = _filler_sentences(self._trainer.adapter.fillers)
        targets = _target_sentences(self._measures.prequential, self._source.targets)
        times = _time_sentences(self._backward_times)
        return {**quality, "unused": [*quality["unused"], *fillers, *targets, *times]}

    @property
    def _backward_times(self) -> int:
        """Rows whose time lay before that of the previous row; 0 without a memory."""
        return getattr(self._trainer.adapter.estimator, "backward_times", 0)

    def _monitor_report(self) -> Config:
        """Return the monitor's report; without labels, that of the inputs alone."""
        report = self._monitor.report()
        if not self._trainer.is_watching:
            return report
        return {name: report[name] for name in _WITHOUT_LABELS}

    def _watcher_report(self) -> Config:
        watcher = self._trainer.watcher
        if watcher is None:
            return {}
        return {**watcher.report(), "anomaly_curve": watcher.curve_report()}

    def _fan(self) -> Config:
        adapter = self._trainer.adapter
        return {"forecast": adapter.fan()} if isinstance(adapter, ForecastAdapter) else {}

    def _renew_slow(self, now: float) -> None:
        """Renew the numbers that take long to compute, if it is time."""
        if now - self._slow_at >= _SLOW_SECONDS:
            self._slow = {
                **_numbers(self._monitor_report()),
                **self._quality(),
                **self._measures.classes(),
            }
            if self._trainer.watcher is not None:
                self._slow["unusual_columns"] = self._trainer.watcher.shares()
            if isinstance(self._trainer.adapter, ForecastAdapter):
                self._slow |= self._trainer.adapter.scores.report()  # by step ahead
            self._look_at_classes()
            self._look_at_columns()
            self._slow_at = now

    def _look_at_classes(self) -> None:
        """Look for classes that may be values or spellings; log each note once."""
        if self._measures.problem != "classification":
            return
        note = note_on_classes(self._trainer.adapter.classes)
        if note and note != self._on_classes:
            _log.warning("%s", note)
        self._on_classes = note
        self._look_at_new_classes()

    def _look_at_new_classes(self) -> None:
        """Log classes that a live source brings late: a mistyped label is one."""
        classes = self._trainer.adapter.classes
        n = self._trainer.n_samples
        new = [label for label in classes if label not in self._classes]
        if self._source.is_live and self._classes and n >= PATIENCE_ROWS:
            for label in new:
                meant = did_you_mean(str(label), map(str, self._classes))
                self._limited.warning("new class %r after about %s rows%s", label, f"{n:,}", meant)
        self._classes.update(new)

    def _look_at_columns(self) -> None:
        """Log once that a column of a live source is lost; the end of other runs is near."""
        if not self._source.is_live:
            return
        for sentence in self._handler.quality.newly_lost():
            _log.warning("%s", sentence)

    def _measure(self) -> Config:
        self._renew_slow(time.monotonic())
        trainer = self._trainer
        return {
            **self._slow,
            **self._handler.counters(),
            **self._measures.report(),
            **self._listener_counts(),
            **self._store_status(),
            **({} if trainer.watcher is None else trainer.watcher.counters()),
            "last_drift": trainer.last_drift,
            "n_drifts": trainer.n_drifts,
            "skipped_updates": getattr(trainer.adapter.estimator, "skipped_updates", 0),
            "backward_times": self._backward_times,
            "transport": dict(self._source.stats),
            "lag": self._handler.lag,
        }

    def _listener_counts(self) -> Config:
        return {
            "n_ended": self._listeners.n_ended,
            "n_failed_calls": self._listeners.n_failed_calls,
            "sinks": self._listeners.counters(),
            **self._listeners.losses(),
        }

    def _store_status(self) -> Config:
        store = self._commits.store
        return {
            "checkpoint_age": None if store is None else store.age,
            "alarm": self._commits.alarm,
            "outage": self._source.outage or None,
            "waiting_for": self._commits.waiting_for,
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        store = self._commits.store
        rejection = self._handler.rejection
        quarantine = self._handler.quarantine
        return [
            *self._source.notes,
            *([] if rejection is None else [rejection]),
            *([f"refused rows are in {quarantine.path}"] if quarantine.n_written else []),
            *([] if store is None else store.notes),
            *self._joins(),
            *self._listeners.notes,
        ]

    def _joins(self) -> list[str]:
        """Return what is to be said about labels, and about columns that were not used."""
        monitor = self._monitor
        on_monitor = (monitor.missing_column, monitor.untested_columns)
        return [
            *filter(None, (self._commits.waiting_for, *on_monitor, self._on_classes)),
            *self._trainer.pending.sentences(),
            *self._handler.text_columns.sentences(),
            *self._handler.repeated_times.sentences(),
        ]


def _time_sentences(n: int) -> list[str]:
    """Return a sentence on rows with a time before that of the previous row, if there are any."""
    if not n:
        return []
    return [f"{counted(n, 'time')} before that of the previous row: the gap counts as a median one"]


def _filler_sentences(fillers: Mapping[Hashable, int]) -> list[str]:
    """Return a sentence per column with fill values, at most five."""
    worst = sorted(fillers, key=lambda name: -fillers[name])[:_FILLED_COLUMNS]
    return [
        f"column {name!r} had {fillers[name]:,} fill values, such as -9999, that stand apart from "
        "the others: they count as missing"
        for name in worst
    ]


def _target_sentences(scores: Prequential, named: Sequence[str]) -> list[str]:
    """Return a sentence per target that some rows lacked, at most five; `named` are expected."""
    rows = scores.n_scored
    scored = scores.n_scored_by_target
    if scored:
        scored = {**dict.fromkeys(named, 0), **scored}
    lacking = {name: rows - n for name, n in scored.items() if n < rows}
    return [
        f"target {str(name)!r} was not scored in {lacking[name]:,} of {rows:,} rows, which had no "
        "value of it or came before its first one"
        for name in sorted(lacking, key=lambda name: -lacking[name])[:_SHOWN_TARGETS]
    ]


def _numbers(report: State) -> Config:
    """Return the single numbers of a report."""
    return {name: value for name, value in report.items() if name in _NUMBERS}


def _modes(estimator: object, problem: str) -> dict[str, str] | None:
    """Return the prediction mode of the scores and of the accuracy matrix."""
    predict = getattr(estimator, "predict_one", None)
    if predict is None or not takes_mode(predict) or problem == TARGETS:
        return None
    return {"scores": "next row", "accuracy_matrix": "any row"}
