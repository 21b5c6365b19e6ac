"""Records: the messages of an engine to its sinks and callbacks, plain mappings that JSON can hold.

Every record has `kind`, `source`, `seq` and `t`: the source and number of its row, and the row's
event time (None without one). A receiver removes duplicates by (kind, source, epoch, seq). Records
of kind `status` and `report` are about the whole run: `source` is the source of the engine, `seq`
the number of rows learned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from loco_stream._text import did_you_mean
from loco_stream.errors import ConfigError
from loco_stream.stream import Prediction, Record

__all__ = [
    "KINDS",
    "Record",
    "check_kinds",
    "label_keys",
    "of_anomaly",
    "of_drift_alarm",
    "of_prediction",
    "of_report",
    "of_status",
]

KINDS = ("prediction", "drift", "task", "anomaly", "status", "report")
"""Every kind of record."""

DriftAlarmLike: TypeAlias = Any  # a `loco_stream.monitor.DriftAlarm`
RowLike: TypeAlias = Any  # has `source`, `seq`, `t`, `epoch`, `id` and `extra`
Results: TypeAlias = Mapping[str, Any]


def check_kinds(names: str) -> frozenset[str]:
    """Return the kinds of records in a comma-separated list, the option `only` of sinks.

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
        wrong = f"{unknown[0]!r}{did_you_mean(unknown[0], KINDS)}"
        raise ConfigError(f"`only` must name kinds of records ({', '.join(KINDS)}), got {wrong}")
    return kinds


def of_prediction(prediction: Prediction) -> Record:
    """Return the record of a prediction, without `label` if unknown, without `proba` in regression.

    A row with an id has it as `id`. `entry` is the broker's own id or offset of its message, and
    `keep` holds the fields that the source was asked to keep.

    Examples
    --------
    >>> record = of_prediction(Prediction(seq=7, y_pred="ok", proba={"ok": 0.8, "worn": 0.2}))
    >>> record["kind"], record["prediction"], record["proba"], "label" in record
    ('prediction', 'ok', {'ok': 0.8, 'worn': 0.2}, False)
    """
    record = _head("prediction", prediction.source, prediction.seq, prediction.t, prediction.epoch)
    if prediction.id is not None:
        record["id"] = prediction.id
    record |= prediction.extra or {}
    record["prediction"] = prediction.y_pred
    if prediction.proba is not None:
        labels = label_keys(prediction.proba)
        record["proba"] = dict(zip(labels, prediction.proba.values(), strict=True))
    if prediction.y is not None:
        record["label"] = prediction.y
    return record


def of_drift_alarm(alarm: DriftAlarmLike, row: RowLike) -> Record | None:
    """Return the record of an alarm that the monitor raised at `row`; None for a warning.

    In a drift, `what` is "concept" (the errors rose), "input" or "boundary" (the task column or the
    user). `features` of an input drift are those that moved most, or the one that is stuck, where
    `detector` is "stuck". A task record names a known task that is back.

    Examples
    --------
    >>> from loco_stream.monitor import DriftAlarm
    >>> alarm = DriftAlarm(at=900, kind="concept", detector="HDDMA", state="drift", since=880)
    >>> record = of_drift_alarm(alarm, Prediction(seq=900, y_pred="ok", source="press"))
    >>> record["kind"], record["what"], record["since"], record["seq"]
    ('drift', 'concept', 880, 900)
    """
    if alarm.state == "warning":
        return None
    kind = "drift" if alarm.state == "drift" else "task"
    record = {
        **_head(kind, row.source, row.seq, row.t, row.epoch),
        "at": alarm.at,
        "since": alarm.since,
        "detector": alarm.detector,
        "what": alarm.kind,
    }
    if alarm.task:
        record["task"] = alarm.task
    if alarm.features:
        record["features"] = list(alarm.features)
    return record


def of_anomaly(finding: Results, row: RowLike) -> Record:
    """Return the record of a row that raised an alarm of the detector.

    `at` is its position in the stream, from 0; `score` and `state` are its scores; `column` is the
    most unusual column, `value` its value, and `expected` the lowest and highest value expected,
    None for a text. A row's id and kept fields are as in the record of a prediction.

    Examples
    --------
    >>> row = Prediction(seq=700, y_pred=None, source="pump", id="r700")
    >>> record = of_anomaly({"at": 700, "score": 8.2, "column": "flow", "value": 7.1}, row)
    >>> record["kind"], record["id"], record["column"]
    ('anomaly', 'r700', 'flow')
    """
    head = _head("anomaly", row.source, row.seq, row.t, row.epoch)
    joined = {} if row.id is None else {"id": row.id}
    found = {name: x for name, x in finding.items() if name != "t"}
    return {**head, **joined, **(row.extra or {}), **found}


def of_status(status: Results, source: str) -> Record:
    """Return the record of the current numbers of a running engine.

    Examples
    --------
    >>> record = of_status({"n_samples": 500, "accuracy": 0.9}, "press")
    >>> record["kind"], record["seq"], record["status"]["accuracy"]
    ('status', 500, 0.9)
    """
    return {**_head("status", source, status["n_samples"], time.time()), "status": dict(status)}


def of_report(report: Results) -> Record:
    """Return the record of the report at the end of a run.

    Examples
    --------
    >>> record = of_report({"source": "press", "n_samples": 500, "accuracy": 0.9})
    >>> record["kind"], record["source"], record["report"]["accuracy"]
    ('report', 'press', 0.9)
    """
    head = _head("report", report.get("source", ""), report.get("n_samples", 0), time.time())
    return {**head, "report": dict(report)}


def _head(kind: str, source: str, seq: int, t: float, epoch: int = 0) -> Record:
    record = {"kind": kind, "source": source, "seq": seq, "t": None if math.isnan(t) else t}
    return {**record, "epoch": epoch} if epoch else record


def label_keys(labels: Iterable[Any]) -> list[str]:
    """Return each label as a key of a JSON object: a text is quoted where another label reads so.

    Examples
    --------
    >>> label_keys(["on", 2]), label_keys([1, "1"])
    (['on', '2'], ['1', '"1"'])
    """
    every = list(labels)
    keys = [str(label) for label in every]
    if len(set(keys)) == len(keys):
        return keys
    others = {key for key, label in zip(keys, every, strict=True) if not isinstance(label, str)}
    return [
        f'"{key}"' if isinstance(label, str) and key in others else key
        for key, label in zip(keys, every, strict=True)
    ]
