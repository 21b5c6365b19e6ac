"""Whether a row is like the recent rows or like earlier ones."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._learner.readout import past_rows
from tests.helpers.jitted import jitted_module
from tests.helpers.models import fresh_group
from tests.helpers.naive_fixed import Discriminant, PastRows

PastState = past_rows.PastState
past_rows = jitted_module(past_rows)
N = 6


class Settings:
    n_fixed = N
    n_fields = 0
    batch = 4


def run(X, y):
    """Return kernel state and twin after rows of two classes, having compared every share."""
    own = fresh_group(PastState, fixed_outputs=N)
    lda = Discriminant(Settings, 0, 2)
    twin = PastRows(lda)
    for i, (x, label) in enumerate(zip(X.astype(np.float32), y, strict=True)):
        assert past_rows.earlier_row_probability(own, x, past_rows.THRESHOLD) == pytest.approx(
            twin.share(x, past_rows.THRESHOLD), abs=1e-3
        )
        lda.rows[label].append(x.astype(float))
        past_rows.learn_recent(own, x, float(i))
        if i + 1 >= past_rows.FIRST_TURN and (i + 1) % past_rows.TURN_EVERY == 0:
            mean = np.concatenate([rows for rows in lda.rows if rows]).mean(axis=0)
            scatter, total = lda.scatter()
            turned = np.linalg.solve(scatter, own.recent - mean)
            floats = (mean.astype(np.float32), turned.astype(np.float32))
            past_rows.update_direction(own, *floats, total)
        twin.learn(x.astype(float), i)
    return own, twin


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    return np.abs(rng.normal(size=(n, N))) + y[:, None], y


def test_shares_equal_the_twin_while_inputs_change():
    X, y = rows(900)
    X[500:, :2] += 2.0
    own, _ = run(X, y)
    old = [
        past_rows.earlier_row_probability(own, x, past_rows.THRESHOLD)
        for x in X[:200].astype(np.float32)
    ]
    new = [
        past_rows.earlier_row_probability(own, x, past_rows.THRESHOLD)
        for x in X[-200:].astype(np.float32)
    ]
    assert np.mean(old) > 0.6
    assert np.mean(new) < 0.1


def test_where_inputs_stay_no_row_is_an_earlier_one():
    X, y = rows(1500)
    own, _ = run(X, y)
    fresh, _ = rows(300, seed=1)
    assert (
        np.mean(
            [
                past_rows.earlier_row_probability(own, x, past_rows.THRESHOLD)
                for x in fresh.astype(np.float32)
            ]
        )
        < 0.05
    )


def test_numbers_that_are_not_finite_change_nothing():
    X, y = rows(500)
    own, _ = run(X, y)
    before = own.direction.copy()
    for turned in (np.full(N, np.nan, np.float32), np.zeros(N, np.float32)):
        past_rows.update_direction(own, X[0].astype(np.float32), turned, 100.0)
    assert np.array_equal(own.direction, before)
    assert (
        past_rows.earlier_row_probability(own, np.full(N, np.inf, np.float32), past_rows.THRESHOLD)
        == 0.0
    )


def test_what_forgets_least_has_the_answer_for_an_earlier_row():
    answer = np.array([0.9, 0.1, 0.0])
    discriminant = np.array([0.1, 0.9, 0.0])
    member = np.array([0.3, 0.7, 0.0])
    past_rows.blend_earlier_prediction(0.5, discriminant, member, 2, answer)
    assert answer.tolist() == pytest.approx([0.52, 0.48, 0.0])


def test_earlier_inputs_are_kept_where_no_class_is_ever_absent():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 20))
    w = rng.normal(size=20)
    turned = rng.permutation(20)
    y = (X @ w > 0).astype(int)
    X[1500:] = X[1500:][:, turned] + 0.7
    model = LOCOClassifier(seed=1)
    model.learn_array(X, y)
    anywhere = model.predict_array(X[:1500], in_stream=False) == y[:1500]
    by_evidence = model.predict_array(X[:1500]) == y[:1500]
    next_row = model.predict_array(X[:1500], in_stream=True) == y[:1500]
    assert anywhere.mean() > next_row.mean()
    assert by_evidence.mean() > next_row.mean()


def test_retention_decides_how_much_a_row_has_to_look_like_earlier_ones():
    X, y = rows(900)
    X[500:, :2] += 2.0
    own, _ = run(X, y)
    shares = [
        np.mean(
            [
                past_rows.earlier_row_probability(own, x, threshold)
                for x in X[:200].astype(np.float32)
            ]
        )
        for threshold in (0.0, 1.0, 4.0)
    ]
    assert shares[0] > shares[1] > shares[2]
