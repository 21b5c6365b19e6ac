"""Files of release 0.2 (commit f667e42) load and continue as well as that release did.

They have no fixed layer, and nothing freezes their hidden layers any more, so that predictions
differ from those of release 0.2 by little and not by nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from river import compose

from loco_stream import Fleet, LOCOClassifier, StreamEngine, TaskMonitor, load, save
from tests.helpers import golden_runs as runs

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v0_2"
END = runs.SAVED_AFTER + runs.CONTINUED
MODELS = [*runs.CLASSIFIERS, *runs.REGRESSORS]


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "expected.npz") as arrays:
        return dict(arrays)


def hits(proba, y):
    """Return the share of rows whose most probable class is right."""
    slots = ["abc".index(label) for label in y]
    return np.mean(np.asarray(proba).argmax(axis=1) == slots)


def assert_as_good(name, found, expected):
    """Compare predictions with those of release 0.2 by accuracy, or by mean absolute error."""
    y = runs.rows_of(name)[1][runs.SAVED_AFTER : END]
    assert np.isfinite(found).all() or name in runs.REGRESSORS
    if name in runs.REGRESSORS:
        error, error_then = (np.abs(p[:, 0] - y).mean() for p in (found, expected))
        assert error <= 1.1 * error_then
    else:
        assert hits(found, y) >= hits(expected, y) - 0.1


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_0_2_loads_and_is_saved_in_the_format_of_today(name, tmp_path):
    model = load(GOLDEN / f"{name}.loco")
    assert model.n_seen == runs.SAVED_AFTER
    assert model.advanced.fixed_neurons == 0
    save(model, tmp_path / "model.loco")
    assert load(tmp_path / "model.loco").n_seen == runs.SAVED_AFTER


@pytest.mark.parametrize("name", ["default", "values", "tickets", "values_late"])
def test_a_model_of_0_2_continues_as_well(name, expected):
    model = load(GOLDEN / f"{name}.loco")
    assert_as_good(name, runs.learn(model, name, runs.SAVED_AFTER, END), expected[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_0_2_continues_as_well(name, expected):
    model = load(GOLDEN / f"{name}.loco")
    assert_as_good(name, runs.learn(model, name, runs.SAVED_AFTER, END), expected[name])


def test_a_pipeline_of_0_2_continues_as_well(expected):
    model = load(GOLDEN / "pipeline.loco")
    assert isinstance(model, compose.Pipeline)
    rows, y, _ = runs.named_rows("small")
    predicted = []
    for x, label in list(zip(rows, y, strict=True))[runs.SAVED_AFTER :]:
        x = {name: 0.0 if value != value else value for name, value in x.items()}
        predicted.append([model.predict_proba_one(x).get(c, 0.0) for c in "abc"])
        model.learn_one(x, label)
    rest = y[runs.SAVED_AFTER :]
    assert hits(predicted, rest) >= hits(expected["pipeline"], rest) - 0.1


def test_a_run_of_0_2_resumes(tmp_path, expected):
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
    report = engine.run().to_dict()
    n_samples, accuracy = expected["run_report"][:2]
    assert report["n_samples"] == n_samples
    assert report["accuracy"] >= accuracy - 0.1


def test_a_fleet_of_0_2_continues_as_well(tmp_path, expected):
    shutil.copytree(GOLDEN / "fleet", tmp_path / "fleet")
    X, y, _ = runs.rows_of("small")
    with Fleet(None, tmp_path / "fleet", key_groups=4) as fleet:
        for k, key in enumerate(["press 7", 8, "press 9"]):
            rest = slice(runs.SAVED_AFTER + k, END, 3)
            predicted = fleet.learn_predict(key, X[rest], y[rest])
            right = np.mean([a == b for a, b in zip(predicted, y[rest], strict=True)])
            slots = np.array(["abc".index(label) for label in y[rest]])
            assert right >= np.mean(expected[f"fleet {key}"][:, 0] == slots) - 0.15


def test_a_fleet_of_0_2_that_was_killed_loses_no_row(tmp_path):
    shutil.copytree(GOLDEN / "fleet_killed", tmp_path / "fleet")
    X, y, _ = runs.rows_of("small")
    n_rows = runs.SAVED_AFTER // 3
    with Fleet(None, tmp_path / "fleet", key_groups=4) as fleet:
        assert sorted(fleet.keys(), key=str) == [8, "press 7", "press 9"]
        for k, key in enumerate(["press 7", 8, "press 9"]):
            assert fleet.report(key)["n_samples"] == n_rows
            all_rows = slice(k, END, 3)
            named = {"source": "plant", "epoch": 1, "seq": 0}
            predicted = fleet.learn_predict(key, X[all_rows], y[all_rows], **named)
            assert np.mean(predicted[n_rows:] == np.array(y[all_rows][n_rows:])) > 0.5
        assert fleet.n_repeated == 3 * n_rows
    with Fleet(None, tmp_path / "fleet", key_groups=4) as fleet:  # now a fleet of this release
        assert fleet.report(8)["n_samples"] == len(range(1, END, 3))
