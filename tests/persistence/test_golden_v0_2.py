"""Files of release 0.2 (commit f667e42) load and continue bit-identically.

A new model that learns the same rows equals them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from pprint import pformat

import numpy as np
import pytest
from river import compose

from loco_stream import (
    AdvancedOptions,
    Fleet,
    LOCOClassifier,
    LOCORegressor,
    StreamEngine,
    TaskMonitor,
    load,
)
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.persistence import format as persist
from tests.helpers import golden_runs as runs

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v0_2"
END = runs.SAVED_AFTER + runs.CONTINUED
MODELS = [*runs.CLASSIFIERS, *runs.REGRESSORS]


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "expected.npz") as arrays:
        return dict(arrays)


def fresh(name):
    kind = LOCORegressor if name in runs.REGRESSORS else LOCOClassifier
    own, advanced = runs.split_parameters((runs.CLASSIFIERS | runs.REGRESSORS)[name])
    return kind(**own, advanced=AdvancedOptions(**advanced) if advanced else None)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_0_2_continues_bit_identically(name, expected):
    model = load(GOLDEN / f"{name}.loco")
    np.testing.assert_array_equal(runs.learn(model, name, runs.SAVED_AFTER, END), expected[name])


@pytest.mark.parametrize("name", MODELS)
def test_a_new_model_equals_one_of_0_2_that_learned_the_same_rows(name):
    model = fresh(name)
    runs.learn(model, name, 0, runs.SAVED_AFTER)
    assert state_sha256(*export_model(model)) == state_sha256(
        *export_model(load(GOLDEN / f"{name}.loco"))
    )


def test_a_pipeline_of_0_2_continues_bit_identically(expected):
    model = load(GOLDEN / "pipeline.loco")
    assert isinstance(model, compose.Pipeline)
    rows, y, _ = runs.named_rows("small")
    predicted = []
    for x, label in list(zip(rows, y, strict=True))[runs.SAVED_AFTER :]:
        x = {name: 0.0 if value != value else value for name, value in x.items()}
        predicted.append([model.predict_proba_one(x).get(c, 0.0) for c in "abc"])
        model.learn_one(x, label)
    np.testing.assert_array_equal(predicted, expected["pipeline"])


def test_a_run_of_0_2_resumes_bit_identically(tmp_path, expected):
    shutil.copytree(GOLDEN / "run", tmp_path / "run")
    rows, y, _ = runs.named_rows("small")
    engine = StreamEngine(
        LOCOClassifier(hidden_sizes=(12,), seed=42),
        list(zip(rows, y, strict=True)),
        monitor=TaskMonitor(holdout=20, seed=1),
        checkpoint=tmp_path / "run",
        delay=4,
        resume=True,
    )
    predicted = []
    engine.on(
        "prediction", lambda record: predicted.append([record["proba"].get(c, 0.0) for c in "abc"])
    )
    report = engine.run().to_dict()
    np.testing.assert_array_equal(predicted, expected["run"])
    keys = ("n_samples", "accuracy", "kappa", "log_loss")
    np.testing.assert_array_equal([report[key] for key in keys], expected["run_report"])


def test_a_checkpoint_of_0_2_equals_one_of_today_after_migration(tmp_path):
    rows, y, _ = runs.named_rows("small")
    StreamEngine(
        LOCOClassifier(hidden_sizes=(12,), seed=42),
        list(zip(rows, y, strict=True)),
        monitor=TaskMonitor(holdout=20, seed=1),
        checkpoint=tmp_path,
        delay=4,
    ).run(max_samples=runs.SAVED_AFTER)
    name = f"checkpoint-{runs.SAVED_AFTER:012d}.loco"
    old = persist.read(GOLDEN / "run" / name)
    new = persist.read(tmp_path / name)
    # the monitor of 0.3 examines rows, and predicts those held out, between groups of rows
    others = [array for array in old.arrays if not array.startswith("monitor/")]
    assert others == [array for array in new.arrays if not array.startswith("monitor/")]
    for array in others:
        np.testing.assert_array_equal(old.arrays[array], new.arrays[array], err_msg=array)
    assert old.config["monitor"].keys() == new.config["monitor"].keys()
    for name in ("settings", "draws", "planned", "labels", "features", "n_inputs", "last"):
        assert old.config["monitor"][name] == new.config["monitor"][name], name
    for config in (old.config, new.config):
        del config["monitor"]
        del config["version"], config["events"]["now"]
        for row in config["events"]["delayed"]["rows"]:
            row[2][8] = 0.0  # the time of its arrival
    assert pformat(old.config) == pformat(new.config)  # as text, since nan is not nan
    assert old.config.keys() == new.config.keys()


def test_a_fleet_of_0_2_continues_bit_identically(tmp_path, expected):
    shutil.copytree(GOLDEN / "fleet", tmp_path / "fleet")
    X, y, _ = runs.rows_of("small")
    with Fleet(None, tmp_path / "fleet", key_groups=4) as fleet:
        for k, key in enumerate(["press 7", 8, "press 9"]):
            rest = slice(runs.SAVED_AFTER + k, END, 3)
            predicted = [
                ["abc".index(label)] for label in fleet.learn_predict(key, X[rest], y[rest])
            ]
            np.testing.assert_array_equal(predicted, expected[f"fleet {key}"])
