"""Features that came late have projectors in blocks: a row pays for the values that it holds."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCOForecaster, LOCOMultiTargetRegressor, LOCORegressor
from loco_stream._compiler.simd import ops
from loco_stream._compiler.simd.sizes import whole_vectors
from loco_stream._learner.arrays import shapes
from loco_stream._learner.arrays.spec import flatten
from loco_stream._learner.readout import blocks
from loco_stream._learner.readout.experts import least_squares
from loco_stream._options import JOINT_FEATURES, ModelOptions
from loco_stream._persistence.version_2.models import split_projectors
from loco_stream.fleet._merging import merge
from tests.helpers.jitted import jitted
from tests.helpers.models import (
    assert_copies_continue_identically,
    blobs,
    classifier,
    untrained,
)
from tests.helpers.twins import run_both

SIZE = 4  # features of a block
N = 11  # late features, in three blocks

change_blocks = jitted(blocks.change_blocks)
change_block_weights = jitted(blocks.change_block_weights)
nonzero = jitted(ops.nonzero)
write_block_gains = jitted(blocks.write_block_gains)


def f32(values):
    return np.asarray(values, np.float32)


def reached_by(x):
    rows = np.zeros(len(x), np.int32)
    return rows, nonzero(x, 0, len(x), rows)


def dense(rows):
    """Return blocks as one matrix."""
    matrix = np.zeros((N, N))
    for begin in range(0, N, SIZE):
        own = slice(begin, min(begin + SIZE, N))
        matrix[own, own] = rows[own, : own.stop - begin]
    return matrix


def started(prior=0.1):
    rows = np.zeros((N, SIZE), np.float32)
    blocks.start_blocks(rows, prior)
    return rows


@pytest.mark.parametrize("leak", [0.0, 0.05])
def test_blocks_equal_explicit_matrices(leak):
    rng = np.random.default_rng(0)
    prior = 0.1
    rows = started(prior)
    weights = np.zeros((N, 6), np.float32)
    twin = prior * np.eye(N)
    twin_weights = np.zeros((N, 6))
    np.testing.assert_array_equal(dense(rows), f32(twin))
    k = np.zeros(N, np.float32)
    for turn in range(60):
        x = f32(rng.normal(size=N) * (rng.random(N) < 0.2))
        reached = reached_by(x)
        q = write_block_gains(rows, x, reached, k)
        np.testing.assert_allclose(k, twin @ x, atol=1e-6)
        assert q == pytest.approx(x @ twin @ x, abs=1e-6)
        scale = 1.0 / (2.0 + q)
        residual = f32(rng.normal(size=2))
        change_block_weights(weights, (3, 2), rows, reached, k, np.float32(scale), residual)
        change_blocks(rows, reached, k, scale, leak, prior, turn)
        in_use = np.isin(np.arange(N) // SIZE, np.flatnonzero(x) // SIZE)
        twin_weights[:, 3:5] += scale * np.outer(twin @ x, residual)
        changed = (1.0 - leak) * (twin - scale * np.outer(twin @ x, x @ twin))
        changed += leak * prior * np.eye(N)
        twin = np.where(np.outer(in_use, in_use) & (dense(np.ones((N, SIZE))) > 0), changed, twin)
        np.testing.assert_allclose(dense(rows), twin, atol=1e-6)
    np.testing.assert_allclose(weights, twin_weights, atol=1e-5)


def test_a_row_reads_and_writes_only_the_blocks_that_it_reaches():
    rows = started()
    weights = np.zeros((N, 2), np.float32)
    rows[SIZE : 2 * SIZE] = np.nan  # whatever reads it becomes NaN too
    weights[SIZE : 2 * SIZE] = np.nan
    x = np.zeros(N, np.float32)
    x[[1, 9, 10]] = 1.0
    k = np.full(N, np.nan, np.float32)
    reached = reached_by(x)
    q = write_block_gains(rows, x, reached, k)
    assert np.isfinite(q)
    assert np.isfinite(k).all()
    change_block_weights(weights, (0, 2), rows, reached, k, np.float32(0.5), f32([1.0, -1.0]))
    change_blocks(rows, reached, k, 0.5, 0.01, 0.1, 0)
    others = np.arange(N) // SIZE != 1
    assert np.isfinite(rows[others]).all()
    assert np.isfinite(weights[others]).all()
    assert np.isnan(rows[~others]).all()


@pytest.fixture
def early_blocks(monkeypatch):
    """Let all but two features be late, in blocks of two."""
    layout_for = ModelOptions.layout_for
    monkeypatch.setattr(
        ModelOptions,
        "layout_for",
        lambda self, n, **given: layout_for(self, n, **given)._replace(n_joint=2),
    )
    monkeypatch.setattr(shapes, "BLOCK", 2)


def sparse_rows(n, seed=0):
    """Draw rows of seven features, most of which lack some, with labels in the order they come."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    y[:3] = range(3)
    X = rng.normal(size=(n, 7)) + 1.5 * rng.normal(size=(3, 7))[y]
    X[3:][rng.random((n - 3, 7)) < 0.5] = np.nan
    return X, y


