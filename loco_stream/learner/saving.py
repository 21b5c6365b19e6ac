"""A model to a file and back."""

from __future__ import annotations

import os
from typing import Any

from loco_stream.errors import CheckpointError, InputError
from loco_stream.learner.base import LOCOEstimator
from loco_stream.learner.classifier import LOCOClassifier
from loco_stream.learner.regressor import LOCORegressor
from loco_stream.persistence import format as persist

__all__ = ["load", "save"]


def save(model: LOCOClassifier | LOCORegressor, path: str | os.PathLike[str]) -> None:
    """Write a model to one checked file without pickle; `load` continues bit-equal.

    Raises
    ------
    InputError
        `model` is not one of this package's estimators.
    CheckpointError
        The file cannot be written, or a feature name or class is not a plain value.

    Examples
    --------
    >>> import os, tempfile
    >>> from loco_stream import LOCOClassifier, load, save
    >>> model = LOCOClassifier(hidden_sizes=(16,))
    >>> model.learn_one({"a": 1.0}, "yes")
    >>> path = os.path.join(tempfile.mkdtemp(), "model.loco")
    >>> save(model, path)
    >>> load(path).predict_one({"a": 1.0})
    'yes'
    """
    if not isinstance(model, LOCOEstimator):
        raise InputError(f"cannot save a {type(model).__name__}; allowed are LOCOClassifier and LOCORegressor")
    config, arrays = model.export_state()
    persist.write(path, config["kind"], config, arrays)


def load(path: str | os.PathLike[str]) -> LOCOClassifier | LOCORegressor:
    """Read a model that `save` or an engine's checkpoint wrote.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another kind, or of a newer version.
    """
    saved = persist.read(path)
    config, arrays = saved.config, saved.arrays
    if saved.kind == "checkpoint":
        config = config.get("model", {})
        prefix = "model/"
        arrays = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    kinds: dict[Any, type[LOCOClassifier | LOCORegressor]] = {
        "LOCOClassifier": LOCOClassifier,
        "LOCORegressor": LOCORegressor,
    }
    kind = kinds.get(config.get("kind"))
    if kind is None:
        raise CheckpointError(f"{os.fspath(path)} holds a {config.get('kind') or saved.kind}, not a model")
    return kind.from_state(config, arrays)
