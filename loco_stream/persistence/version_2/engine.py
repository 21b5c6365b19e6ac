"""Checkpoints of version 2, of an engine or of a key of a fleet."""

from __future__ import annotations

from loco_stream.persistence.content import (
    Arrays,
    Config,
    Saved,
    State,
    with_prefix,
    without_prefix,
)
from loco_stream.persistence.migration_steps import Migration, in_checkpoints
from loco_stream.persistence.version_2.monitor import monitor_arrays, monitor_config
from loco_stream.persistence.version_2.scores import prequential

__all__ = ["CHECKPOINTS"]


def _migrated(saved: Saved) -> Saved:
    config = _key(saved.config) if "key" in saved.config else _engine(saved.config)
    return Saved(saved.kind, config, _arrays(saved.arrays))


def _arrays(arrays: Arrays) -> Arrays:
    others = {name: a for name, a in arrays.items() if not name.startswith("monitor/")}
    monitor = monitor_arrays(without_prefix("monitor", arrays))
    return {**others, **with_prefix("monitor", monitor)}


def _engine(old: State) -> Config:
    rest = {name: value for name, value in old.items() if name != "score"}
    return {
        **rest,
        "measures": _measures(old["score"]),
        "monitor": monitor_config(old["monitor"]),
        "trainer": _trainer(old["trainer"]),
        "events": _events(old["trainer"]),
    }


def _measures(old: State) -> Config:
    return {**old, "prequential": prequential(old["prequential"])}


def _trainer(old: State) -> Config:
    names = ("n_samples", "n_unlabelled", "n_held_out", "n_unusable")
    return {
        **{name: old["counters"][name] for name in names},
        "n_drifts": old["n_drifts"],
        "last_drift": old["last_drift"],
        "pending": old["pending"],
    }


def _events(old: State) -> Config:
    counters = old["counters"]
    ledger = old["ledger"]
    names = ("rows", "masked", "skipped", "unknown", "missing")
    quality = {name: ledger[name] for name in names}
    return {
        "n_rejected": counters["n_rejected"],
        "n_set_aside": counters["n_set_aside"],
        "n_requested": counters["n_asked"],
        "now": old["now"],
        "delayed": {"n_arrived": old["arrived"], "rows": old["due"], "features": old["features"]},
        "quality": {**quality, "n_malformed": ledger["unread"], "last_errors": ledger["last"]},
    }


def _key(old: State) -> Config:
    """Return the plain values of a key, with a trainer if it is watched or has pending rows."""
    config = {name: old[name] for name in ("key", "seen", "model")}
    watch = old.get("watch")
    if watch is not None:
        config["measures"] = _measures(watch["score"])
        config["monitor"] = monitor_config(old["monitor"])
    if watch is not None or "pending" in old:
        config["trainer"] = _key_trainer(watch, old.get("pending"))
        config["trainer"]["n_drifts"] = old.get("monitor", {}).get("_n_drifts", 0)
    return config


def _key_trainer(watch: State | None, pending: Config | None) -> Config:
    """Return the counts of a key; rows held out, and without a label, were not counted."""
    empty = {"expired": 0, "orphaned": 0, "features": [], "rows": []}
    return {
        "n_samples": 0 if watch is None else watch["n_rows"],
        "n_unlabelled": 0,
        "n_held_out": 0,
        "n_unusable": 0,
        "n_drifts": 0,
        "last_drift": None if watch is None else watch["last_drift"],
        "pending": pending or empty,
    }


CHECKPOINTS: Migration = in_checkpoints(_migrated)
