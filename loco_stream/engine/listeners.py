"""Who is told what happens: sinks and watchers. One that raises is let go; the engine goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from loco_stream.stream import Prediction, Sink

__all__ = ["Listeners"]


class Listeners:
    """Sinks and watchers of one engine.

    Parameters
    ----------
    sinks
        Each gets every prediction, and the report at the end.
    watchers
        Each is called with the engine.
    """

    def __init__(self, sinks: Iterable[Sink], watchers: Iterable[Callable[[Any], None]]) -> None:
        self._sinks, self._watchers = list(sinks), list(watchers)
        self.wants_predictions = bool(self._sinks)
        self.notes: list[str] = []  # a sentence for each that was let go

    def tell(self, prediction: Prediction) -> None:
        """Hand a prediction to every sink."""
        for sink in tuple(self._sinks):
            try:
                sink.write(prediction)
            except Exception as error:
                self._sinks.remove(sink)
                self._note("sink", sink, error)

    def show(self, engine: object) -> None:
        """Let every watcher look at the engine."""
        for watcher in tuple(self._watchers):
            try:
                watcher(engine)
            except Exception as error:
                self._watchers.remove(watcher)
                self._note("watcher", watcher, error)

    def close(self, report: Mapping[str, Any]) -> None:
        """Hand the report to every sink that is left."""
        for sink in self._sinks:
            try:
                sink.close(report)
            except Exception as error:
                self._note("sink", sink, error)

    def _note(self, what: str, who: object, error: Exception) -> None:
        name = getattr(who, "__name__", type(who).__name__)
        self.notes.append(f"the {what} {name} ended: {type(error).__name__}: {error}")
