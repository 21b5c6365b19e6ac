"""What a running engine tells: the numbers of this moment, from which report, metrics and pages are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream.engine.score import Score
from loco_stream.engine.store import Store
from loco_stream.engine.trainer import Trainer
from loco_stream.metrics.keys import KEYS
from loco_stream.stream import Source

__all__ = ["measure", "numbers", "of_the_report"]

_NUMBERS = frozenset(key.name for key in KEYS if key.kind in ("gauge", "counter"))
_MOMENTARY = frozenset(key.name for key in KEYS if key.momentary)


def measure(
    trainer: Trainer, score: Score, store: Store | None, source: Source, ended: Sequence[str], lag: float | None
) -> dict[str, Any]:
    """Return counters, scores, speed, latency and alarms as they are now; `ended` tells of sinks that are gone."""
    refused = [] if trainer.rejection is None else [trainer.rejection]
    return {
        **trainer.counters(),
        **score.report(),
        "n_ended": len(ended),
        "last_drift": trainer.last_drift,
        "n_drifts": trainer.n_drifts,
        "skipped_updates": getattr(trainer.model_adapter.model, "skipped_updates", 0),
        "transport": dict(getattr(source, "stats", {})),
        "checkpoint_age": None if store is None else store.age,
        "lag": lag,
        "alarm": None if store is None else store.alarm,
        "notes": [*refused, *([] if store is None else store.notes), *ended],
    }


def numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the single numbers of a monitor's report, which a status has room for."""
    return {name: value for name, value in report.items() if name in _NUMBERS}


def of_the_report(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without what is of the moment alone."""
    return {name: value for name, value in status.items() if name not in _MOMENTARY}
