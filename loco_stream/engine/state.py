"""Everything an engine must remember, to and from one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.engine.measures import RunMeasures
from loco_stream.engine.model_adapter import ModelAdapter
from loco_stream.engine.trainer import Trainer
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.persistence.format import Saved, digest

__all__ = [
    "export_model",
    "export_parts",
    "model_of",
    "restore_parts",
    "state_sha256",
    "with_prefix",
    "without_prefix",
]

Arrays = dict[str, NDArray[Any]]


def export_model(model: Any) -> tuple[dict[str, Any], Arrays]:
    """Return the model's plain values, with its kind, and a copy of its arrays.

    Raises
    ------
    ConfigError
        The model, or a step of a pipeline, cannot be stored.
    """
    if _is_pipeline(model):
        from loco_stream.estimators.pipeline import export_pipeline

        return export_pipeline(model)
    if not hasattr(model, "export_state"):
        raise ConfigError(
            f"a checkpoint needs a model with export_state and from_state, or a pipeline that ends in an estimator of "
            f"this package, and {type(model).__name__} is neither; run it without checkpoint"
        )
    config, arrays = model.export_state()
    return {**config, "kind": type(model).__name__}, {
        name: np.array(array) for name, array in arrays.items()
    }


def export_parts(
    model_adapter: ModelAdapter, score: RunMeasures, monitor: Any, trainer: Trainer
) -> tuple[dict[str, Any], Arrays]:
    """Return model, scores, monitor and waiting rows.

    Nothing in it changes when learning goes on.
    """
    model, model_arrays = export_model(model_adapter.model)
    watch, watch_arrays = monitor.export_state()
    config = {
        "model": model,
        "score": score.export_state(),
        "monitor": watch,
        "trainer": trainer.export_state(),
    }
    watch_arrays = {name: np.array(array) for name, array in watch_arrays.items()}
    return config, {**with_prefix("model", model_arrays), **with_prefix("monitor", watch_arrays)}


def model_of(saved: Saved) -> tuple[str, dict[str, Any], Arrays]:
    """Return kind, plain values and arrays of the model in a checkpoint or in a file of its own."""
    if saved.kind != "checkpoint":
        return saved.kind, {**saved.config, "kind": saved.kind}, saved.arrays
    config = dict(saved.config["model"])
    return config["kind"], config, without_prefix("model", saved.arrays)


def restore_parts(
    saved: Saved, model_adapter: ModelAdapter, score: RunMeasures, monitor: Any, trainer: Trainer
) -> None:
    """Put everything back; the model is made anew from what was stored.

    Raises
    ------
    CheckpointError
        The checkpoint holds another kind of model, or is not complete.
    """
    try:
        kind, config, arrays = model_of(saved)
        own = type(model_adapter.model)
        if kind != own.__name__:
            raise CheckpointError(
                f"the checkpoint holds a {kind}, but this engine runs a {own.__name__}"
            )
        model_adapter.model = _restored(model_adapter.model, config, arrays)
        score.restore_state(saved.config["score"])
        monitor.restore_state(saved.config["monitor"], without_prefix("monitor", saved.arrays))
        trainer.restore_state(saved.config["trainer"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"the checkpoint is not complete: {error!r}") from error


def _is_pipeline(model: Any) -> bool:
    """Return whether a model is a pipeline of ours.

    Nothing of the learner is imported for any other.
    """
    if type(model).__name__ != "Pipeline":
        return False
    from loco_stream.estimators.pipeline import is_pipeline

    return is_pipeline(model)


def _restored(own: Any, config: Mapping[str, Any], arrays: Arrays) -> Any:
    """Return the stored model, of the kind of the one that the engine was given."""
    if not _is_pipeline(own):
        return type(own).from_state(config, arrays)
    from loco_stream.estimators.pipeline import described, restore_pipeline

    restored = restore_pipeline(config, arrays)
    if described(restored) != described(own):
        raise CheckpointError(
            f"the checkpoint holds {described(restored)}, but this engine runs {described(own)}"
        )
    return restored


def state_sha256(config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of what `export_model` gives.

    Two models that go on the same way have the same one.
    """
    return digest("state", config, arrays)


def with_prefix(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Put the arrays into a folder of names."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def without_prefix(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Take the arrays of one folder out."""
    cut = len(prefix) + 1
    return {name[cut:]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
