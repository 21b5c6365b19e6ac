"""A model to a file and back."""

from __future__ import annotations

import os

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


def load(path: str | os.PathLike[str], max_bytes: int = persist.MAX_BYTES) -> LOCOClassifier | LOCORegressor:
    """Read a model that `save` or an engine's checkpoint wrote; safe with a file of any content.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Size in bytes beyond which it is refused unread; 4 GiB unless given.

    Raises
    ------
    CheckpointError
        The file is missing, too large, damaged, of another kind or of a newer version, or a number in it is one that
        no model has.
    """
    saved = persist.read(path, max_bytes)
    if saved.kind == "checkpoint":
        saved = _model_in(saved)
    for model in (LOCOClassifier, LOCORegressor):
        if saved.kind == model.__name__:
            return model.from_state(saved.config, saved.arrays)
    raise CheckpointError(f"{os.fspath(path)} holds a {saved.kind}, not a model")


def _model_in(checkpoint: persist.Saved) -> persist.Saved:
    """Return the model in an engine's checkpoint."""
    config, prefix = checkpoint.config.get("model"), "model/"
    if not isinstance(config, dict) or not isinstance(config.get("kind"), str):
        raise CheckpointError("this checkpoint holds a damaged model, or not a model of this package")
    arrays = {name.removeprefix(prefix): a for name, a in checkpoint.arrays.items() if name.startswith(prefix)}
    return persist.Saved(config["kind"], config, arrays)
