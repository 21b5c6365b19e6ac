"""Saved models whose numbers no model has are refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load
from loco_stream._learner.arrays.spec import specs
from loco_stream._learner.arrays.state import State
from loco_stream._persistence import format as persist
from loco_stream.errors import CheckpointError
from tests.helpers.models import classifier, parameters

RECORDS = {spec.name: spec.fields for spec in specs(State) if spec.fields}


def saved_state(make=LOCOClassifier, n=20, **options):
    rng = np.random.default_rng(0)
    model = make(**parameters(hidden_sizes=(6,), seed=1, **options))
    model.learn_array(rng.normal(size=(n, 3)), rng.integers(0, 3, n))
    return model.export_state()


def put(name, place, value):
    """Return a change of one number; `place` is an index or the name of a record's field."""

    def spoil(config, arrays):
        index = RECORDS[name].index(place) if isinstance(place, str) else place
        arrays[name][index] = value

    return spoil


def set_config(key, value):
    def spoil(config, arrays):
        config[key] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (put("net.n_post", 0, 2**40), "'net.n_post' must equal the array"),
        (put("net.first", 0, 2**40), "'net.first' must equal the array"),
        (
            put("experts.least_squares.priors", 0, 0.0),
            "`priors` .* must be positive",
        ),
        (
            put("experts.least_squares.priors", 0, 2.0),
            "least_squares.priors' must be finite",
        ),
        (put("mixture.log_priors", 0, 1.0), "'mixture.log_priors' must equal"),
        (put("counts", "n_features", 4), "`n_features` must be 3 to 3, got 4"),
        (put("counts", "n_classes", -1), "'counts.n_classes' must be finite, from 0 to .*, got -1"),
        (put("counts", "n_clusters", 1), "`n_clusters` must be 0 to 0, got 1"),
        (put("counts", "n_seen", 2**62), "'counts.n_seen' must be"),
        (put("counts", "noise_round", -1), "'counts.noise_round' must be"),
        (put("snapshots.counters", "slot", 4), "`slot` must be 0 to 3, got 4"),
        (
            put("snapshots.counters", "age", -(2**40)),
            "'snapshots.counters.age' must be finite, from -",
        ),
        (put("snapshots.counters", "eval_rows", 9), "`eval_rows` must be 0 to 8, got 9"),
        (put("statistics.mean", 2, np.nan), "'statistics.mean' must be finite"),
        (put("net.weights", 0, np.nan), "'net.weights' must be finite"),
        (
            put("experts.least_squares.projectors", 0, -np.inf),
            "'experts.least_squares.projectors' must be finite",
        ),
        (put("net.gain", 0, 0.0), "'net.gain' must be finite, from .* to 1e.06, got 0"),
        (put("net.gain", 0, 1e300), "'net.gain' must be finite, from .* to 1e.06, got 1e.300"),
        (put("net.drive_power", 0, -1.0), "'net.drive_power' must be finite, from 0 to .*, got -1"),
        (
            put("net.input_power", 0, np.inf),
            "'net.input_power' must be finite, from 0 to .*, got inf",
        ),
        (put("snapshots.posterior", 0, -1.0), "'snapshots.posterior' must be finite, from 0"),
        (put("stacks.log_powers", 0, -1.0), "'stacks.log_powers' must be finite, from 0"),
        (
            put("experts.naive_bayes.n_rows", 0, -1.0),
            "'experts.naive_bayes.n_rows' must be finite, from 0",
        ),
        (set_config("features", ["a", "a", "b"]), "distinct"),
        (set_config("features", [*range(9)]), "must have room"),
        (set_config("classes", [*range(9)]), "must have room"),
        (set_config("classes", [0, 1]), "`n_classes` must be 0 to 2, got 3"),
        (set_config("classes", [0, 1, None]), "`classes` must be a hashable class label"),
        (set_config("width", 0), "`width` must be .* 1 to 3, got 0"),
        (set_config("width", 4), "`width` must be .* 1 to 3, got 4"),
        (set_config("width", 3.0), "`width` must be .*, got 3.0"),
        (set_config("width", True), "`width` must be .*, got True"),
        (set_config("parameters", None), "cannot be restored"),
    ],
)
def test_a_number_that_no_model_has_is_refused(spoil, message):
    config, arrays = saved_state()
    LOCOClassifier.from_state(*saved_state())
    spoil(config, arrays)
    with pytest.raises(CheckpointError, match=message):
        LOCOClassifier.from_state(config, arrays)


def test_clusters_beyond_their_number_and_steep_inverses_are_refused():
    options = {"projection": "clusters", "n_input_clusters": 5}
    config, arrays = saved_state(**options)
    arrays["counts"][RECORDS["counts"].index("n_clusters")] = 6
    with pytest.raises(CheckpointError, match="`n_clusters` must be 0 to 5, got 6"):
        LOCOClassifier.from_state(config, arrays)
    config, arrays = saved_state(**options)
    arrays["projections.clusters.inverse_gram"][0, 0, 0] = 1e30
    with pytest.raises(CheckpointError, match=r"inverse_gram.* must be finite, from -1e.10"):
        LOCOClassifier.from_state(config, arrays)


def test_a_regressor_has_one_output_and_no_class():
    config, arrays = saved_state(LOCORegressor)
    with pytest.raises(CheckpointError, match="`classes` must be empty"):
        LOCORegressor.from_state(config | {"classes": ["a"]}, arrays)
    arrays["counts"][RECORDS["counts"].index("n_classes")] = 2
    with pytest.raises(CheckpointError, match="`n_classes` must be 0 to 1, got 2"):
        LOCORegressor.from_state(config, arrays)


def test_an_array_that_no_model_has_is_refused():
    config, arrays = saved_state()
    with pytest.raises(CheckpointError, match="'more' must belong to a model"):
        LOCOClassifier.from_state(config, arrays | {"more": np.zeros(1)})


def test_a_missing_array_is_refused():
    config, arrays = saved_state()
    del arrays["net.feedback"]
    with pytest.raises(CheckpointError, match=re.escape("net.feedback")):
        LOCOClassifier.from_state(config, arrays)


@pytest.mark.parametrize(
    "config", [{"model": None}, {"model": 3}, {}, {"model": {"kind": ["LOCOClassifier"]}}]
)
def test_a_checkpoint_without_a_model_is_refused(tmp_path, config):
    persist.write(tmp_path / "a", "checkpoint", config, {})
    with pytest.raises(CheckpointError, match="not a model"):
        load(tmp_path / "a")


def test_a_classifier_made_by_flat_options_is_restored():
    model = classifier(hidden_sizes=(4,), credit="learned", seed=1)
    model.learn_one({"a": 1.0}, "x")
    assert LOCOClassifier.from_state(*model.export_state()).advanced.credit == "learned"
