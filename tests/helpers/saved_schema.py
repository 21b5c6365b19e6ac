"""The structure of everything that this release saves, as plain values that JSON can hold.

`python -m tests.helpers.saved_schema > tests/data/saved_schema/VERSION.json` records it.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

from loco_stream import (
    AdvancedOptions,
    Fleet,
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCORegressor,
    TaskMonitor,
)
from loco_stream._persistence.format import decode_plain, from_bytes
from loco_stream.engine._checkpoint_schema import Checkpoint
from loco_stream.engine._codec import encode_commit
from loco_stream.engine._state import export_model
from loco_stream.engine._wal import WriteAheadLog
from loco_stream.stream import Block, Labels, Sample
from tests.helpers import golden_runs as runs

MODELS = ("small", "deep_all", "clusters", "memory_and_delays", "neighbors", "values_late_memory")


def model_structure(config, arrays):
    """Return the keys of a model's plain values and the type and shape of its arrays."""
    keys = {
        key: parameter_names(value) if key == "parameters" else "" for key, value in config.items()
    }
    return {
        "config": keys,
        "arrays": {name: f"{a.dtype} {list(a.shape)}" for name, a in sorted(arrays.items())},
    }


def parameter_names(parameters):
    """Return the names of parameters, those of a group of options below the name of the group."""
    return {
        name: parameter_names(value) if isinstance(value, dict) else ""
        for name, value in sorted(parameters.items())
    }


def type_structure(hint):
    """Return a type as text, a typed dict by its fields."""
    if is_typeddict(hint):
        return {name: type_structure(t) for name, t in sorted(get_type_hints(hint).items())}
    inner = [type_structure(argument) for argument in get_args(hint)]
    fields = [argument for argument in inner if isinstance(argument, dict | list)]
    return fields if fields else str(hint).replace("typing.", "")


def undeclared(value, hint, path="checkpoint"):
    """Yield what differs between saved values and the typed dict that describes them."""
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        for name in sorted(value.keys() ^ hints.keys()):
            if name in value or name in hint.__required_keys__:
                yield f"{path}.{name}"
        for name in value.keys() & hints.keys():
            yield from undeclared(value[name], hints[name], f"{path}.{name}")
    elif get_origin(hint) is list:
        for item in value:
            yield from undeclared(item, get_args(hint)[0], f"{path}[]")


def trained(name):
    """Return a model of `golden_runs` after its rows."""
    kind = LOCORegressor if name in runs.REGRESSORS else LOCOClassifier
    own, advanced = runs.split_parameters((runs.CLASSIFIERS | runs.REGRESSORS)[name])
    model = kind(**own, advanced=AdvancedOptions(**advanced) if advanced else None)
    runs.learn(model, name, 0, runs.SAVED_AFTER)
    return model


def detector():
    """Return a detector after a few rows."""
    model = LOCODetector(seed=1)
    model.learn_score_array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    return model


def field_types(values):
    """Return the types of the fields of a record that has positions and no names."""
    return [type(value).__name__ for value in values]


def log_structure():
    """Return the layout of a commit in the write-ahead log."""
    X, y, t = runs.rows_of("small")
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    X = X[:2].astype("f4")
    events = [
        Sample({"x0": 1.0}, "a", 7),
        Sample({"x0": 1.0}, "a", 7, sequence="s", epoch=1),
        Block(X, y[:2], names),
        Block(X, None, names, times=t[:2], sequence=["s", "s"]),
        Labels([7], ["a"]),
    ]
    rows, cursor, now = decode_plain(encode_commit(events, {}, 0.0))
    return {
        "rows": [[row[0], *field_types(row[1:])] for row in rows],
        "rest": field_types([cursor, now]),
    }


def fleet_structure():
    """Return what fleets save: header, log, and keys; with and without a monitor, and of series."""
    X, y, _ = runs.rows_of("small")
    classes = LOCOClassifier(hidden_sizes=(4,), seed=1)
    series = LOCOForecaster(heads=2, hidden_sizes=(4,), seed=1)
    kinds = {
        "plain": (classes, None, y, None),
        "watched": (classes, TaskMonitor(holdout=5), y, None),
        "series": (series, None, np.arange(100.0), np.arange(100.0)),
    }
    structure = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, monitor, labels, times) in kinds.items():
            path = Path(folder) / name
            with Fleet(model, path, key_groups=1, monitor=monitor) as fleet:
                for key, n in (("old", 100), ("young", 3)):
                    t = None if times is None else times[:n]
                    fleet.learn(key, X[:n], labels[:n], t=t)
                group = path / "group-0000"
                record = next(WriteAheadLog(group).replay(0))[1]
            structure[name] = {
                "header": sorted(json.loads((path / "fleet.json").read_text())),
                "log": field_types(decode_plain(record)),
                "keys": _keys(group / "models.db"),
            }
    return structure


def _keys(database):
    with sqlite3.connect(database) as file:
        states = file.execute("SELECT state FROM models").fetchall()
    saved = sorted((from_bytes(bytes(state), "a key") for (state,) in states), key=lambda s: s.kind)
    return [{"kind": one.kind, "config": sorted(one.config)} for one in saved]


def current():
    """Return the structure of what this release saves."""
    models = {name: model_structure(*export_model(trained(name))) for name in MODELS}
    return {
        "models": {**models, "detector": model_structure(*export_model(detector()))},
        "checkpoint": type_structure(Checkpoint),
        "log": log_structure(),
        "fleet": fleet_structure(),
    }


if __name__ == "__main__":
    print(json.dumps(current(), indent=1, sort_keys=True))