@pytest.mark.parametrize("readout_layers", ["all", "hidden"])
def test_a_classifier_with_late_features_equals_its_twin(early_blocks, readout_layers):
    X, y = sparse_rows(80)
    model, _ = run_both(X, y, hidden_sizes=6, readout_layers=readout_layers)
    members = model._core.state.experts.least_squares
    assert members.blocks.shape[1:] == (5 if readout_layers == "all" else 0, 2)
    assert members.linear_blocks.shape[1:] == (5 if readout_layers == "all" else 0, 2)


def test_a_regressor_with_late_features_equals_its_twin(early_blocks):
    X, _ = sparse_rows(80)
    y = np.nan_to_num(X[:, 0]) + np.nan_to_num(X[:, 5])
    run_both(X, y, make=LOCORegressor, hidden_sizes=6)


def test_a_model_that_grows_beyond_its_joint_features_continues_from_every_copy(tmp_path):
    X, y = blobs(60, n_features=JOINT_FEATURES + 40)
    model = LOCOClassifier(hidden_sizes=8, seed=1)
    for n in (4, JOINT_FEATURES, JOINT_FEATURES + 10, JOINT_FEATURES + 40):
        for row, label in zip(X[:10, :n], y, strict=False):
            model.learn_one(dict(enumerate(row.tolist())), int(label))
    n_late = len(model._core.row[0]) - JOINT_FEATURES
    members = model._core.state.experts.least_squares
    n_joint = 8 + 1 + JOINT_FEATURES
    assert members.projectors.shape[1:] == (n_joint, whole_vectors(n_joint))
    assert members.blocks.shape == (3, n_late, blocks.BLOCK)
    assert_copies_continue_identically(model, X, y, tmp_path)


def test_features_of_the_first_row_are_joint_however_many():
    X, y = blobs(5, n_features=JOINT_FEATURES + 40)
    model = classifier(hidden_sizes=8, readout_layers="all", seed=1)
    model.learn_array(X, y)
    assert model._core.state.experts.least_squares.blocks.shape[1] == 0


