"""What a running engine tells.

The numbers of this moment, from which report, metrics and pages are made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from loco_stream import __version__
from loco_stream.engine.listeners import Listeners
from loco_stream.engine.model_adapter import last_step
from loco_stream.engine.report import Report
from loco_stream.engine.store import Store
from loco_stream.engine.trainer import Trainer
from loco_stream.metrics.keys import KEYS
from loco_stream.records import of_status
from loco_stream.stream import Source

__all__ = ["Board"]

_STATUS_EVERY = 0.1  # seconds
_SLOW_EVERY = 1.0
_TELL_EVERY = 5.0  # between status records
_NUMBERS = frozenset(key.name for key in KEYS if key.kind in ("gauge", "counter"))
_MOMENTARY = frozenset(key.name for key in KEYS if key.momentary)


class Board:
    """The status of one engine.

    Made anew ten times a second, shown to the watchers, and the report at the end.

    Parameters
    ----------
    trainer
        Has the model, the scores, the monitor and the ledger.
    source
        Its `stats` are told.
    listeners
        Its watchers look at the engine with each new status.
    """

    def __init__(self, trainer: Trainer, source: Source, listeners: Listeners) -> None:
        self._trainer = trainer
        self._source = source
        self._listeners = listeners
        self._slow: dict[str, Any] = {}  # what takes long to count: a second old at most
        self._slow_at = self._told_at = -math.inf
        self._at = 0.0
        self.status = self._measure(None)  # zeros for who asks before the run

    def publish(self, engine: object, store: Store | None) -> None:
        """Renew the status if it is a tenth of a second old."""
        now = time.monotonic()
        if now - self._at >= _STATUS_EVERY:
            self._at = now
            self._look(engine, store)

    def look(self, engine: object, store: Store | None) -> None:
        """Renew the whole status now."""
        self._slow_at = -math.inf
        self._look(engine, store)

    def _look(self, engine: object, store: Store | None) -> None:
        self.status = self._measure(store)
        self._listeners.notify_watchers(engine)
        now = time.monotonic()
        if self._listeners.wants("status") and now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            self._listeners.emit_record(of_status(_numbers(self.status), self._source.name))

    def report(self, model: object, interrupted: bool) -> Report:
        """Return the report of the status as it stands, with all that the monitor and the ledger know."""
        trainer = self._trainer
        return Report(
            {
                **{name: value for name, value in self.status.items() if name not in _MOMENTARY},
                **trainer.monitor.report(),
                **trainer.ledger.report(),
                "categories": getattr(last_step(model), "categories_", {}),
                "seed": getattr(last_step(model), "seed", None),
                "version": __version__,
                "task": trainer.score.task,
                "source": self._source.name,
                "interrupted": interrupted,
                "curve": trainer.score.curve_report(),
            }
        )

    def _measure(self, store: Store | None) -> dict[str, Any]:
        now = time.monotonic()
        trainer = self._trainer
        if now - self._slow_at >= _SLOW_EVERY:
            self._slow, self._slow_at = (
                {**_numbers(trainer.monitor.report()), **trainer.ledger.report()},
                now,
            )
        refused = [] if trainer.rejection is None else [trainer.rejection]
        return {
            **self._slow,
            **trainer.counters(),
            **trainer.score.report(),
            "n_ended": self._listeners.n_ended,
            "n_failed_calls": self._listeners.n_failed_calls,
            "sinks": self._listeners.counters(),
            "last_drift": trainer.last_drift,
            "n_drifts": trainer.n_drifts,
            "skipped_updates": getattr(trainer.model_adapter.estimator, "skipped_updates", 0),
            "transport": dict(self._source.stats),
            "checkpoint_age": None if store is None else store.age,
            "lag": trainer.lag,
            "alarm": None if store is None else store.alarm,
            "notes": [*refused, *([] if store is None else store.notes), *self._listeners.notes],
        }


def _numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the single numbers of a monitor's report, which a status has room for."""
    return {name: value for name, value in report.items() if name in _NUMBERS}
