"""Slowly changing regression: the stream, the compiled net against a plain twin, and the bench."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import plasticity
from benchmarks.continual_net import ContinualMLP
from benchmarks.mlp import first_weights as mlp_weights
from benchmarks.plasticity import N_BITS, N_FLIPPING, PERIOD, periods
from benchmarks.regression_net import NetOptions, RegressionNet, first_weights
from benchmarks.upgd import UPGDClassifier, UPGDOptions, UPGDRegressor
from loco_stream._rng import derive_key, uniforms
from tests.helpers.naive_rivals import NaiveContinualMLP, NaiveRegressionNet, NaiveUPGD


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    X = rng.integers(0, 2, (700, 6)).astype(float)
    return X, X @ [1.0, -2.0, 3.0, 0.0, 1.0, 1.0] + X[:, 0] * X[:, 1]


def _fresh_units(n_features, seed):
    """Return a function that draws the input weights of one unit after the other."""
    drawn = iter(range(10_000))

    def fresh():
        n = next(drawn)
        draws = uniforms(derive_key(seed, 1), n * n_features, n_features)
        return np.sqrt(6.0 / n_features) * (2.0 * draws - 1.0)

    return fresh


def _twin(net, options, n_features, seed):
    fresh = _fresh_units(n_features, seed)
    return NaiveRegressionNet(net._state[0], net._state[2], options, fresh)


@pytest.mark.parametrize(
    "options",
    [
        NetOptions(7, learning_rate=0.02),
        NetOptions(7, learning_rate=0.02, decay=0.1),
        NetOptions(7, learning_rate=0.02, replaced=2e-3),
        NetOptions(7, learning_rate=0.2, bound=0.5),
    ],
    ids=["plain", "decay", "continual", "ObGD"],
)
def test_the_net_equals_its_plain_twin(rows, options):
    X, y = rows
    fast = RegressionNet(6, options, seed=4)
    slow = _twin(fast, options, 6, 4)
    expected = []
    for x, target in zip(X, y, strict=True):
        expected.append(slow.predict(x))
        slow.learn(x, target)
    np.testing.assert_allclose(fast.learn_predict_array(X, y), expected, atol=1e-9)
    np.testing.assert_allclose(fast._state[0], slow.w1, atol=1e-9)
    if options.replaced:
        np.testing.assert_allclose(fast._state[4], slow.utility, atol=1e-9)
        assert len(slow.replaced) > 5


def test_the_continual_classifier_equals_its_plain_twin(rows):
    X, values = rows
    y = (values > 0.0).astype(int) + (values > 2.0)
    w1, w2 = mlp_weights(6, 9, 3, 0)
    fast = ContinualMLP(w1, w2, 0.1, 2e-3, seed=4)
    slow = NaiveContinualMLP(w1, w2, 0.1, 2e-3, _fresh_units(6, 4))
    expected = []
    for x, target in zip(X, y, strict=True):
        expected.append(slow.predict(x))
        slow.learn(x, target)
    assert fast.learn_predict_array(X, y).tolist() == expected
    np.testing.assert_allclose(fast._state[2][0], slow.w1, atol=1e-9)
    np.testing.assert_allclose(fast._state[2][2], slow.w2, atol=1e-9)
    assert len(slow.replaced) > 5
    assert np.mean(np.array(expected[300:]) == y[300:]) > 0.8


def _upgd(options):
    w1, w2 = first_weights(6, 7, 4)
    return UPGDRegressor(w1, w2[:, None], options, seed=4)


def test_upgd_equals_its_plain_twin(rows):
    X, y = rows
    options = UPGDOptions(0.02, decay=0.1, kept=0.98, noise=0.05)
    fast = _upgd(options)
    slow = NaiveUPGD(*first_weights(6, 7, 4), options, np.random.default_rng(4))
    expected = []
    for x, target in zip(X, y, strict=True):
        expected.append(slow.predict(x))
        slow.learn(x, target)
    np.testing.assert_allclose(fast.learn_predict_array(X, y), expected, atol=1e-9)
    np.testing.assert_allclose(fast._state[3], slow.weights, atol=1e-9)
    np.testing.assert_allclose(fast._state[4], slow.utility, atol=1e-9)


def test_a_classifier_of_upgd_learns_and_unlearns_labels():
    X = np.random.default_rng(0).normal(size=(4000, 5))
    y = (X[:, 0] > 0.0).astype(int) + (X[:, 1] > 1.0)
    net = UPGDClassifier(*mlp_weights(5, 16, 3, 0), UPGDOptions(0.05))
    net.learn_array(X[:2000], y[:2000])
    assert (net.predict_array(X[2000:]) == y[2000:]).mean() > 0.9
    net.learn_array(X, 2 - y)
    assert (net.predict_array(X) == 2 - y).mean() > 0.9


@pytest.mark.parametrize(
    "make",
    [lambda: RegressionNet(6, NetOptions(5, replaced=2e-3)), lambda: _upgd(UPGDOptions(0.02))],
    ids=["continual", "UPGD"],
)
def test_predicting_changes_nothing_and_blocks_agree(rows, make):
    X, y = rows
    whole = make().learn_predict_array(X, y)
    net = make()
    first = net.learn_predict_array(X[:300], y[:300])
    net.predict_array(X)
    net.learn_array(X[300:600], y[300:600])
    assert np.concatenate([first, net.learn_predict_array(X[600:], y[600:])]).tolist() == [
        *whole[:300],
        *whole[600:],
    ]


def test_one_bit_flips_per_period_and_six_are_random():
    blocks = list(periods(1, 3 * PERIOD + 10))
    assert [len(y) for _, y in blocks] == [PERIOD] * 3 + [10]
    held = []
    for X, _ in blocks:
        assert (X[:, :N_FLIPPING] == X[0, :N_FLIPPING]).all()
        assert (X[:, -1] == 1.0).all()
        held.append(X[0, :N_FLIPPING])
    assert np.abs(np.diff(held, axis=0)).sum(axis=1).tolist() == [1, 1, 1]
    means = blocks[0][0][:, N_FLIPPING:N_BITS].mean(axis=0)
    assert means.shape == (6,)
    assert (np.abs(means - 0.5) < 0.02).all()


def test_a_unit_of_the_target_fires_where_enough_inputs_agree_with_its_weights():
    draw = np.random.default_rng(2)
    weights = draw.choice([-1.0, 1.0], (22, 100))
    out = draw.choice([-1.0, 1.0], 100)
    X, y = next(periods(2, 50))
    for x, value in zip(X, y, strict=True):
        agree = (x[:, None] == (weights > 0)).sum(axis=0)
        assert value == out[agree > 0.7 * 22].sum()


def test_the_bench_with_few_rows(tmp_path):
    arguments = ["--rows", "400", "--seeds", "2", "--out", str(tmp_path)]
    only = "64 neurons;ReLU 5, continual;ReLU 5, UPGD;linear;no-change"
    done = CliRunner().invoke(
        plasticity.command, [*arguments, "--only", only], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    assert "slowly changing regression" in done.output
    runs = json.loads((tmp_path / "plasticity.json").read_text())["runs"]
    assert set(runs) == {f"{name}/{seed}" for name in only.split(";") for seed in (0, 1)}
    run = runs["no-change/0"]
    _, y = next(periods(0, 400))
    expected = np.diff(y, prepend=0.0) ** 2
    assert run["error"] == pytest.approx(expected.mean())
    assert run["last tenth"] == pytest.approx(expected[-40:].mean())
    (grid,) = plasticity.grids(runs)
    assert len(grid.rows) == 5
    assert (tmp_path / "plasticity.png").stat().st_size > 1000
