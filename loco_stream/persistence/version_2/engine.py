"""Checkpoints of version 2, of an engine or of a key of a fleet."""

from __future__ import annotations

from dataclasses import replace

from loco_stream.persistence.content import Config, Saved, with_prefix, without_prefix
from loco_stream.persistence.migration_steps import Migration, in_checkpoints
from loco_stream.persistence.version_2.monitor import monitor_arrays, monitor_config
from loco_stream.persistence.version_2.scores import prequential

__all__ = ["CHECKPOINTS"]


def _scores(saved: Saved) -> Saved:
    config = dict(saved.config)
    if "score" in config:
        config["score"] = _measures(config["score"])
    if "watch" in config:
        config["watch"] = {**config["watch"], "score": _measures(config["watch"]["score"])}
    return replace(saved, config=config)


def _measures(old: Config) -> Config:
    return {**old, "prequential": prequential(old["prequential"])}


def _monitor(saved: Saved) -> Saved:
    if "monitor" not in saved.config:  # a key of a fleet without one
        return saved
    config = {**saved.config, "monitor": monitor_config(saved.config["monitor"])}
    others = {name: a for name, a in saved.arrays.items() if not name.startswith("monitor/")}
    own = monitor_arrays(without_prefix("monitor", saved.arrays))
    return Saved(saved.kind, config, {**others, **with_prefix("monitor", own)})


CHECKPOINTS: Migration = in_checkpoints(_scores, _monitor)
