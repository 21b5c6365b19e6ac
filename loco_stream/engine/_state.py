"""The state of models and trainers, to and from the plain values and arrays of a checkpoint."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from loco_stream._persistence.content import (
    Arrays,
    Config,
    Saved,
    State,
    with_prefix,
    without_prefix,
)
from loco_stream._persistence.format import digest
from loco_stream.engine._forecasting import ForecastAdapter
from loco_stream.engine._trainer import Trainer
from loco_stream.errors import CheckpointError, ConfigError

Model: TypeAlias = Any


def export_model(model: Model) -> tuple[Config, Arrays]:
    """Return the plain values of a model, with its class name as kind, and copies of its arrays.

    Raises `ConfigError` if the model, or a step of a pipeline, cannot be stored.
    """
    if _is_pipeline(model):
        from loco_stream.estimators._pipeline import export_pipeline

        return export_pipeline(model)
    if not hasattr(model, "export_state"):
        raise ConfigError(
            "a checkpoint needs a model with export_state and from_state, or a pipeline that ends "
            f"in an estimator of this package, and {type(model).__name__} is neither; run it "
            "without checkpoint"
        )
    config, arrays = model.export_state()
    copies = {name: np.array(array) for name, array in arrays.items()}
    return {**config, "kind": type(model).__name__}, copies


def model_of(saved: Saved) -> tuple[str, Config, Arrays]:
    """Return kind, plain values and arrays of the model in a checkpoint or a model file."""
    own = saved.part("model") if saved.kind == "checkpoint" else saved
    return own.kind, {**own.config, "kind": own.kind}, own.arrays


def restore_model(own: Model, saved: Saved) -> Model:
    """Return the saved model, which must be of the same kind as `own`.

    Raises `CheckpointError` if the file holds another kind of model, or its state is incomplete.
    """
    kind, config, arrays = model_of(saved)
    if kind != type(own).__name__:
        raise CheckpointError(
            f"the checkpoint holds a {kind}, but this engine runs a {type(own).__name__}"
        )
    if not _is_pipeline(own):
        return type(own).from_state(config, arrays)
    from loco_stream.estimators._pipeline import described, restore_pipeline

    restored = restore_pipeline(config, arrays)
    if described(restored) != described(own):
        raise CheckpointError(
            f"the checkpoint holds {described(restored)}, but this engine runs {described(own)}"
        )
    return restored


def _is_pipeline(model: Model) -> bool:
    """Return whether a model is a pipeline with one of our estimators; else import nothing."""
    if type(model).__name__ != "Pipeline":
        return False
    from loco_stream.estimators._pipeline import is_pipeline

    return is_pipeline(model)


def export_trainer(trainer: Trainer) -> tuple[Config, Arrays]:
    """Return model, scores, monitor and pending rows; later learning does not change them."""
    model, model_arrays = export_model(trainer.adapter.model)
    config: Config = {"model": model, "trainer": trainer.export_state()}
    arrays = with_prefix("model", model_arrays)
    if trainer.measures is not None:
        config["measures"] = trainer.measures.export_state()
    if trainer.watcher is not None:
        config["watcher"] = trainer.watcher.export_state()
        if not trainer.is_watching:  # else the detector is the model
            config["anomaly"], anomaly_arrays = export_model(trainer.watcher.holder.model)
            arrays |= with_prefix("anomaly", anomaly_arrays)
    if isinstance(trainer.adapter, ForecastAdapter):
        config["forecasts"] = trainer.adapter.scores.export_state()
    if trainer.monitor is not None:
        config["monitor"], monitor_arrays = trainer.monitor.export_state()
        copies = {name: np.array(array) for name, array in monitor_arrays.items()}
        arrays |= with_prefix("monitor", copies)
    return config, arrays


def restore_trainer(trainer: Trainer, saved: Saved) -> None:
    """Restore what `export_trainer` returned, except the model."""
    config = saved.config
    if trainer.measures is not None:
        trainer.measures.restore_state(config["measures"])
    if isinstance(trainer.adapter, ForecastAdapter):
        trainer.adapter.scores.restore_state(config["forecasts"])
    _restore_watcher(trainer, saved)
    if trainer.monitor is not None:
        arrays = without_prefix("monitor", saved.arrays)
        trainer.monitor.restore_state(config["monitor"], arrays)
    trainer.restore_state(config["trainer"])


def _restore_watcher(trainer: Trainer, saved: Saved) -> None:
    """Restore the anomaly detector beside a model, and what it found.

    Raises `CheckpointError` if the run was begun with a detector and is continued without one, or
    the other way round.
    """
    watcher = trainer.watcher
    if (watcher is not None) != ("watcher" in saved.config):
        has = "an" if watcher is None else "no"
        raise CheckpointError(f"the checkpoint is of a run with {has} anomaly detector")
    if watcher is None:
        return
    if not trainer.is_watching:
        watcher.holder.model = restore_model(watcher.holder.model, saved.part("anomaly"))
    watcher.restore_state(saved.config["watcher"])


def state_sha256(config: State, arrays: Arrays) -> str:
    """Return the SHA-256 of what `export_model` gives: models that continue alike share it."""
    return digest("state", config, arrays)
