"""What a running engine tells: the numbers of this moment, from which report, metrics and pages are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loco_stream.engine.score import Score
from loco_stream.engine.store import Store
from loco_stream.engine.trainer import Trainer
from loco_stream.stream import Source

__all__ = ["MOMENTARY", "measure"]

MOMENTARY = ("last_drift", "n_drifts", "checkpoint_age")  # of the moment, or told in full elsewhere in a report


def measure(
    trainer: Trainer, score: Score, store: Store | None, source: Source, notes: Sequence[str]
) -> dict[str, Any]:
    """Return counters, scores, speed, latency and alarms as they are now."""
    refused = [] if trainer.rejection is None else [trainer.rejection]
    return {
        **trainer.counters(),
        **score.report(),
        "last_drift": trainer.last_drift,
        "n_drifts": trainer.n_drifts,
        "skipped_updates": getattr(trainer.model_adapter.model, "skipped_updates", 0),
        "transport": dict(getattr(source, "stats", {})),
        "checkpoint_age": None if store is None else store.age,
        "alarm": None if store is None else store.alarm,
        "notes": [*refused, *([] if store is None else store.notes), *notes],
    }
