"""Gains of the hidden layers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner import hidden
from tests.helpers import naive
from tests.helpers.jitted import jitted
from tests.helpers.models import untrained

settle_gains = jitted(hidden.settle_gains)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gains_give_the_drives_their_size_and_then_stay(seed):
    rng = np.random.default_rng(seed)
    net = untrained(1, 1, hidden_sizes=(3, 2)).model.state.net
    twins = [(0.0, 6.0)] * 2
    for t in range(20):
        drives = rng.normal(size=6).astype(np.float32)
        settle_gains(net, drives, 6.0, t)
        parts = (drives[:3], drives[3:5])
        pairs = zip(twins, parts, strict=True)
        twins = [naive.settle_gain(*twin, part, t, 6.0) for twin, part in pairs]
    assert np.allclose(np.transpose([net.drive_power, net.gain]), twins)
    before = net.gain.copy(), net.drive_power.copy()
    settle_gains(net, drives, 6.0, int(hidden.SETTLE))
    assert np.array_equal(before, (net.gain, net.drive_power))


def test_a_silent_layer_keeps_its_gain_and_a_faint_one_gets_the_largest():
    net = untrained(1, 1, hidden_sizes=2).model.state.net
    settle_gains(net, np.zeros(2, np.float32), 6.0, 0)
    assert net.gain[0] == 6.0
    settle_gains(net, np.float32([1e-20, 0.0]), 6.0, 1)
    assert net.gain[0] == hidden.MAX_GAIN
