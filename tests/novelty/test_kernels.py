"""Covers, tails and the score of a row, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._compiler.jit import entry
from loco_stream._novelty import alarms, covers, tails
from loco_stream._novelty.tails import N_FIGURES
from tests.helpers.naive_novelty import naive_cover, naive_tail


@entry
def cover_line(values, points, radius, gaps, sizes, distances):
    """Learn values one by one; write the size after each and its distance before."""
    size = 0
    for i in range(values.shape[0]):
        distances[i] = covers.nearest_on_line(points, size, values[i])
        size = covers.learn_line(points, size, radius, values[i], distances[i], gaps)
        sizes[i] = size


@entry
def cover_plane(rows, points, radius, gaps, sizes, distances):
    """Do the same with points of a plane."""
    size = 0
    for i in range(rows.shape[0]):
        x = rows[i, 0]
        y = rows[i, 1]
        distances[i] = covers.nearest_on_plane(points, size, x, y)
        size = covers.learn_plane(points, size, radius, x, y, distances[i], gaps)
        sizes[i] = size


@entry
def tail_of(distances, largest, tail, scores):
    """Score distances one by one before each is learned."""
    for i in range(distances.shape[0]):
        scores[i] = tails.tail_score(tail, distances[i])
        tails.learn_distance(largest, tail, distances[i])


@entry
def score_rows(scores, is_scored, out):
    """Write the score of each row."""
    for i in range(scores.shape[0]):
        out[i] = alarms.row_score(scores[i], is_scored, scores.shape[1])


@pytest.mark.parametrize("seed", range(4))
def test_a_cover_on_a_line_is_that_of_plain_python(seed):
    values = np.random.default_rng(seed).standard_t(2, size=300)
    points = np.zeros(12)
    radius = np.zeros(1)
    sizes = np.zeros(300, np.int64)
    distances = np.zeros(300)
    cover_line(values, points, radius, np.zeros(12), sizes, distances)
    expected = naive_cover([(v,) for v in values], 12, sorted)
    np.testing.assert_array_equal(sizes, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-12)
    assert radius[0] == pytest.approx(expected[2], rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_cover_on_a_plane_is_that_of_plain_python(seed):
    rows = np.random.default_rng(seed).normal(size=(300, 2))
    points = np.zeros((2, 12))
    radius = np.zeros(1)
    sizes = np.zeros(300, np.int64)
    distances = np.zeros(300)
    cover_plane(rows, points, radius, np.zeros(12), sizes, distances)
    expected = naive_cover([tuple(r) for r in rows], 12, list)
    np.testing.assert_array_equal(sizes, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-9, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=60))
def test_everything_seen_lies_within_the_radius_of_a_cover(values):
    points = np.zeros(8)
    radius = np.zeros(1)
    sizes = np.zeros(len(values), np.int64)
    cover_line(np.array(values), points, radius, np.zeros(8), sizes, np.zeros(len(values)))
    kept = points[: sizes[-1]]
    assert (np.diff(kept) >= 0.0).all()
    # a merged point may be as far away as the sum of the radii of all merges, which double at least
    worst = max(np.abs(kept - v).min() for v in values)
    assert worst <= 8.0 * radius[0] + 1e-9 * max(map(abs, values))


@pytest.mark.parametrize("kind", ["exponential", "equal", "rounded"])
def test_a_tail_is_that_of_plain_numpy(kind):
    distances = np.random.default_rng(3).exponential(size=3000)
    if kind == "equal":
        distances[:] = 1.0
        distances[2000] = 2.0
    elif kind == "rounded":
        distances = np.round(distances, 1)
    scores = np.zeros(3000)
    tail_of(distances, np.zeros(40), np.zeros(N_FIGURES), scores)
    np.testing.assert_allclose(scores, naive_tail(distances, 40), rtol=1e-9)
    assert scores.max() <= tails.MOST


def test_scores_of_an_exponential_tail_are_probabilities():
    distances = np.random.default_rng(4).exponential(size=100_000)
    scores = np.zeros(len(distances))
    tail_of(distances, np.zeros(200), np.zeros(N_FIGURES), scores)
    assert (scores[5000:] > 3.0).mean() == pytest.approx(1e-3, rel=0.4)


def test_the_score_of_a_row_is_the_mean_of_the_reciprocal_probabilities():
    scores = np.random.default_rng(5).uniform(0, 6, size=(50, 4))
    is_scored = np.array([True, False, True, True])
    out = np.zeros(50)
    score_rows(scores, is_scored, out)
    expected = np.maximum(np.log10((10.0 ** scores[:, is_scored]).mean(axis=1)), 0.0)
    np.testing.assert_allclose(out, expected, rtol=1e-9)
    score_rows(scores, np.zeros(4, bool), out)
    assert not out.any()
