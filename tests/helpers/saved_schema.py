"""The structure of everything that this release saves, as plain values that JSON can hold.

`python -m tests.helpers.saved_schema > tests/data/saved_schema/VERSION.json` records it.
"""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints, is_typeddict

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.engine.checkpoint_schema import Checkpoint
from loco_stream.engine.state import export_model
from tests.helpers import golden_runs as runs

MODELS = ("small", "deep_all", "clusters", "memory_and_delays", "neighbors", "values_late_memory")


def model_structure(config, arrays):
    """Return the keys of a model's plain values and the type and shape of its arrays."""
    keys = {key: sorted(value) if key == "parameters" else "" for key, value in config.items()}
    return {
        "config": keys,
        "arrays": {name: f"{a.dtype} {list(a.shape)}" for name, a in sorted(arrays.items())},
    }


def type_structure(hint):
    """Return a type as text, a typed dict by its fields."""
    if is_typeddict(hint):
        return {name: type_structure(t) for name, t in sorted(get_type_hints(hint).items())}
    inner = [type_structure(argument) for argument in get_args(hint)]
    fields = [argument for argument in inner if isinstance(argument, dict | list)]
    return fields if fields else str(hint).replace("typing.", "")


def trained(name):
    """Return a model of `golden_runs` after its rows."""
    if name in runs.REGRESSORS:
        model = LOCORegressor(**runs.REGRESSORS[name])
    else:
        model = LOCOClassifier(**runs.CLASSIFIERS[name])
    runs.learn(model, name, 0, runs.SAVED_AFTER)
    return model


def current() -> dict[str, Any]:
    """Return the structure of what this release saves."""
    return {
        "models": {name: model_structure(*export_model(trained(name))) for name in MODELS},
        "checkpoint": type_structure(Checkpoint),
    }


if __name__ == "__main__":
    print(json.dumps(current(), indent=1, sort_keys=True))
