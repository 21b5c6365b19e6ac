"""The event loop by windows gives the spikes of the event loop from arrival to arrival."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import random_array

from loco_stream import Network
from tests.helpers.nets import random_spikes


def by_arrivals(net):
    """Return a net with the same description whose layers run from arrival to arrival."""
    other = Network(net._layers, net._dtype)
    for layer in other._net.layers:
        assert layer.windowed
        layer.windowed = False
        layer.n_buckets = 256
        layer.per_ms = 10.0
        layer.reset()
    return other


def balanced(rng, n, delays, **options):
    """Return a net of `n` neurons that excite and inhibit each other, 10 % of pairs connected."""
    recurrent = random_array(
        (n, n), density=0.1, rng=rng, data_sampler=lambda size: rng.normal(0.02, 0.15, size)
    )
    times = recurrent.copy()
    grid = rng.integers(1, 21, len(times.data)) * 0.1
    spread = rng.uniform(0.05, 3.0, len(times.data))
    times.data[:] = {"grid": grid, "spread": spread, "same": np.float64(0.7)}[delays]
    return Network.from_weights(
        [rng.normal(0.2, 0.5, (10, n))],
        delays=[rng.choice([0.0, 0.3, 2.5], (10, n))],
        recurrent=recurrent,
        recurrent_delays=times,
        dtype="float64",
        **options,
    )


def assert_same(a, b):
    """Each neuron fires at the same times; the order of equal times may depend on rounding."""
    np.testing.assert_array_equal(np.bincount(a.indices), np.bincount(b.indices))
    first, second = (record.times[np.lexsort((record.times, record.indices))] for record in (a, b))
    np.testing.assert_allclose(first, second, atol=1e-9, rtol=0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([3, 60, 200]),
    delays=st.sampled_from(["grid", "spread", "same"]),
    drive=st.sampled_from([0.0, 0.9, 1.1, 2.5]),
    refractory=st.sampled_from([0.0, 2.0]),
    reset=st.sampled_from(["subtract", "zero"]),
    grid=st.booleans(),
    carry=st.booleans(),
)
def test_both_event_loops_give_the_same_spikes(
    seed, n, delays, drive, refractory, reset, grid, carry
):
    # Where neurons fire without input and delays add up, rounding decides whether two arrivals
    # coincide; neurons left above threshold would fire once or twice.
    assume(not (drive > 1.0 and delays == "grid" and reset == "subtract"))
    rng = np.random.default_rng(seed)
    net = balanced(rng, n, delays, drive=drive, refractory=refractory, reset=reset)
    other = by_arrivals(net)
    spikes = random_spikes(rng, 10, 100, 20, grid)
    initial = [rng.uniform(-0.5, 1.3, n)]  # some above threshold
    assert_same(net.run(*spikes, 20.0, initial=initial), other.run(*spikes, 20.0, initial=initial))
    if carry:
        assert_same(net.run(*spikes, 20.0, carry=True), other.run(*spikes, 20.0, carry=True))


def test_order_within_a_window_is_respected():
    """The neuron fires after two excitations, unless inhibition comes before the second."""
    weights = [[[0.9], [-0.9], [0.9]]]
    net = Network.from_weights(weights, delays=[[[0.01], [0.01], [0.01]]], dtype="float64")
    assert net._net.layers[0].windowed
    assert len(net.run([1.0, 1.05, 1.1], [0, 2, 1], 5.0)) == 1
    assert len(net.run([1.0, 1.05, 1.1], [0, 1, 2], 5.0)) == 0
    assert len(net.run([1.0, 1.05, 1.1], [1, 0, 2], 5.0)) == 0


def test_the_queue_grows_with_the_arrivals_of_a_window():
    """One spike reaches more neurons than the queue has room for."""
    n = 5000
    net = Network.from_weights([np.full((2, n), 0.6)], delays=0.3, dtype="float64")
    record = net.run([1.0, 1.1], [0, 1], 5.0)
    assert record.indices.tolist() == list(range(n))
    np.testing.assert_allclose(record.times, 1.4)


def test_very_short_delays_beside_long_ones_use_the_other_loop():
    """Windows of a millionth of the longest delay would nearly all be empty."""
    ring = np.array([[0.0, 1.5], [1.5, 0.0]])
    delays = np.array([[1.0, 1e-5], [50.0, 1.0]])
    net = Network.from_weights(
        [[[1.5, 0.0]]], recurrent=ring, recurrent_delays=delays, dtype="float64"
    )
    assert not net._net.layers[0].windowed
    np.testing.assert_allclose(
        net.run([1.0], [0], 60.0).times, [1.0, 1.0 + 1e-5, 51.0 + 1e-5, 51.0 + 2e-5], rtol=1e-12
    )


@pytest.mark.parametrize("tau", [0.5, 20.0])
def test_long_silence_does_not_overflow(tau):
    net = Network.from_weights([[[1.0]]], delays=0.25, tau=tau, dtype="float64")
    np.testing.assert_allclose(net.run([0.0, 9e5], [0, 0], 1e6).times, [0.25, 9e5 + 0.25])
