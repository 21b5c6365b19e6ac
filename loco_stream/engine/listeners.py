"""Who is told what happens: sinks, callbacks and watchers.

What raises is contained; the engine goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from loco_stream.engine.model_adapter import Row
from loco_stream.errors import ConfigError
from loco_stream.monitor.alarm import Alarm
from loco_stream.records import KINDS, Record, of_alarm, of_prediction, of_report
from loco_stream.stream import Prediction, Predictions, Sink

__all__ = ["Listeners"]

_PLAIN = frozenset({"prediction", "report"})  # what a sink gets that names no kinds


class Listeners:
    """Sinks, callbacks and watchers of one engine.

    A sink or watcher that raises is let go, a callback is kept.

    Parameters
    ----------
    sinks
        Each gets the kinds of records that it names in `kinds`; without that, every prediction and
        the report.
    watchers
        Each is called with the engine.
    """

    def __init__(self, sinks: Iterable[Sink], watchers: Iterable[Callable[[Any], None]]) -> None:
        self._sinks = list(sinks)
        self._watchers = list(watchers)
        self._told = _who_want_predictions(self._sinks)
        self._callbacks: dict[str, list[Callable[[Record], object]]] = {kind: [] for kind in KINDS}
        self.n_ended = self.n_failed_calls = 0
        self.notes: list[str] = []  # a sentence for each that was let go, or lost something
        self._counted: dict[str, int] = {}  # by sinks that are gone

    def on(self, kind: str, function: Callable[[Record], object]) -> None:
        """Call a function with every record of one kind."""
        if kind not in KINDS:
            raise ConfigError(
                f"there are no records of kind {kind!r} (allowed: {', '.join(KINDS)})"
            )
        self._callbacks[kind].append(function)

    def wants(self, kind: str) -> bool:
        """Whether anybody listens to records of a kind."""
        return bool(self._callbacks[kind]) or any(kind in _kinds(sink) for sink in self._sinks)

    def tell(self, prediction: Prediction) -> None:
        """Hand a prediction to every sink and callback that wants it."""
        for sink in self._told:
            try:
                sink.write(prediction)
            except Exception as error:
                self._let_go(sink, error)
        if self._callbacks["prediction"]:
            self._call(of_prediction(prediction))

    def tell_block(self, predictions: Predictions) -> None:
        """Hand the predictions of a block to every sink and callback that wants them, whole where a sink takes that."""
        for sink in self._told:
            self._try(
                sink, getattr(sink, "write_block", None) or _one_by_one(sink.write), predictions
            )
        if self._callbacks["prediction"]:
            for prediction in predictions:
                self._call(of_prediction(prediction))

    def announce(self, record: Record) -> None:
        """Hand a record that is no prediction to every sink and callback that wants it."""
        for sink in tuple(self._sinks):
            if record["kind"] in _kinds(sink) and hasattr(sink, "event"):
                self._try(sink, sink.event, record)
        self._call(record)

    def alarm(self, alarm: Alarm, row: Row) -> None:
        """Announce what the monitor says at a row."""
        record = of_alarm(alarm, row)
        if record is not None:
            self.announce(record)

    def show(self, engine: object) -> None:
        """Let every watcher look at the engine."""
        for watcher in tuple(self._watchers):
            try:
                watcher(engine)
            except Exception as error:
                self._watchers.remove(watcher)
                self._note("watcher", watcher, error)

    def close(self, report: Mapping[str, Any]) -> None:
        """Hand the report to every sink that is left, and to the callbacks.

        Those that have to wait do so together.
        """
        failed = [self._failure(getattr(sink, "end", None), report) for sink in self._sinks]
        for sink, error in zip(self._sinks, failed, strict=True):
            error = self._failure(sink.close, report) or error
            if error is not None:
                self._note("sink", sink, error)
            self.notes += getattr(sink, "notes", ())
        self._call(of_report(report))

    def counters(self) -> dict[str, int]:
        """Return what the sinks counted, under ``"WHAT NAME"``."""
        live = [_counters(sink) for sink in self._sinks]
        return {
            **self._counted,
            **{name: count for counters in live for name, count in counters.items()},
        }

    def export_state(self) -> dict[str, Any]:
        """Return what the sinks have not delivered yet, by name."""
        keepers: list[Any] = [sink for sink in self._sinks if hasattr(sink, "export_state")]
        return {sink.name: sink.export_state() for sink in keepers}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Hand the sinks what an earlier run had not delivered.

        What no sink asks for any more is said.
        """
        for name, undelivered in state.items():
            sink = next((sink for sink in self._sinks if getattr(sink, "name", None) == name), None)
            if sink is not None and hasattr(sink, "restore_state"):
                sink.restore_state(undelivered)
            elif undelivered:
                self.notes.append(
                    f"{len(undelivered)} records that an earlier run may not have delivered to {name} are dropped: "
                    "this run has no such sink"
                )

    def _call(self, record: Record) -> None:
        for function in self._callbacks[record["kind"]]:
            try:
                function(record)
            except Exception as error:
                self.n_failed_calls += 1
                if self.n_failed_calls == 1:
                    name = getattr(function, "__name__", type(function).__name__)
                    self.notes.append(f"the callback {name} raised {type(error).__name__}: {error}")

    def _try(self, sink: Any, function: Callable[[Any], None], what: Any) -> None:
        try:
            function(what)
        except Exception as error:
            self._let_go(sink, error)

    @staticmethod
    def _failure(
        function: Callable[[Any], object] | None, report: Mapping[str, Any]
    ) -> Exception | None:
        """Call a function, if there is one, and return what it raises."""
        try:
            if function is not None:
                function(report)
        except Exception as error:
            return error
        return None

    def _let_go(self, sink: Any, error: Exception) -> None:
        self._sinks.remove(sink)
        self._told = _who_want_predictions(self._sinks)
        self._counted.update(_counters(sink))
        self._note("sink", sink, error)

    def _note(self, what: str, who: object, error: Exception) -> None:
        self.n_ended += 1
        name = getattr(who, "name", None) or getattr(who, "__name__", type(who).__name__)
        self.notes.append(f"the {what} {name} ended: {type(error).__name__}: {error}")


def _one_by_one(write: Callable[[Prediction], None]) -> Callable[[Predictions], None]:
    def write_block(predictions: Predictions) -> None:
        for prediction in predictions:
            write(prediction)

    return write_block


def _who_want_predictions(sinks: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sink for sink in sinks if "prediction" in _kinds(sink))


def _kinds(sink: Any) -> frozenset[str]:
    kinds: frozenset[str] = getattr(sink, "kinds", _PLAIN)
    return kinds


def _counters(sink: Any) -> dict[str, int]:
    return {f"{what} {sink.name}": count for what, count in getattr(sink, "stats", {}).items()}