def test_a_row_leaves_blocks_of_absent_features_and_their_weights_alone():
    n = JOINT_FEATURES + 3 * blocks.BLOCK
    X, y = blobs(40, n_features=n)
    model = LOCOClassifier(hidden_sizes=8, seed=1)
    model.learn_one(dict(enumerate(X[0, :8].tolist())), int(y[0]))
    for row, label in zip(X, y, strict=True):
        model.learn_one(dict(enumerate(row.tolist())), int(label))
    before = {name: array.copy() for name, array in flatten(model._core.state).items()}
    held = [3, JOINT_FEATURES + blocks.BLOCK + 5]
    model.learn_one(dict.fromkeys(held, 2.5), 1)
    after = flatten(model._core.state)
    second = slice(blocks.BLOCK, 2 * blocks.BLOCK)
    for name, axis in (
        ("experts.least_squares.blocks", 1),
        ("experts.least_squares.linear_blocks", 1),
        ("experts.logistic.blocks", 0),
    ):
        changed = np.moveaxis(before[name] != after[name], axis, 0)[: 3 * blocks.BLOCK]
        assert changed[second].any()
        changed[second] = False
        assert not changed.any()
    for name, first in (("weights", 9), ("linear_weights", 1)):
        name = f"experts.least_squares.{name}"
        changed = (before[name] != after[name])[first + JOINT_FEATURES :].any(axis=1)
        assert set(np.flatnonzero(changed) // blocks.BLOCK) == {1}


def test_models_of_several_outputs_learn_late_features(early_blocks):
    X, _ = sparse_rows(60)
    rows = [{f: v for f, v in enumerate(row) if v == v} for row in X.tolist()]
    several = LOCOMultiTargetRegressor(hidden_sizes=6, seed=1)
    forecaster = LOCOForecaster(hidden_sizes=6, heads=3, seed=1)
    for x in rows:
        value = x.get(0, 0.0) - x.get(6, 0.0)
        several.learn_one(x, {"a": value, "b": -value})
        forecaster.learn_one(value, x)
    for model in (several, forecaster):
        members = model._core.state.experts.least_squares
        assert members.blocks.shape[1] > 0
        start = np.zeros_like(members.blocks[0])
        blocks.start_blocks(start, members.priors[0])
        assert (members.blocks[0] != start).any()
        assert (members.linear_weights[3:] != 0.0).any()


def test_merging_keeps_blocks_and_their_weights(early_blocks, monkeypatch):
    monkeypatch.setattr(least_squares, "BLOCK", 2)
    X, y = sparse_rows(60)
    model = LOCOClassifier(hidden_sizes=6, rule="frozen", seed=1)
    model.learn_array(X, y)
    merged = merge([model])._core.state.experts.least_squares
    own = model._core.state.experts.least_squares
    n_classes = len(model.classes)
    np.testing.assert_allclose(merged.blocks[0], own.blocks[0], atol=1e-6)
    np.testing.assert_allclose(merged.weights[:, :n_classes], own.weights[:, :n_classes], atol=1e-4)


def test_models_of_release_0_2_keep_the_blocks_of_their_projectors():
    width = JOINT_FEATURES + 2
    n = width + blocks.BLOCK + 3
    state = untrained(width, 2, hidden_sizes=4).model.state
    known = {"statistics.n_values": np.zeros(n), "net.n_post": state.net.n_post}
    rng = np.random.default_rng(0)
    projectors = rng.normal(size=(3, 4 + 1 + n, 4 + 1 + n)).astype(np.float32)
    linear = rng.normal(size=(2, n + 1, n + 1)).astype(np.float32)
    hidden_only = rng.normal(size=(1, 5, 5)).astype(np.float32)
    for traces, n_late in ((projectors, n - width), (hidden_only, 0)):
        arrays = {
            **known,
            "experts.least_squares.projectors": traces,
            "experts.least_squares.linear_projectors": linear,
            "experts.logistic.projector": linear[0],
        }
        split = split_projectors(arrays, width)
        n_joint = traces.shape[-1] - n_late
        own = split["experts.least_squares.projectors"]
        np.testing.assert_array_equal(own, traces[:, :n_joint, :n_joint])
        found = split["experts.least_squares.blocks"]
        assert found.shape == (len(traces), n_late, blocks.BLOCK)
        if n_late:
            last = found[:, blocks.BLOCK :]
            behind = slice(n_joint + blocks.BLOCK, None)
            np.testing.assert_array_equal(last[:, :, :3], traces[:, behind, behind])
            assert not last[:, :, 3:].any()
        found = split["experts.logistic.blocks"]
        first = slice(width + 1, width + 1 + blocks.BLOCK)
        np.testing.assert_array_equal(found[: blocks.BLOCK], linear[0][first, first])
