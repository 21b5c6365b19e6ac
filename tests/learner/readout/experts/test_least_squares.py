"""Recursive members against explicit matrices."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import load, save
from loco_stream._compiler.simd import ops
from loco_stream._compiler.simd.ops import weigh_rows
from loco_stream._learner.kernel_args import KernelArgs
from loco_stream._learner.readout import recursive_steps
from loco_stream._learner.readout.experts import least_squares
from loco_stream.fleet._merging import merge
from tests.helpers import naive
from tests.helpers.jitted import jitted, on_model
from tests.helpers.models import arrays_of, blobs, classifier, untrained

SEEDS = st.integers(0, 2**32 - 1)

change_projector = jitted(recursive_steps.change_projector)
change_weights = jitted(recursive_steps.change_weights)
gain_of = jitted(recursive_steps.gain_of)
nonzero = jitted(ops.nonzero)
run_delta_update = on_model(least_squares.delta_update)
run_write_residual = on_model(recursive_steps.write_residual)


def f32(values):
    return np.asarray(values, np.float32)


class Member:
    """One recursive member between two others in the same array."""

    def __init__(self, n_inputs, n_classes, leak, prior, n_losses=1):
        self.n = n_inputs
        self.leak = leak
        self.prior = prior
        self.n_losses = n_losses
        self.columns = n_losses * n_classes
        self.weights = np.zeros((n_inputs, 3 * self.columns), np.float32)
        self.matrix = f32(prior * np.eye(n_inputs))
        self.pending = np.zeros((ops.RANK, n_inputs), np.float32)
        self.n_pending = 0
        self.k = np.zeros(n_inputs, np.float32)
        self.outputs = np.zeros(3 * self.columns, np.float32)
        self.rows = np.zeros(n_inputs, np.int32)
        args = untrained(1, n_classes, hidden_sizes=1)
        self.model = args.model
        self.model.state.counts.n_seen = 1000
        settings = self.model.settings._replace(n_losses=n_losses)
        self.with_classes = KernelArgs(self.model._replace(settings=settings))
        settings = settings._replace(regression=True)
        self.without_classes = KernelArgs(self.model._replace(settings=settings))

    @property
    def projector(self):
        """Return the matrix with the changes that it has not taken in yet."""
        changes = self.pending[: self.n_pending].astype(float)
        upper = np.triu(self.matrix).astype(float)
        whole = upper + np.triu(upper, 1).T
        return (1.0 - self.leak) ** self.n_pending * (whole - changes.T @ changes)

    @property
    def residual(self):
        return self.model.scratch.experts.least_squares.residual[: self.columns]

    def learn(self, x, target, last_seen=None):
        """Learn a row; `last_seen` holds the row of each class, None: there are no classes."""
        padded = np.concatenate([f32([9.0]), x])  # inputs start at 1
        n_rows = nonzero(padded, 1, self.n, self.rows)
        assert self.rows[:n_rows].tolist() == np.flatnonzero(x).tolist()
        weigh_rows(self.outputs, self.weights, 3 * self.columns, padded, 1, self.rows, n_rows)
        member = (self.matrix, self.pending, self.n_pending, self.leak)
        q = gain_of(member, padded, 1, self.n, (self.rows, n_rows), self.k, 0)
        self.n_pending %= ops.RANK
        self.model.scratch.target[:] = target
        if last_seen is not None:
            self.model.state.classes.last_seen[:] = last_seen
        args = self.without_classes if last_seen is None else self.with_classes
        outputs = self.outputs[self.columns :]
        logits = outputs[self.columns // self.n_losses : self.columns].astype(float)
        proba = np.exp(logits) / np.exp(logits).sum()
        run_write_residual(args, outputs, proba, self.leak)
        columns = (self.columns, self.columns)
        change_weights(self.weights, columns, self.n, self.k, q, self.residual)
        member = (self.matrix, self.pending, self.n_pending, self.leak)
        change_projector(member, self.n, self.k, q, self.prior)
        self.n_pending += 1
        return q

    @property
    def own(self):
        """Return the weights of each loss."""
        return np.split(self.weights[:, self.columns : 2 * self.columns], self.n_losses, axis=1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 1e-3, 0.1]), st.integers(1, 2), st.booleans())
def test_the_update_of_both_losses_equals_explicit_matrices(seed, leak, n_losses, has_classes):
    rng = np.random.default_rng(seed)
    n = 7
    n_classes = 3
    prior = 0.1
    n_seen = 1000
    member = Member(n, n_classes, leak, prior, n_losses)
    p = prior * np.eye(n)
    weights = [np.zeros((n, n_classes))] * n_losses
    for _ in range(20):
        x = f32(rng.normal(size=n) * (rng.random(n) < 0.7))
        target = np.eye(n_classes)[rng.integers(n_classes)]
        last_seen = n_seen - rng.integers(0, 60, n_classes) if has_classes else None
        q = member.learn(x, target, last_seen)
        x = x.astype(float)
        assert q == pytest.approx(x @ p @ x, rel=1e-3, abs=1e-5)
        logits = x @ weights[1] if n_losses > 1 else None
        lack = naive.residuals(target, x @ weights[0], logits, last_seen, n_seen, leak)
        assert np.allclose(member.residual, np.concatenate(lack), atol=1e-4)
        p, weights = naive.recursive_update(p, weights, x, lack, leak, prior)
        assert np.allclose(member.projector, p, atol=1e-4)
        for own, expected in zip(member.own, weights, strict=True):
            assert np.allclose(own, expected, atol=3e-4)
    assert not np.any(member.weights[:, : member.columns])
    assert not np.any(member.weights[:, 2 * member.columns :])


def test_the_log_loss_learns_the_log_odds():
    rng = np.random.default_rng(0)
    member = Member(2, 2, 0.0, 0.1, n_losses=2)
    truth = np.array([0.5, 1.5])
    for _ in range(4000):
        x = np.array([1.0, rng.normal()])
        member.learn(f32(x), np.eye(2)[int(rng.random() < 1 / (1 + math.exp(-x @ truth)))])
    odds = member.own[1][:, 1] - member.own[1][:, 0]
    assert np.allclose(odds, truth, atol=0.25)


@pytest.mark.parametrize("leak", [0.0, 1e-3])
def test_a_wide_member_equals_explicit_matrices(leak):
    rng = np.random.default_rng(0)
    n = recursive_steps.NARROW + 5
    member = Member(n, 2, leak, 0.1)
    member.matrix[np.tril_indices(n, -ops.ROWS)] = 1e6  # never read
    p = 0.1 * np.eye(n)
    weights = [np.zeros((n, 2))]
    for _ in range(11):
        x = f32(rng.normal(size=n) * (rng.random(n) < 0.7))
        target = rng.normal(size=2)
        q = member.learn(x, target)
        x = x.astype(float)
        assert q == pytest.approx(x @ p @ x, rel=1e-3)
        lack = naive.residuals(target, x @ weights[0], None, None, 0, leak)
        p, weights = naive.recursive_update(p, weights, x, lack, leak, 0.1)
        assert np.allclose(member.projector, p, atol=1e-4)
        assert np.allclose(member.own[0], weights[0], atol=3e-4)


def test_without_leak_a_member_is_ridge_regression_on_all_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    truth = rng.normal(size=(5, 2))
    y = x @ truth + 0.1 * rng.normal(size=(200, 2))
    member = Member(5, 2, 0.0, 0.1)
    for row, target in zip(x, y, strict=True):
        member.learn(f32(row), target)
    ridge = np.linalg.solve(x.T @ x + np.eye(5) / 0.1, x.T @ y)
    assert np.allclose(member.weights[:, 2:4], ridge, atol=1e-3)


def test_a_leak_forgets_and_never_winds_up():
    rng = np.random.default_rng(0)
    fast = Member(3, 1, 1e-2, 0.1)
    slow = Member(3, 1, 0.0, 0.1)
    old = rng.normal(size=3)
    new = rng.normal(size=3)
    for t in range(3000):
        x = rng.normal(size=3)
        for member in (fast, slow):
            member.learn(f32(x), np.array([x @ (old if t < 2000 else new)]))
    assert np.allclose(fast.weights[:, 1], new, atol=0.05)
    assert np.abs(slow.weights[:, 1] - new).max() > 0.2
    for _ in range(20000):  # one direction only: the others drift to the prior, no further
        fast.learn(f32([1.0, 0.0, 0.0]), np.zeros(1))
    assert np.all(np.linalg.eigvalsh(fast.projector) > 0.0)
    assert fast.projector.max() <= 0.1 * (1 + 1e-3)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_the_delta_rule_equals_the_twin(seed):
    rng = np.random.default_rng(seed)
    args = untrained(1, 4, hidden_sizes=(2, 4), readout="delta", readout_layers="last")
    args.model.state.counts.n_classes = 3
    weights = args.model.state.experts.least_squares.weights
    weights[:] = rng.normal(size=weights.shape)
    x = f32(rng.normal(size=8))
    args.model.scratch.clean.traces[:] = x
    error = rng.normal(size=3)
    args.model.scratch.now.error[:3] = error
    before = weights.copy()
    rate = run_delta_update(args)
    inputs = x[2:7].astype(float)  # the last layer, and 1
    expected = naive.delta_update(
        before[:, :3].astype(float), inputs, error, least_squares.DELTA_RATE
    )
    assert np.allclose(weights[:, :3], expected, atol=1e-5)
    assert np.array_equal(weights[:, 3], before[:, 3])
    assert rate == pytest.approx(least_squares.DELTA_RATE / (1.0 + inputs @ inputs))


WIDE = {"hidden_sizes": (12,), "receptive_fields": 1, "readout_layers": "hidden"}


def wide_rows(n, seed=0):
    """Draw rows from 0 to 1 whose first two span the range of every feature."""
    X, y = blobs(n, n_features=6, n_classes=3, seed=seed)
    X = (X - X.min(axis=0)) / np.ptp(X, axis=0)
    X[0] = 0.0
    X[1] = 1.0
    return X, y


def state_bytes(model):
    return {name: array.tobytes() for name, array in arrays_of(model).items()}


def test_rows_that_wait_are_learned_alike_one_by_one_in_blocks_and_after_a_file(tmp_path):
    X, y = wide_rows(203)
    block = classifier(**WIDE)
    predicted = block.learn_predict_array(X, y)
    loop = classifier(**WIDE)
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        x = dict(enumerate(row))
        assert loop.predict_one(x, in_stream=True) == (predicted[i] if i else None)
        loop.learn_one(x, label)
        if i == 150:
            assert loop._core.state.experts.least_squares.n_waiting[0] > 0
            save(loop, tmp_path / "model")
            loop = load(tmp_path / "model")
    assert state_bytes(loop) == state_bytes(block)


def test_rows_that_wait_are_among_those_of_a_merged_model():
    X, y = wide_rows(900)
    base = classifier(**WIDE, rule="frozen")
    base.learn_array(X[:320], y[:320])
    parts = [copy.deepcopy(base), copy.deepcopy(base)]
    for part, own in zip(parts, (slice(320, 563), slice(563, 803)), strict=True):
        part.learn_array(X[own], y[own])
    assert parts[1]._core.state.experts.least_squares.n_waiting[0] > 0
    whole = classifier(**WIDE, rule="frozen")
    whole.learn_array(X[:803], y[:803])
    merged = merge(parts, base)
    rest = whole._core.state.experts.least_squares
    own = merged._core.state.experts.least_squares
    assert own.n_waiting[0] == 0
    rows = rest.waiting[: rest.n_waiting[0]].astype(float)
    n = len(merged.classes)
    order = [merged.classes.index(label) for label in whole.classes]
    P = symmetric_matrix(rest)
    A = np.linalg.inv(P)
    targets = rest.waiting_classes[: len(rows), :n].astype(float)
    expected = np.linalg.solve(A + rows.T @ rows, A @ rest.weights[:, :n] + rows.T @ targets)
    np.testing.assert_allclose(own.weights[:, order], expected, atol=2e-3)


def learned_with_other_priors(monkeypatch, seed):
    """Return a model as it was before projectors of wide rows began with more prior."""
    with monkeypatch.context() as changed:
        changed.setattr(least_squares, "WIDE_PRIORS", least_squares.PRIORS)
        model = classifier(**WIDE, rule="frozen")
        model.learn_array(*wide_rows(40, seed))
    return model


def test_a_saved_model_keeps_the_priors_that_it_began_with(tmp_path, monkeypatch):
    save(learned_with_other_priors(monkeypatch, 0), tmp_path / "model")
    model = load(tmp_path / "model")
    model.learn_array(*wide_rows(40, seed=1))
    assert set(model._core.state.experts.least_squares.priors) <= set(least_squares.PRIORS)


def test_the_leaky_member_of_wide_rows_drifts_back_to_a_larger_prior():
    """It has to follow when labels change; few rows should not fit noise."""
    model = classifier(**WIDE, rule="frozen")
    model.learn_array(*wide_rows(40, 0))
    own = model._core.state.experts.least_squares
    leaky = own.leaks >= recursive_steps.LASTING_LEAK
    assert leaky.any()
    assert (own.priors[leaky] == least_squares.PRIORS[0]).all()
    assert own.projectors[np.flatnonzero(leaky)[0]].diagonal().max() < least_squares.PRIORS[0]


def test_models_that_began_with_other_priors_are_merged(monkeypatch):
    parts = [learned_with_other_priors(monkeypatch, seed) for seed in (0, 1)]
    largest = classifier(**WIDE, rule="frozen")
    largest.learn_array(*wide_rows(80, seed=2))
    merged = merge([*parts, largest])
    P = symmetric_matrix(merged._core.state.experts.least_squares)
    assert np.linalg.eigvalsh(P).min() > 0.0
    assert np.diag(P).max() < least_squares.WIDE_PRIORS[1]


def symmetric_matrix(members):
    """Return the projector of the first member, with the changes that it has not taken in."""
    changes = members.pending[0, : members.counters.n_pending].astype(float)
    n = changes.shape[1]
    upper = np.triu(members.projectors[0, :, :n]).astype(float)
    return upper + np.triu(upper, 1).T - changes.T @ changes


def test_a_row_that_waited_and_is_not_finite_reaches_no_weight():
    X, y = wide_rows(120)
    model = classifier(**WIDE)
    model.learn_array(X, y)
    own = model._core.state.experts.least_squares
    while own.n_waiting[0] != 3:
        model.learn_array(X[:1], y[:1])
    own.waiting[1] = np.inf
    skipped = model.skipped_updates
    n = len(own.waiting)
    model.learn_array(X[:n], y[:n])
    assert model.skipped_updates == skipped + 1
    for name in ("weights", "pending", "projectors"):
        assert np.isfinite(getattr(own, name)).all()


def test_what_has_nearly_vanished_in_the_matrix_of_rows_that_wait_becomes_zero():
    X, y = wide_rows(600)
    model = classifier(**WIDE, rule="frozen", leaks=(0.0, 0.1))
    model.learn_array(X[:100], y[:100])
    state = model._core.state
    state.net.weights[:, :2] = 0.0  # two neurons that never fire
    members = state.experts.least_squares
    members.pending[1, :, :2] = 0.0
    members.waiting[:, :2] = 0.0
    members.projectors[1, :2] = 0.0
    members.projectors[1, :, :2] = 0.0
    members.projectors[1, 0, 1] = 1e-25
    model.learn_array(X[100:300], y[100:300])
    assert members.projectors[1, 0, 1] == 0.0
    assert members.projectors[1, 0, 0] > 0.0


def test_the_target_is_that_of_the_row_at_hand_where_its_step_is_not_sound():
    X, y = wide_rows(200)
    model = classifier(**WIDE)
    model.learn_array(X, y)
    model.learn_array(X[:1], y[:1])
    own = model._core.state.experts.least_squares
    while own.n_waiting[0] != len(own.waiting) - 1:
        model.learn_array(X[:1], y[:1])
    other = np.flatnonzero(y != y[0])[0]
    model.predict_one(dict(enumerate(X[other])))
    firing = int(np.argmax(model._core.scratch.clean.traces[:12]))
    own.waiting[:, firing] = 0.0  # no row before fires this neuron,
    own.pending[:, :, firing] = 0.0
    own.projectors[:, firing] = 0.0
    own.projectors[:, :, firing] = 0.0
    own.projectors[:, firing, firing] = -1e6  # and along it the projector is not positive
    skipped = model.skipped_updates
    model.learn_array(X[other : other + 1], y[other : other + 1])
    assert model.skipped_updates == skipped + 1
    target = model._core.scratch.target[: len(model.classes)]
    assert model.classes[int(np.argmax(target))] == y[other]
