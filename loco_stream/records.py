"""What an engine tells the world: plain maps that JSON can carry, one a fact.

Every record has `kind`, `source`, `seq` and `t`: whose row it is about, its number and its event
time (None where the row has none). A receiver that keeps the (kind, source, epoch, seq) it has seen
drops repeats. `status` and `report` are about the whole run: their `source` is the engine's, their
`seq` the rows learned so far.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from loco_stream.errors import ConfigError
from loco_stream.stream import Prediction, Record

__all__ = ["KINDS", "Record", "check_kinds", "of_alarm", "of_prediction", "of_report", "of_status"]

KINDS = ("prediction", "drift", "task", "status", "report")


def check_kinds(names: str) -> frozenset[str]:
    """Return the kinds that a comma list names.

    Raises
    ------
    ConfigError
        There is no such kind.

    Examples
    --------
    >>> sorted(check_kinds("drift,task"))
    ['drift', 'task']
    """
    kinds = frozenset(names.split(","))
    if unknown := sorted(kinds.difference(KINDS)):
        raise ConfigError(
            f"there are no records of kind {unknown[0]!r} (allowed: {', '.join(KINDS)})"
        )
    return kinds


def of_prediction(prediction: Prediction) -> Record:
    """Return the record of a prediction.

    `label` is left out while it is unknown, `proba` in regression.

    Examples
    --------
    >>> record = of_prediction(Prediction(seq=7, y_pred="ok", proba={"ok": 0.8, "worn": 0.2}, source="press 3"))
    >>> record["kind"], record["prediction"], record["proba"], "label" in record
    ('prediction', 'ok', {'ok': 0.8, 'worn': 0.2}, False)
    """
    record = _head("prediction", prediction.source, prediction.seq, prediction.t, prediction.epoch)
    record["prediction"] = prediction.y_pred
    if prediction.proba is not None:
        record["proba"] = {str(label): p for label, p in prediction.proba.items()}
    if prediction.y is not None:
        record["label"] = prediction.y
    return record


def of_alarm(alarm: Any, row: Any) -> Record | None:
    """Return the record of a monitor's alarm that `row` raised.

    None for a warning, which may come to nothing.

    A drift says `what` changed: "concept" (the errors rose), "input" or "boundary" (the task
    column, or the user). A task says which one runs now: it was known from before.
    """
    if alarm.state == "warning":
        return None
    kind = "drift" if alarm.state == "drift" else "task"
    head = _head(kind, row.source, row.seq, row.t, row.epoch)
    record = {
        **head,
        "at": alarm.at,
        "since": alarm.since,
        "detector": alarm.detector,
        "what": alarm.kind,
    }
    if alarm.task:
        record["task"] = alarm.task
    return record


def of_status(status: Mapping[str, Any], source: str) -> Record:
    """Return the record of a running engine's numbers as they are now."""
    return {**_head("status", source, status["n_samples"], time.time()), "status": dict(status)}


def of_report(report: Mapping[str, Any]) -> Record:
    """Return the record of the report at the end of a run."""
    return {
        **_head("report", report.get("source", ""), report.get("n_samples", 0), time.time()),
        "report": dict(report),
    }


def _head(kind: str, source: str, seq: int, t: float, epoch: int = 0) -> Record:
    record = {"kind": kind, "source": source, "seq": seq, "t": None if math.isnan(t) else t}
    return {**record, "epoch": epoch} if epoch else record
