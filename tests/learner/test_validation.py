from __future__ import annotations

import re

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.learner.arrays.state import (
    DRIVE_POWER,
    GAIN,
    INPUT_POWER,
    N_CLASSES,
    N_CLUSTERS,
    N_FEATURES,
    N_SEEN,
    ROUND,
)
from loco_stream.persistence import format as persist


def saved_state(make=LOCOClassifier, n=20, **options):
    rng = np.random.default_rng(0)
    model = make(hidden_sizes=(6,), seed=1, **options)
    model.learn_array(rng.normal(size=(n, 3)), rng.integers(0, 3, n))
    return model.export_state()


def put(name, place, value):
    def spoil(config, arrays):
        arrays[name][place] = value

    return spoil


def set_config(key, value):
    def spoil(config, arrays):
        config[key] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (put("net.sizes", (0, 0), 2**40), "net.sizes"),
        (put("bank.members", (1, 0), 0.0), "bank.members"),
        (put("counts", N_FEATURES, 4), "number of features is 4; allowed is 3 to 3"),
        (put("counts", N_CLASSES, -1), "number of classes is -1; allowed is 0 to 3"),
        (put("counts", N_CLUSTERS, 1), "number of clusters is 1; allowed is 0 to 0"),
        (put("counts", N_SEEN, 2**62), "samples seen"),
        (put("counts", ROUND, -1), "perturbations"),
        (put("recall.clock", 0, 4), "next snapshot is 4; allowed is 0 to 3"),
        (put("recall.clock", 1, -(2**40)), "age of the copy"),
        (put("recall.clock", 3, 9), "rows that snapshots are heard for is 9; allowed is 0 to 8"),
        (put("statistics", (1, 2), np.nan), "'statistics' holds NaN"),
        (put("net.weights", 0, np.nan), "'net.weights' holds NaN"),
        (put("bank.projectors", 0, -np.inf), "'bank.projectors' holds NaN or an infinite number"),
        (put("net.gains", (GAIN, 0), 0.0), "a gain in array 'net.gains' is not above 0"),
        (
            put("net.gains", (GAIN, 0), 1e300),
            "a gain in array 'net.gains' is not above 0 and at most",
        ),
        (put("net.gains", (DRIVE_POWER, 0), -1.0), "a mean square in array 'net.gains'"),
        (put("net.gains", (INPUT_POWER, 0), np.inf), "a mean square in array 'net.gains'"),
        (put("recall.speakers", 0, -1.0), "'recall.speakers' is not a distribution"),
        (put("bank.log_stack", (1, 0), -1.0), "a mean square in array 'bank.log_stack'"),
        (set_config("features", ["a", "a", "b"]), "distinct"),
        (set_config("features", [*range(9)]), "no room"),
        (set_config("classes", [*range(9)]), "no room"),
        (set_config("classes", [0, 1]), "number of classes"),
        (set_config("classes", [0, 1, None]), "class label"),
        (set_config("width", 0), "width is 0; allowed is 1 to 3"),
        (set_config("width", 4), "width is 4; allowed is 1 to 3"),
        (set_config("width", 3.0), "width is 3.0"),
        (set_config("width", True), "width is True"),
        (set_config("parameters", None), "cannot be restored"),
    ],
)
def test_a_number_that_no_model_has_is_refused(spoil, words):
    config, arrays = saved_state()
    LOCOClassifier.from_state(*saved_state())
    spoil(config, arrays)
    with pytest.raises(CheckpointError, match=words):
        LOCOClassifier.from_state(config, arrays)


def test_no_more_prototypes_are_in_use_than_there_are_nor_steeper_inverses():
    config, arrays = saved_state(n_input_clusters=5)
    arrays["counts"][N_CLUSTERS] = 6
    with pytest.raises(CheckpointError, match="number of clusters is 6; allowed is 0 to 5"):
        LOCOClassifier.from_state(config, arrays)
    config, arrays = saved_state(n_input_clusters=5)
    arrays["clusters.inverse_gram"][0, 0, 0] = 1e30
    with pytest.raises(CheckpointError, match="inverse"):
        LOCOClassifier.from_state(config, arrays)


def test_a_regressor_has_one_output_and_no_class():
    config, arrays = saved_state(LOCORegressor)
    with pytest.raises(CheckpointError, match="no classes"):
        LOCORegressor.from_state(config | {"classes": ["a"]}, arrays)
    arrays["counts"][N_CLASSES] = 2
    with pytest.raises(CheckpointError, match="number of classes is 2"):
        LOCORegressor.from_state(config, arrays)


def test_an_array_that_no_model_has_is_refused():
    config, arrays = saved_state()
    with pytest.raises(CheckpointError, match="'more' is none of a model's"):
        LOCOClassifier.from_state(config, arrays | {"more": np.zeros(1)})


@pytest.mark.parametrize(
    "config", [{"model": None}, {"model": 3}, {}, {"model": {"kind": ["LOCOClassifier"]}}]
)
def test_a_checkpoint_without_a_model_is_refused(tmp_path, config):
    persist.write(tmp_path / "a", "checkpoint", config, {})
    with pytest.raises(CheckpointError, match="not a model"):
        load(tmp_path / "a")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dt": 3.0}, "dt is 3; the window of 20 ms must be a whole number of them"),
        (
            {"dt": 1.0, "neuron": "alif"},
            "neuron is 'alif'; reset and dt can be chosen for neuron='lif' alone",
        ),
    ],
)
def test_grids_that_a_window_does_not_fit_are_refused(settings, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        LOCOClassifier(**settings)
