"""Measures against recorded values of other libraries, slow reference code and river."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, evaluate, neighbors, stream
from river import metrics as river_metrics

from loco_stream import metrics
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.metrics import Prequential
from tests.helpers import naive_measures as naive

ORACLES = json.loads((Path(__file__).parents[1] / "data" / "continual_oracles.json").read_text())[
    "matrices"
]
LABELS = st.sampled_from(["a", "b", "c"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)
NUMBERS = st.floats(-1e3, 1e3)


@pytest.mark.parametrize("case", ORACLES, ids=lambda case: f"{len(case['R'])}-tasks")
def test_equal_to_avalanche_and_capymoa(case):
    R = case["R"]
    baseline = case["baseline"]
    ours = {
        "avalanche_forgetting": metrics.forgetting(R, variant="learned"),
        "avalanche_forward_transfer": metrics.forward_transfer(R, baseline),
        "capymoa_backward_transfer": metrics.backward_transfer(R, variant="pairs"),
        "capymoa_forward_transfer": metrics.forward_transfer(R, variant="pairs"),
        "capymoa_accuracy_final": metrics.average_accuracy(R),
        "capymoa_accuracy_all_avg": metrics.average_anytime_accuracy(R, variant="all"),
        "capymoa_accuracy_seen_avg": metrics.average_anytime_accuracy(R),
    }
    for name, value in case["values"].items():
        tolerance = 1e-12 if name.startswith("avalanche") else 1e-6  # CapyMOA computes in float32
        assert ours[name] == pytest.approx(value, abs=tolerance), name
    assert metrics.backward_transfer(R) == pytest.approx(
        -case["values"]["avalanche_forgetting"], abs=1e-12
    )


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_matrix_measures_equal_their_definitions(n_tasks, seed):
    R = np.random.default_rng(seed).random((n_tasks, n_tasks))
    assert metrics.average_accuracy(R) == pytest.approx(naive.average_accuracy(R))
    assert metrics.learning_accuracy(R) == pytest.approx(naive.learning_accuracy(R))
    assert metrics.forgetting(R) == pytest.approx(naive.forgetting(R))
    assert metrics.backward_transfer(R) == pytest.approx(naive.backward_transfer(R))
    assert metrics.average_anytime_accuracy(R) == pytest.approx(naive.average_anytime_accuracy(R))
    assert metrics.backward_transfer(R, variant="final_over_all") == pytest.approx(
        metrics.backward_transfer(R) * (n_tasks - 1) / n_tasks
    )


@given(st.integers(2, 30), st.integers(2, 4), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_curve_measures_equal_their_definitions(n_rows, n_tasks, window, seed):
    rng = np.random.default_rng(seed)
    curves = rng.random((n_rows + n_tasks, n_tasks))
    ends = sorted(rng.choice(n_rows + n_tasks - 1, size=n_tasks - 1, replace=False).tolist())
    assert metrics.windowed_forgetting(curves, window) == pytest.approx(
        naive.windowed_forgetting(curves, window)
    )
    assert metrics.windowed_plasticity(curves, window) == pytest.approx(
        naive.windowed_forgetting(-curves, window)
    )
    assert metrics.minimum_accuracy(curves, ends) == pytest.approx(
        naive.minimum_accuracy(curves, ends)
    )
    worst = curves[-1, n_tasks - 1] / n_tasks + (1 - 1 / n_tasks) * naive.minimum_accuracy(
        curves, ends
    )
    assert metrics.worst_case_accuracy(curves, ends) == pytest.approx(worst)


def test_unused_entries_may_be_missing():
    R = [[0.9, math.nan, math.nan], [0.8, 0.9, math.nan], [0.5, 0.8, 0.9]]
    assert metrics.forgetting(R) == pytest.approx(0.25)
    assert metrics.backward_transfer(R) == pytest.approx(-0.25)
    with pytest.raises(InputError, match="NaN"):
        metrics.forward_transfer(R, 0.1)


@pytest.mark.parametrize("R", [[], [[]], [0.5], [[0.5, 0.5]], np.zeros((2, 2, 2))])
def test_matrix_must_be_square(R):
    with pytest.raises(InputError, match="square"):
        metrics.forgetting(R)


def test_settings_are_named_in_errors():
    R = np.eye(3)
    with pytest.raises(ConfigError, match="`variant` must be one of maximum, learned, got 'best'"):
        metrics.forgetting(R, variant="best")
    with pytest.raises(ConfigError, match="baseline"):
        metrics.forward_transfer(R)
    with pytest.raises(ConfigError, match="baseline"):
        metrics.forward_transfer(R, 0.1, variant="pairs")
    with pytest.raises(InputError, match=r"shape \(3,\), got shape \(2,\)"):
        metrics.forward_transfer(R, [0.1, 0.1])
    with pytest.raises(ConfigError, match="`window` must be at least 2"):
        metrics.windowed_forgetting(R, window=1)
    with pytest.raises(InputError, match="`ends` must name between 1 and 2"):
        metrics.minimum_accuracy(R, [])
    with pytest.raises(InputError, match="`ends` must be strictly increasing"):
        metrics.minimum_accuracy(R, [2])
    with pytest.raises(ConfigError, match="fading"):
        metrics.fading_accuracy([1], [1], fading=0.0)
    with pytest.raises(InputError, match="same length above 0, got 0 and 0"):
        metrics.kappa([], [])


@given(PAIRS)
def test_prequential_equals_the_whole_stream_measures(pairs):
    score = Prequential(window=7, fading=0.9)
    for y_true, y_pred in pairs:
        score.update(y_true, y_pred)
    y_true, y_pred = map(list, zip(*pairs, strict=True))
    report = score.report()
    assert report["accuracy"] == pytest.approx(naive.accuracy(y_true, y_pred))
    assert report["window_accuracy"] == pytest.approx(naive.accuracy(y_true[-7:], y_pred[-7:]))
    assert report["kappa"] == pytest.approx(metrics.kappa(y_true, y_pred), abs=1e-12)
    assert report["kappa_m"] == pytest.approx(metrics.kappa_m(y_true, y_pred), abs=1e-12)
    assert report["kappa_t"] == pytest.approx(metrics.kappa_t(y_true, y_pred), abs=1e-12)
    assert report["fading_accuracy"] == pytest.approx(metrics.fading_accuracy(y_true, y_pred, 0.9))


@given(PAIRS)
def test_kappa_equals_river(pairs):
    river_kappa = river_metrics.CohenKappa()
    for y_true, y_pred in pairs:
        river_kappa.update(y_true, y_pred)
    y_true, y_pred = map(list, zip(*pairs, strict=True))
    assert metrics.kappa(y_true, y_pred) == pytest.approx(river_kappa.get(), abs=1e-12)


@pytest.mark.parametrize("delay", [None, 25])
def test_prequential_equals_river_exactly(delay):
    rng = np.random.default_rng(3)
    X = rng.random((400, 2))
    y = [str(label) for label in (X[:, 0] > 0.4).astype(int) + (X[:, 1] > 0.7)]
    rows = [({"a": a, "b": b}, label) for (a, b), label in zip(X, y, strict=True)]
    references = {
        "accuracy": neighbors.KNNClassifier(n_neighbors=3),
        "no_change_accuracy": dummy.NoChangeClassifier(),
        "majority_accuracy": dummy.PriorClassifier(),
    }
    expected = {
        name: evaluate.progressive_val_score(
            rows, model, river_metrics.Accuracy(), delay=delay
        ).get()
        for name, model in references.items()
    }
    model = references["accuracy"].clone()
    score = Prequential()
    predicted: dict[int, object] = {}
    for i, x, truth in stream.simulate_qa(rows, None, delay):
        if truth is None:
            predicted[i] = model.predict_one(x)
        else:
            score.update(truth, predicted.pop(i))
            model.learn_one(x, truth)
    report = score.report()
    if delay is None:
        assert {name: report[name] for name in expected} == expected
    else:  # the baselines use the newest label at scoring time, not at arrival
        assert report["accuracy"] == expected["accuracy"]


def test_rows_without_prediction_are_not_scored_but_their_label_counts():
    score = Prequential()
    score.update("a", None)
    assert score.n_scored == 0
    assert math.isnan(score.report()["accuracy"])
    score.update("a", "b")
    assert score.report()["no_change_accuracy"] == 1.0
    assert score.report()["majority_accuracy"] == 1.0
    assert score.report()["accuracy"] == 0.0


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=50))
def test_regression_equals_numpy(pairs):
    score = Prequential("regression", window=5)
    for y_true, y_pred in pairs:
        score.update(y_true, y_pred)
    y_true, y_pred = np.array(pairs).T
    report = score.report()
    assert report["mae"] == pytest.approx(np.abs(y_true - y_pred).mean())
    assert report["rmse"] == pytest.approx(math.sqrt(((y_true - y_pred) ** 2).mean()))
    assert report["no_change_mae"] == pytest.approx(np.abs(np.diff(y_true)).mean())
    assert report["window_mae"] == pytest.approx(np.abs(y_true - y_pred)[-5:].mean())
    spread = ((y_true - y_true.mean()) ** 2).sum()
    if spread > 1e-3:
        assert report["r2"] == pytest.approx(
            1 - ((y_true - y_pred) ** 2).sum() / spread, rel=1e-6, abs=1e-6
        )


@pytest.mark.parametrize("value", ["x", math.nan, math.inf, None])
def test_regression_refuses_values_that_are_not_numbers(value):
    with pytest.raises(InputError, match="`y_true` must be a finite number"):
        Prequential("regression").update(value, 1.0)


@settings(max_examples=30)
@given(PAIRS, PAIRS)
def test_state_survives_json(before, after):
    score = Prequential(window=5)
    for y_true, y_pred in before:
        score.update(np.str_(y_true), np.str_(y_pred))
    twin = Prequential("regression")
    twin.restore_state(json.loads(json.dumps(score.export_state())))
    for y_true, y_pred in after:
        score.update(y_true, y_pred)
        twin.update(y_true, y_pred)
    # as texts, in which NaN is NaN
    shown = json.dumps([score.report(), score.classes()])
    assert json.dumps([twin.report(), twin.classes()]) == shown
    assert twin.export_state() == score.export_state()


def test_regression_state_survives_json():
    score = Prequential("regression", window=3)
    twin = Prequential()
    for y in range(10):
        score.update(y, y + 0.1)
    twin.restore_state(json.loads(json.dumps(score.export_state())))
    score.update(3.0, 3.5)
    twin.update(3.0, 3.5)
    assert twin.export_state() == score.export_state()


def test_a_damaged_state_is_refused_and_changes_nothing():
    score = Prequential()
    score.update("a", "a")
    state = score.export_state()
    del state["tallies"]["hits"]["n_correct"]
    with pytest.raises(CheckpointError, match="n_correct"):
        score.restore_state(state)
    assert score.report()["accuracy"] == 1.0


def test_settings_of_prequential_are_checked():
    with pytest.raises(
        ConfigError,
        match=r"`problem` must be one of classification, .*, watching, got 'ranking'",
    ):
        Prequential("ranking")
    with pytest.raises(ConfigError, match="window"):
        Prequential(window=0)
    with pytest.raises(ConfigError, match="fading"):
        Prequential(fading=1.5)
    with pytest.raises(TypeError, match=r"`task` of Prequential was renamed .* use `problem`"):
        Prequential(task="regression")
