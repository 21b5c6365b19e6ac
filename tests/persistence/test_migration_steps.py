"""Migration steps reach models in files, pipelines and checkpoints, and change nothing in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loco_stream._persistence import migration_steps as steps
from loco_stream._persistence.content import Saved
from loco_stream.errors import CheckpointError

MODEL = {"kind": "LOCOClassifier", "width": 2}
ARRAYS = {"net.weights": np.array([1.0]), "statistics": np.array([[1.0, 2.0], [3.0, 4.0]])}


def alone():
    return Saved("LOCOClassifier", dict(MODEL), dict(ARRAYS))


def in_pipeline():
    config = {"kind": "Pipeline", "steps": [], "name": "model", "estimator": dict(MODEL)}
    return Saved("Pipeline", config, dict(ARRAYS))


def checkpoint_of(model):
    config = {"model": {**model.config, "kind": model.kind}, "commit": 3}
    arrays = {f"model/{name}": array for name, array in model.arrays.items()}
    return Saved("checkpoint", config, {**arrays, "monitor/hits": np.array([7])})


def model_in(saved):
    """Return the plain values and arrays of the model in a file."""
    config, arrays = saved.config, saved.arrays
    if saved.kind == "checkpoint":
        config = config["model"]
        arrays = {n.removeprefix("model/"): a for n, a in arrays.items() if n.startswith("model/")}
    return config.get("estimator", config), arrays


def rename_keys(names):
    """Return a step that renames keys of the plain values."""
    return lambda saved: replace(
        saved, config={names.get(k, k): v for k, v in saved.config.items()}
    )


@pytest.fixture(params=["alone", "pipeline", "checkpoint", "checkpoint of a pipeline"])
def saved(request):
    model = in_pipeline() if "pipeline" in request.param else alone()
    return checkpoint_of(model) if "checkpoint" in request.param else model


def test_models_are_migrated_wherever_they_are(saved):
    before = repr(saved)
    migration = steps.in_models(
        steps.rename_arrays({"net.weights": "hidden.weights", "absent": "nothing"}),
        steps.split_array("statistics", ("statistics.mean", None)),
        steps.add_array("age", lambda content: np.zeros(content.config["width"])),
        rename_keys({"width": "n_features"}),
    )
    config, arrays = model_in(migration(saved))
    assert config == {"kind": "LOCOClassifier", "n_features": 2}
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "hidden.weights": [1.0],
        "statistics.mean": [1.0, 2.0],
        "age": [0.0, 0.0],
    }
    assert repr(saved) == before
    assert migration(saved).arrays.keys() - {"monitor/hits"} == {
        f"model/{name}" if saved.kind == "checkpoint" else name for name in arrays
    }


@pytest.mark.parametrize("kind", ["LOCOForecaster", "LOCOMultiTargetRegressor"])
def test_every_estimator_is_a_model(kind):
    migrated = steps.in_models(steps.drop_arrays("net.weights"))(Saved(kind, {}, dict(ARRAYS)))
    assert "net.weights" not in migrated.arrays
    assert len(migrated.arrays) == len(ARRAYS) - 1


def test_the_network_of_a_detector_is_a_model():
    prefix = "forecasts/network/"
    arrays = {f"{prefix}{name}": array for name, array in ARRAYS.items()}
    network = {"kind": "LOCOMultiTargetRegressor", "width": 2}
    config = {"kind": "LOCODetector", "forecasts": network}
    detector = Saved("LOCODetector", config, {**arrays, "net.weights": np.ones(1)})
    whole = checkpoint_of(detector)
    beside = {f"anomaly/{name}": array for name, array in detector.arrays.items()}
    both = Saved(whole.kind, {**whole.config, "anomaly": config}, {**whole.arrays, **beside})
    migrated = steps.in_models(
        steps.rename_arrays({"net.weights": "hidden.weights"}), rename_keys({"width": "n_features"})
    )(both)
    for part in ("model", "anomaly"):
        assert migrated.config[part]["forecasts"]["n_features"] == 2
        assert f"{part}/{prefix}hidden.weights" in migrated.arrays
        assert f"{part}/{prefix}net.weights" not in migrated.arrays
        assert f"{part}/net.weights" in migrated.arrays  # what a detector has beside its network
    own = steps.in_models(steps.drop_arrays("net.weights"), kinds=("LOCODetector",))(both)
    assert "anomaly/net.weights" not in own.arrays
    assert f"anomaly/{prefix}net.weights" in own.arrays


def test_models_of_other_classes_and_other_files_stay_as_they_are():
    migration = steps.in_models(steps.drop_arrays("net.weights"))
    for kind in ("GaussianNB", "rows"):
        other = Saved(kind, {"kind": kind}, dict(ARRAYS))
        assert migration(other) is other
    kept = migration(checkpoint_of(Saved("GaussianNB", {}, dict(ARRAYS))))
    assert "model/net.weights" in kept.arrays
    assert "model/net.weights" not in migration(checkpoint_of(alone())).arrays


def test_steps_for_checkpoints_leave_models_alone():
    step = steps.in_checkpoints(rename_keys({"commit": "number"}))
    assert step(checkpoint_of(alone())).config["number"] == 3
    untouched = alone()
    assert step(untouched) is untouched


def test_a_model_without_arrays_gets_none():
    fresh = Saved("LOCOClassifier", dict(MODEL), {})
    assert steps.add_array("age", lambda content: np.zeros(1))(fresh) is fresh
    assert steps.split_array("statistics", ("mean", "variance"))(fresh) is fresh


@pytest.mark.parametrize("array", [np.zeros((3, 2)), np.float64(1.0)])
def test_an_array_of_another_number_of_rows_is_damage(array):
    saved = Saved("LOCOClassifier", dict(MODEL), {"statistics": np.asarray(array)})
    with pytest.raises(CheckpointError, match=r"'statistics' has shape .* not 2 rows"):
        steps.split_array("statistics", ("mean", "variance"))(saved)


def test_rows_that_wait_lose_the_tickets_of_other_experts():
    row = [*range(10), b"ticket", "id", None]
    key = Saved("checkpoint", {"trainer": {"pending": {"rows": [row], "expired": 2}}}, {})
    delayed = {"events": {"delayed": {"rows": [[7, row]], "n_arrived": 8}, "now": 1.0}}
    engine = Saved("checkpoint", {**key.config, **delayed}, {})
    before = repr(engine)
    migration = steps.add_expert({})
    left = [*range(10), None, "id", None]
    trainer = {"pending": {"rows": [left], "expired": 2}}
    assert migration(key).config == {"trainer": trainer}
    events = {"delayed": {"rows": [[7, left]], "n_arrived": 8}, "now": 1.0}
    assert migration(engine).config == {"trainer": trainer, "events": events}
    assert repr(engine) == before
    fleet = Saved("checkpoint", {"trainer": {"n_samples": 3}}, {})  # a key without pending rows
    assert migration(fleet).config == fleet.config


@pytest.mark.parametrize("n_opinions", [0, 2])
def test_a_new_expert_starts_with_the_lowest_weight(n_opinions):
    arrays = {"mixture.log_weights": np.array([-9.0, 0.0]), "mixture.log_priors": np.zeros(2)}
    migration = steps.add_expert({}, n_opinions, log_prior=1.5)
    migrated = migration(Saved("LOCOClassifier", {}, arrays)).arrays
    assert migrated["mixture.log_weights"].tolist() == [-9.0, 0.0] + [-9.0] * n_opinions
    assert migrated["mixture.log_priors"].tolist() == [0.0, 0.0] + [1.5] * n_opinions
    empty = {name: np.zeros(0) for name in arrays}  # of a regression
    unmixed = migration(Saved("LOCORegressor", {}, empty)).arrays
    assert [len(array) for array in unmixed.values()] == [0, 0]
