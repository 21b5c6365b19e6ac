"""Models in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

from river.base import Ensemble, Wrapper
from river.compose import Pipeline

from loco_stream._checks import require_type
from loco_stream._persistence import format as persist
from loco_stream._persistence.content import Saved
from loco_stream._persistence.files import path_name
from loco_stream.errors import CheckpointError, InputError
from loco_stream.estimators._pipeline import (
    ESTIMATORS,
    Estimator,
    export_pipeline,
    is_pipeline,
    restore_pipeline,
)

Saveable: TypeAlias = Estimator | Pipeline


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model to one checked file without pickle; a loaded one continues bit-identically.

    Parameters
    ----------
    model
        A model or detector of this package, or a pipeline of river that ends in a model, after
        steps whose state is plain: scalers, one-hot encoders, hashing, selections, and unions and
        pipelines of these.
    path
        The file; an existing one is replaced.

    Raises
    ------
    InputError
        `model` is neither one of this package's estimators nor such a pipeline, or `path` is not a
        path.
    ConfigError
        A step of the pipeline cannot be stored: the text names it and those that can.
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
    if is_pipeline(model):
        config, arrays = export_pipeline(model)
    elif isinstance(model, Estimator) and not isinstance(model, Pipeline):
        # To river a pipeline is an instance of the class of its last step
        config, arrays = model.export_state()
    else:
        raise InputError(
            "`model` must be an estimator of this package, or a pipeline of river that ends in "
            f"one, got {_named(model)}"
        )
    persist.write(path, config["kind"], config, arrays)


def load(path: str | os.PathLike[str], max_bytes: int = persist.MAX_BYTES) -> Saveable:
    """Read a model or pipeline that `save` or an engine's checkpoint wrote.

    Safe with a file of any content.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Size in bytes above which the file is refused unread. By default 4 GiB.

    Raises
    ------
    InputError
        `path` is not a path.
    CheckpointError
        The file is missing, too large, damaged, of another kind or of a newer version, or holds a
        number that is impossible in a model.
    """
    name = path_name(path)
    if os.path.isdir(path):
        files = sorted(Path(path).glob("*.loco"))
        which = f", such as {files[-1]}" if files else ""
        raise CheckpointError(f"`path` must be a file{which}, got the directory {name}")
    saved = persist.read(path, require_type("max_bytes", max_bytes, "int"))
    if saved.kind == "checkpoint":
        saved = _model_in(saved)
    return restored(saved, name)


def restored(saved: Saved, path: str = "the file") -> Saveable:
    """Return the model that a file holds, read already.

    Raises `CheckpointError` if the file holds no model, or one that cannot be restored.
    """
    if saved.kind == "Pipeline":
        return restore_pipeline(saved.config, saved.arrays)
    if saved.kind not in ESTIMATORS:
        raise CheckpointError(f"{path} holds a {saved.kind}, not a model")
    return ESTIMATORS[saved.kind].from_state(saved.config, saved.arrays)


def _named(model: Any) -> str:
    """Return what a model is that cannot be saved, and what to do if it wraps one that can."""
    name = type(model).__name__
    last = model
    if isinstance(model, Pipeline):
        last = list(model.steps.values())[-1]
        name = f"a pipeline that ends in {type(last).__name__}"
    if isinstance(last, Wrapper | Ensemble):
        name = f"{name}; save the estimators in it one by one"
    return name


def _model_in(checkpoint: Saved) -> Saved:
    """Return the model in an engine's checkpoint."""
    config = checkpoint.config.get("model")
    if not isinstance(config, dict) or not isinstance(config.get("kind"), str):
        raise CheckpointError(
            "this checkpoint holds a damaged model, or not a model of this package"
        )
    return checkpoint.part("model")
