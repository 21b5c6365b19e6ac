"""Both estimators equal their slow twins, row by row, up to single precision."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._learner.readout import past_rows
from tests.helpers.models import parameters
from tests.helpers.twins import compare, make_twin, run_both, stream, two_domains

SIZES = {"one layer": (6,), "two layers": (6, 5)}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("credit", ["mirror", "learned", "perturbation"])
@pytest.mark.parametrize("readout_layers", ["all", "last", "hidden"])
def test_a_classifier_equals_its_twin(sizes, credit, readout_layers):
    X, y = stream(80)
    _, twin = run_both(X, y, hidden_sizes=sizes, credit=credit, readout_layers=readout_layers)
    start = make_twin(3, 3, hidden_sizes=sizes, seed=3)
    moved = [np.abs(new - old).max() for new, old in zip(twin.weights, start.weights, strict=True)]
    assert min(moved) > 0.01  # every layer learned


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("credit", ["mirror", "learned", "perturbation"])
def test_a_regressor_equals_its_twin(sizes, credit):
    X, _ = stream(80)
    rng = np.random.default_rng(0)
    y = np.sin(np.nan_to_num(X[:, 0])) + 0.1 * rng.normal(size=len(X))
    run_both(X, y, make=LOCORegressor, hidden_sizes=sizes, credit=credit)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "np"},
        {"rule": "np", "credit": "perturbation"},
        {"rule": "frozen"},
        {"readout": "delta"},
        {"readout": "delta", "credit": "learned"},
        {"readout": "delta", "credit": "perturbation"},
        {"plastic": 0.5},
        {"plastic": 0.5, "readout_layers": "last", "learning_rate": 3000.0},
        {"projection": "clusters", "n_input_clusters": 3, "learning_rate": 30.0},
        {
            "projection": "clusters",
            "n_input_clusters": 2,
            "rank": 2,
            "orthogonality": 0.9,
            "learning_rate": 3.0,
        },
        {"projection": "clusters", "n_input_clusters": 3, "rule": "np"},
        {"orthogonality": 0.5},
        {"cluster_size": 10},
        {"receptive_fields": 1},
        {"leaks": (0.0,)},
        {"leaks": (1e-3, 0.1)},
        {"tau": 12.0, "tau_trace": 40.0, "window": 30.0, "gain": 4.0},
        {"retention": 0.0},
        {"class_weight": "balanced"},
        {"class_weight": {1: 7.5}},
        {"class_weight": {0: 0.1, 2: 3}, "readout": "delta"},
    ],
    ids=lambda options: " ".join(map(str, options.items())),
)
def test_a_classifier_with_any_option_equals_its_twin(options):
    run_both(*stream(60), **{"hidden_sizes": (6, 5), **options})


@pytest.mark.parametrize("options", [{}, {"rule": "frozen"}, {"leaks": (0.0, 0.1)}], ids=str)
def test_rows_without_receptive_fields_wait_for_each_other_as_in_the_twin(options):
    X, y = stream(156)
    options = {"leaks": (1e-9, 1e-3), "fixed_neurons": 96, "retention": 0.0, **options}
    model, twin = run_both(
        X, y, hidden_sizes=(6, 5), receptive_fields=1, readout_layers="hidden", **options
    )
    own = model._core.state.experts.least_squares
    assert own.n_waiting[0] == len(twin.waiting) > 0
    assert own.counters.n_pending == twin.members[0].n_taken > 0
    assert model._core.state.fixed.weights.shape == (3, 64)  # of 96 neurons


@pytest.mark.parametrize("n_features", [1, 2])
def test_fixed_neurons_that_no_feature_reaches_are_as_in_the_twin(n_features):
    X, y = stream(60, n_features=n_features)
    model, twin = run_both(X, y, hidden_sizes=(6,), receptive_fields=1, fixed_neurons=128)
    is_reached = (twin.fixed.weights != 0.0).any(axis=0)
    assert (~is_reached).sum() >= 16
    assert (model._core.state.fixed.norms[~is_reached] == 1.0).all()


def test_a_class_predicted_for_certain_moves_no_hidden_weight_but_loses_its_direction():
    X, y = stream(400, n_classes=2)
    X[:, 0] += 40.0 * y
    model, _ = run_both(X, y, hidden_sizes=(6,), receptive_fields=1, atol=1e-3)
    state = model._core.state
    weights = state.net.weights.copy()
    projector = state.projections.recursive.first.copy()
    likely = model.predict_proba_one(dict(enumerate(X[0])), in_stream=True)
    assert likely[y[0]] > 0.995
    model.learn_one(dict(enumerate(X[0])), int(y[0]))
    assert (state.net.weights == weights).all()
    assert (state.projections.recursive.first != projector).any()


@pytest.mark.parametrize("in_stream", [True, False, None])
def test_dormant_classes_answer_as_in_the_twin(in_stream):
    X, y = stream(260, n_classes=3)
    kept = np.flatnonzero((y != 1) | (np.arange(len(y)) < 80))
    late = np.flatnonzero(y == 1)[-8:]
    order = np.r_[kept, late]
    _, twin = run_both(
        X[order], y[order], in_stream=in_stream, hidden_sizes=(6,), retention=0.9, atol=1e-3
    )
    assert len(twin.classes.leads) > 20
    assert twin.classes.n_returns > 0


@pytest.mark.parametrize("in_stream", [False, None])
def test_earlier_inputs_are_answered_as_in_the_twin(in_stream):
    X, y = stream(520, n_classes=2)
    X[380:] += 2.0  # the inputs change, and both classes stay
    model, twin = run_both(X, y, in_stream=in_stream, hidden_sizes=(6,), atol=2e-3)
    shares = []
    for x in X:
        twin.forward(x, math.nan)
        shares.append(twin.past_rows.share(twin.fixed_outputs, past_rows.THRESHOLD))
    assert np.mean(shares[:380]) > 0.5
    assert np.mean(shares[-30:]) < 0.1
    assert model._core.state.past.moments.n > 64


@pytest.mark.parametrize("in_stream", [True, False, None])
def test_domains_are_found_again_and_answered_as_in_the_twin(in_stream):
    X, y = two_domains()
    options = {"seed": 3, "fixed_neurons": 16, "hidden_sizes": (6,)}
    twin = make_twin(X.shape[1], 2, regression=False, **options)
    model = LOCOClassifier(**parameters(**options))
    compare(model, twin, X, y, 5e-3, in_stream)
    found = model._core.state.domains
    own = twin.discriminant.domains
    assert found.counters.n_domains == len(own.kept) == 2
    assert found.counters.n_means == len(own.places) == 4
    assert found.counters.current == own.current == 0  # the first domain is back
    scores = model._core.scratch.domains.scores
    np.testing.assert_allclose(scores[:2], own.scores, rtol=1e-2)


@pytest.mark.parametrize(("seed", "sign"), [(3, 1.0), (4, -1.0)])
def test_features_beyond_the_lines_of_the_skip_connection_are_added_up_as_in_the_twin(seed, sign):
    X, y = stream(60, n_features=4)
    model, twin = run_both(X, y, hidden_sizes=(6,), fixed_neurons=1, seed=seed)
    assert model._core.state.experts.discriminant.means.shape[1] == 1 + 3
    assert twin.fixed.skip.tolist() == [
        [1.0, 0.0, 0.0, sign],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ]


@pytest.mark.slow
def test_gains_scales_and_the_first_snapshot_settle_as_in_the_twin():
    X, y = stream(420, n_classes=2)
    y[300:] = 1 - y[300:]  # the concept ends, and its copy gets weight
    model, twin = run_both(X, y, hidden_sizes=(5,), atol=0.02)
    assert model.recalled[0] >= 1
    assert twin.counters.tolist() == model._core.state.snapshots.counters.tolist()
