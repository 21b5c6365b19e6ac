"""Sinks, callbacks and watchers of an engine; an exception in one of them does not end the run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from loco_stream import __version__
from loco_stream._text import counted
from loco_stream.engine._model_adapter import last_step
from loco_stream.engine._row import Row
from loco_stream.errors import ConfigError
from loco_stream.monitor._alarm import DriftAlarm
from loco_stream.records import KINDS, of_drift_alarm, of_prediction, of_report
from loco_stream.stream import Prediction, Predictions, Record, Sink, Source

_log = logging.getLogger("loco_stream.engine.listeners")

Callback = Callable[[Record], object]
Watcher = Callable[[Any], None]


class Listeners:
    """Passes predictions and records to sinks and callbacks, and the engine to watchers.

    A sink or watcher that raises is removed and noted; a callback that raises is noted and kept.

    Raises `ConfigError` if a sink is not derived from `Sink`.

    `watchers`: functions that are called with the engine.
    """

    def __init__(self, sinks: Iterable[Sink], watchers: Iterable[Watcher]) -> None:
        self._sinks = [_check_sink(sink) for sink in sinks]
        self._watchers = list(watchers)
        self._prediction_sinks = self._sinks_of("prediction")
        self._callbacks: dict[str, list[Callback]] = {kind: [] for kind in KINDS}
        self.n_ended = 0  # sinks and watchers that raised
        self.n_failed_calls = 0  # exceptions in callbacks
        self.notes: list[str] = []  # one sentence per failure and per sink that lost records
        self._removed_counts: dict[str, int] = {}  # counters of removed sinks
        self._lost_by_failed: Counter[str] = Counter()

    def on(self, kind: str, function: Callback) -> None:
        """Call `function` with every record of `kind`."""
        if kind not in KINDS:
            raise ConfigError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
        if not callable(function):
            raise ConfigError(f"`function` must be callable, got {type(function).__name__}")
        self._callbacks[kind].append(function)

    def wants(self, kind: str) -> bool:
        """Whether a sink or callback receives records of `kind`."""
        return bool(self._callbacks[kind]) or any(kind in sink.kinds for sink in self._sinks)

    def begin(self, model: Any, source: Source, task: str, checkpoint: str | None) -> None:
        """Describe the run to the sinks, before its first row; see `Sink.begin`."""
        estimator = last_step(model)
        params = estimator.get_params() if hasattr(estimator, "get_params") else {}
        run = {
            "model": type(model).__name__,
            "parameters": {name: value for name, value in params.items() if name != "advanced"},
            "source": source.name,
            "task": task,
            "version": __version__,
            "is_live": source.is_live,
            "checkpoint": checkpoint,
        }
        self._pass(tuple(self._sinks), "begin", run)

    def emit_prediction(self, prediction: Prediction) -> None:
        """Pass a prediction to the sinks and callbacks that want predictions."""
        self._pass(self._prediction_sinks, "write", prediction)
        if self._callbacks["prediction"]:
            self._call(of_prediction(prediction))

    def emit_block(self, predictions: Predictions) -> None:
        """Pass the predictions of a block to the sinks and callbacks that want predictions."""
        self._pass(self._prediction_sinks, "write_block", predictions)
        if self._callbacks["prediction"]:
            for prediction in predictions:
                self._call(of_prediction(prediction))

    def emit_record(self, record: Record) -> None:
        """Pass a record that is not a prediction to the sinks and callbacks of its kind."""
        self._pass(self._sinks_of(record["kind"]), "write_record", record)
        self._call(record)

    def emit_alarm(self, alarm: DriftAlarm, row: Row) -> None:
        """Emit the record of an alarm that the monitor raised at `row`."""
        record = of_drift_alarm(alarm, row)
        if record is not None:
            self.emit_record(record)

    def notify_watchers(self, engine: object) -> None:
        """Call every watcher with the engine."""
        for watcher in tuple(self._watchers):
            try:
                watcher(engine)
            except Exception as error:
                self._watchers.remove(watcher)
                self._note_failure("watcher", _name(watcher), error)

    def close(self, report: Mapping[str, Any]) -> list[str]:
        """Drain all sinks, close them, and pass the report to the callbacks; return new notes.

        All are drained before the first is closed: sinks that wait then do so at the same time.
        """
        n_notes = len(self.notes)
        failures = [_failure(sink.drain, report) for sink in self._sinks]
        for sink, drain_failure in zip(self._sinks, failures, strict=True):
            failure = _failure(sink.close, report) or drain_failure
            if failure is not None:
                self._note_failed_sink(sink, failure)
            self.notes += sink.notes
        self._call(of_report(report))
        return self.notes[n_notes:]

    def counters(self) -> dict[str, int]:
        """Return the counters of all sinks under ``"COUNTER NAME"``."""
        counts = dict(self._removed_counts)
        for sink in self._sinks:
            counts |= _counters(sink)
        return counts

    def losses(self) -> dict[str, Any]:
        """Return the entries of a report on lost records; a sink that raised lost at least one."""
        lost = self._lost_by_failed.copy()
        for sink in self._sinks:
            lost[_name(sink)] += sink.n_lost
        # without sinks that lost nothing
        return {"n_lost_records": lost.total(), "lost_records": dict(+lost)}

    def export_state(self) -> dict[str, Any]:
        """Return what the sinks have not delivered yet, by sink name."""
        states = {_name(sink): sink.export_state() for sink in self._sinks}
        return {name: state for name, state in states.items() if state is not None}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Restore the sinks' state; undelivered records of a sink that is gone are noted."""
        sinks = {_name(sink): sink for sink in reversed(self._sinks)}
        for name, undelivered in state.items():
            if name in sinks:
                sinks[name].restore_state(undelivered)
            elif undelivered:
                self.notes.append(
                    f"{counted(len(undelivered), 'record')} dropped, which an earlier run may not "
                    f"have delivered to {name}: this run has no such sink"
                )

    def _pass(self, sinks: Iterable[Sink], method: str, content: object) -> None:
        """Call a method of the sinks; one that raises is removed."""
        for sink in sinks:
            try:
                getattr(sink, method)(content)
            except Exception as error:
                self._remove(sink, error)

    def _sinks_of(self, kind: str) -> tuple[Sink, ...]:
        return tuple(sink for sink in self._sinks if kind in sink.kinds)

    def _call(self, record: Record) -> None:
        for function in self._callbacks[record["kind"]]:
            try:
                function(record)
            except Exception as error:
                self.n_failed_calls += 1
                if self.n_failed_calls == 1:
                    self.notes.append(
                        f"the callback {_name(function)} raised {type(error).__name__}: {error}"
                    )

    def _remove(self, sink: Sink, error: Exception) -> None:
        self._sinks.remove(sink)
        self._prediction_sinks = self._sinks_of("prediction")
        self._removed_counts |= _counters(sink)
        self._note_failed_sink(sink, error)

    def _note_failed_sink(self, sink: Sink, error: Exception) -> None:
        known = sink.n_lost if sink in self._sinks else 0  # which `losses` counts already
        self._lost_by_failed[_name(sink)] += max(1, sink.n_lost) - known
        self._note_failure("sink", _name(sink), error)

    def _note_failure(self, what: str, name: str, error: Exception) -> None:
        self.n_ended += 1
        note = f"the {what} {name} failed: {type(error).__name__}: {error}"
        _log.warning("%s", note)
        self.notes.append(note)


def _check_sink(sink: object) -> Sink:
    if isinstance(sink, Sink):
        return sink
    raise ConfigError(
        f"`sinks` must hold objects derived from loco_stream.stream.Sink, got {type(sink).__name__}"
    )


def _failure(
    function: Callable[[Mapping[str, Any]], object], report: Mapping[str, Any]
) -> Exception | None:
    """Call a function with the report and return the exception it raises."""
    try:
        function(report)
    except Exception as error:
        return error
    return None


def _name(listener: object) -> str:
    """Return the name of a sink or the name of a function, or else that of its class."""
    if isinstance(listener, Sink):
        return listener.name or type(listener).__name__
    return getattr(listener, "__name__", type(listener).__name__)


def _counters(sink: Sink) -> dict[str, int]:
    return {f"{counter} {_name(sink)}": count for counter, count in sink.stats.items()}
