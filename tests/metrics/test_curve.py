"""A curve has a bounded number of points, whatever the length of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loco_stream.metrics._curve import Curve


@given(st.lists(st.integers(1, 50), min_size=1, max_size=400), st.integers(2, 64))
def test_bounded_sorted_and_never_without_its_newest_point(steps, most):
    curve = Curve(most)
    at = 0
    for step in steps:
        curve.add([at, at / 10])
        at += step
        ats = [point[0] for point in curve.points]
        assert len(ats) <= most
        assert ats[-1] == at - step
        assert ats == sorted(set(ats))
    assert ats[0] == 0


@pytest.mark.parametrize("n", [512, 513, 700, 100_000])
def test_added_at_the_multiples_of_the_stride_they_stay_there(n):
    curve = Curve(512)
    for at in range(1, n + 1):
        if at % curve.stride == 0:
            curve.add((at, 0.0))
    assert all(point[0] % curve.stride == 0 for point in curve.points[:-1])
    assert 256 <= len(curve.points) <= 512


def test_two_points_at_one_place_are_one():
    curve = Curve()
    curve.add([3, 0.1])
    curve.add([3, 0.2])
    assert curve.points == [[3, 0.2]]
