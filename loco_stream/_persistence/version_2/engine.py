"""Checkpoints of version 2, of an engine or of a key of a fleet."""

from __future__ import annotations

from collections.abc import Sequence

from loco_stream._persistence.content import (
    Arrays,
    Config,
    Plain,
    Saved,
    State,
    with_prefix,
    without_prefix,
)
from loco_stream._persistence.migration_steps import Migration, in_checkpoints
from loco_stream._persistence.version_2.models import convert_ticket
from loco_stream._persistence.version_2.monitor import monitor_arrays, monitor_config
from loco_stream._persistence.version_2.scores import prequential


def _migrated(saved: Saved) -> Saved:
    old = saved.config
    model = without_prefix("model", saved.arrays)
    config = _key(old, model) if "key" in old else _engine(old, model)
    return Saved(saved.kind, config, _arrays(saved.arrays))


def _arrays(arrays: Arrays) -> Arrays:
    others = {name: a for name, a in arrays.items() if not name.startswith("monitor/")}
    monitor = monitor_arrays(without_prefix("monitor", arrays))
    return {**others, **with_prefix("monitor", monitor)}


def _engine(old: State, model: Arrays) -> Config:
    rest = {name: value for name, value in old.items() if name != "score"}
    return {
        **rest,
        "measures": _measures(old["score"]),
        "monitor": monitor_config(old["monitor"]),
        "trainer": _trainer(old["trainer"], model),
        "events": _events(old["trainer"], model),
    }


def _measures(old: State) -> Config:
    scores = prequential(old["prequential"])
    ranking = {
        "window": scores["window"],
        "n": 0,
        "labels": [],
        "own": [],
        "others": [],
        "rows": [],
        "faded": [],
    }
    return {**old, "prequential": scores, "ranking": ranking}


def _trainer(old: State, model: Arrays) -> Config:
    names = ("n_samples", "n_unlabelled", "n_held_out", "n_unusable")
    return {
        **{name: old["counters"][name] for name in names},
        "n_drifts": old["n_drifts"],
        "last_drift": old["last_drift"],
        "pending": _pending(old["pending"], model),
    }


def _pending(old: State, model: Arrays) -> Config:
    return {**old, "rows": [_row(row, model) for row in old["rows"]], "ids": _no_ids()}


def _no_ids() -> Config:
    return {"counts": {}, "last": {}, "early": [], "used": []}


def _row(fields: Sequence[Plain], model: Arrays) -> list[Plain]:
    *others, ticket = fields
    return [*others, convert_ticket(ticket, model), None, None]  # no id, nothing to repeat


def _events(old: State, model: Arrays) -> Config:
    counters = old["counters"]
    ledger = old["ledger"]
    delayed = [[*place, _row(row, model)] for *place, row in old["due"]]
    names = ("rows", "masked", "skipped", "unknown", "missing")
    n_rows = counters["n_samples"] + len(old["pending"]["rows"]) + len(delayed)
    quality = {
        **{name: ledger[name] for name in names},
        "n_rows": n_rows,
        "steady": [name for name, n in ledger["rows"] if n == n_rows],
        "masked_runs": [],
    }
    return {
        "n_rows": n_rows,
        "text_columns": {"counts": [], "left_out": [], "numbers": [], "odd": []},
        "n_rejected": counters["n_rejected"],
        "n_set_aside": counters["n_set_aside"],
        "n_requested": counters["n_asked"],
        "n_fill_values": 0,
        "now": old["now"],
        "delayed": {"n_arrived": old["arrived"], "rows": delayed, "features": old["features"]},
        "quality": {**quality, "n_malformed": ledger["unread"], "last_errors": ledger["last"]},
    }


def _key(old: State, model: Arrays) -> Config:
    """Return the plain values of a key, with a trainer if it is watched or has pending rows."""
    config = {name: old[name] for name in ("key", "seen", "model")}
    watch = old.get("watch")
    if watch is not None:
        config["measures"] = _measures(watch["score"])
        config["monitor"] = monitor_config(old["monitor"])
    if watch is not None or "pending" in old:
        config["trainer"] = _key_trainer(watch)
        if "pending" in old:
            config["trainer"]["pending"] = _pending(old["pending"], model)
        config["trainer"]["n_drifts"] = old.get("monitor", {}).get("_n_drifts", 0)
    return config


def _key_trainer(watch: State | None) -> Config:
    """Return the counts of a key; rows held out, and without a label, were not counted."""
    return {
        "n_samples": 0 if watch is None else watch["n_rows"],
        "n_unlabelled": 0,
        "n_held_out": 0,
        "n_unusable": 0,
        "n_drifts": 0,
        "last_drift": None if watch is None else watch["last_drift"],
        "pending": {"expired": 0, "orphaned": 0, "features": [], "rows": [], "ids": _no_ids()},
    }


CHECKPOINTS: Migration = in_checkpoints(_migrated)
