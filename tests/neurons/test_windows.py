"""In a window each model fires as a neuron of `Network` under a constant drive, up to rounding."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from loco_stream import Network, neurons
from loco_stream.neurons import _spikes as spikes
from loco_stream.neurons._spikes import MOST_SPIKES
from loco_stream.neurons.izhikevich import Izhikevich
from tests.helpers import naive, naive_network
from tests.helpers.jitted import jitted, jitted_module

trace_of = jitted_module(spikes).trace_of
DRIVES = st.floats(-5.0, 60.0, width=32)
WINDOWS = st.sampled_from([5.0, 20.0, 100.0])
TAUS = st.floats(2.0, 1e4)


@cache
def window_of(name):
    return neurons.find(name).window


def times_of(name, drive, window=20.0, tau=20.0, parameters=None, n_room=MOST_SPIKES):
    """Return the spike times that the window kernel writes."""
    operations = window_of(name)
    times = np.full(n_room + 1, -7.0)
    n = jitted(operations.times)(
        parameters or operations.settings(tau),
        drive,
        window,
        tau,
        np.full((2, 8), np.nan),
        times[:n_room],
    )
    assert times[n_room] == -7.0
    return times[:n]


def lif_trace(parameters, drive, window, tau, tau_trace):
    """Return the trace that a drive leaves, and the number of spikes."""
    values = np.array([drive], np.float32)
    n = jitted(window_of("lif").traces)(
        parameters,
        values,
        window,
        tau,
        tau_trace,
        math.exp(-window / tau_trace),
        np.full((2, 8), np.nan),
        np.zeros(MOST_SPIKES),
    )
    return float(values[0]), n


def simulated(neuron, window, tau, drive, **options):
    """Return the spike times of one neuron of `Network` with the same drive."""
    net = Network.from_weights(
        [[[0.0]]],
        tau=tau,
        drive=naive.level(drive, window, tau),
        reset="zero",
        neuron=neuron,
        dtype="float64",
        **options,
    )
    return net.run([], [], window).times[:MOST_SPIKES]


def is_edge(drive, window, tau):
    """Return whether rounding decides on a spike: the level is close to threshold, or the spike
    close to the end of the window.
    """
    current = naive.level(drive, window, tau)
    if abs(current - 1.0) < 1e-6:
        return True
    if current < 1.0:
        return False
    place = window / (-tau * math.log(1.0 - 1.0 / current))
    return place > 1e6 or abs(place - round(place)) < 1e-6


@settings(max_examples=150, deadline=None)
@given(DRIVES, WINDOWS, TAUS)
def test_lif_times_equal_the_twin_and_network(drive, window, tau):
    assume(not is_edge(drive, window, tau))
    times = times_of("lif", drive, window, tau)
    np.testing.assert_allclose(times, naive.lif_times(drive, window, tau), rtol=1e-8)
    if len(times) < MOST_SPIKES:  # `Network` has no such bound
        np.testing.assert_allclose(times, simulated("lif", window, tau, drive), rtol=1e-8)


@settings(max_examples=150, deadline=None)
@given(DRIVES, WINDOWS, TAUS, st.sampled_from([None, 3.0, 20.0, 500.0]))
def test_the_closed_form_of_the_lif_trace_equals_the_sum_over_spikes(drive, window, tau, tau_trace):
    tau_trace = tau if tau_trace is None else tau_trace
    assume(not is_edge(drive, window, tau))
    trace, n = lif_trace(window_of("lif").settings(tau), drive, window, tau, tau_trace)
    times = naive.lif_times(drive, window, tau)
    assert n == len(times)
    assert trace == pytest.approx(naive.trace(times, window, tau_trace), rel=1e-6, abs=1e-9)
    padded = np.concatenate([times, [np.nan]])
    assert trace_of(padded, n, window, tau_trace) == pytest.approx(trace, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("drive", [math.nan, -math.inf, math.inf, -3e38, 3e38, 0.5, 0.0])
@pytest.mark.parametrize("tau", [1e-3, 20.0, 1e6])
def test_a_trace_is_finite_for_every_drive(drive, tau):
    trace, n = lif_trace(window_of("lif").settings(tau), drive, 20.0, tau, tau)
    assert 0.0 <= trace <= 2.0 * MOST_SPIKES
    assert 0 <= n <= MOST_SPIKES


def test_traces_of_many_neurons_are_those_of_each():
    parameters = window_of("lif").settings(20.0)
    drives = np.linspace(-3.0, 40.0, 37, dtype=np.float32)
    values = drives.copy()
    late = math.exp(-1.0)
    room = np.zeros((2, 8))
    times = np.zeros(MOST_SPIKES)
    n = jitted(window_of("lif").traces)(parameters, values, 20.0, 20.0, 20.0, late, room, times)
    alone = [lif_trace(parameters, drive, 20.0, 20.0, 20.0) for drive in drives]
    assert values.tolist() == [trace for trace, _ in alone]
    assert n == sum(count for _, count in alone)


def test_a_trace_is_continuous_in_the_drive():
    parameters = window_of("lif").settings(20.0)
    drives = np.linspace(0.0, 15.0, 15001)
    traces, counts = zip(
        *(lif_trace(parameters, drive, 20.0, 20.0, 20.0) for drive in drives), strict=True
    )
    assert set(counts) >= set(range(15))
    assert np.abs(np.diff(traces)).max() < 3e-3
    assert traces[0] == 0.0


def test_a_drive_of_n_thresholds_causes_about_n_spikes():
    for drive in (3.0, 6.0, 12.0):
        assert abs(len(times_of("lif", drive)) - drive) <= 1.0


def test_spikes_are_bounded_by_the_room():
    for name in ("lif", "alif", "izhikevich"):
        assert len(times_of(name, 1000.0)) == MOST_SPIKES
        assert len(times_of(name, 1000.0, n_room=3)) == 3
        assert len(times_of(name, math.nan)) == 0
        assert len(times_of(name, -math.inf)) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-5.0, 40.0),
    st.sampled_from([10.0, 20.0, 60.0]),
    st.floats(4.0, 500.0),
    st.floats(0.0, 1.0),
)
def test_alif_times_equal_network(drive, window, tau, adapt):
    assume(abs(naive.level(drive, window, tau) - 1.0) > 1e-3)
    parameters = window_of("alif").settings(tau)._replace(adapt=adapt)
    assert parameters.tau_adapt >= tau
    times = times_of("alif", drive, window, tau, parameters)
    expected = simulated("alif", window, tau, drive, tau_adapt=parameters.tau_adapt, adapt=adapt)
    both = min(len(times), len(expected))
    np.testing.assert_allclose(times[:both], expected[:both], rtol=1e-8)
    longer = np.concatenate([times[both:], expected[both:]])
    assert len(longer) <= 1  # rounding decides on a spike at the end of the window
    np.testing.assert_allclose(longer, window, rtol=1e-8)


@pytest.mark.parametrize("drive", [2.0, 6.0, 15.0])
def test_alif_times_equal_the_twin_and_intervals_grow(drive):
    parameters = window_of("alif").settings(20.0)
    times = times_of("alif", drive)
    twin, _ = naive_network.run_layer(
        np.zeros((1, 1)),
        [],
        [],
        20.0,
        neuron="alif",
        tau=20.0,
        reset="zero",
        drive=naive.level(drive, 20.0, 20.0),
        **parameters._asdict(),
    )
    np.testing.assert_allclose(times, twin[:MOST_SPIKES], rtol=1e-9)
    assert np.all(np.diff(times, 2) > 0.0)
    plain = times_of("lif", drive)
    assert times[0] == pytest.approx(plain[0])
    assert len(times) < len(plain) or len(times) == 1


def from_rest(drive, parameters, window):
    """Return the spike times of the twin, at rest without current before the window."""
    twin = naive_network.Quadratic(
        1,
        parameters.a,
        parameters.b,
        parameters.c,
        parameters.d,
        parameters.peak,
        drive * parameters.drive,
    )
    twin.v[:] = parameters.rest
    twin.u[:] = parameters.b * parameters.rest
    twin.step = 5e-3
    times = []
    while twin.now < window:
        when, who = twin.next_spike(twin.now, window)
        if who:
            twin.reset_neuron(0, when)
            times.append(when)
    return np.array(times[:MOST_SPIKES])


@pytest.mark.slow
@pytest.mark.parametrize("drive", [-1.0, 0.3, 0.8, 2.0, 6.3, 14.0])
def test_izhikevich_times_equal_the_twin(drive):
    exact = times_of("izhikevich", drive, 40.0, parameters=Izhikevich(tolerance=1e-7))
    expected = from_rest(drive, Izhikevich(), 40.0)
    np.testing.assert_allclose(exact, expected, atol=1e-3)
    learner = times_of("izhikevich", drive, 40.0)  # at the learner's tolerance
    np.testing.assert_allclose(learner, expected, atol=0.2)


@pytest.mark.parametrize("drive", [0.8, 2.0, 6.3, 14.0])
def test_izhikevich_times_equal_network(drive):
    parameters = Izhikevich(tolerance=1e-8)
    net = Network.from_weights(
        [[[0.0]]],
        neuron="izhikevich",
        drive=drive * parameters.drive,
        tolerance=parameters.tolerance,
        dtype="float64",
    )
    times = net.run([], [], 40.0, initial=[np.array([parameters.rest])]).times
    np.testing.assert_allclose(
        times_of("izhikevich", drive, 40.0, parameters=parameters), times[:MOST_SPIKES], atol=1e-5
    )
    assert len(times) > 0


def test_the_rest_of_izhikevich_neurons_is_a_fixed_point():
    parameters = Izhikevich()
    assert parameters.rest == pytest.approx(
        float(neurons.izhikevich.rest_potential(parameters.b, 0.0)), abs=1e-9
    )


@pytest.mark.parametrize("name", ["lif", "alif", "izhikevich"])
def test_a_stronger_drive_causes_earlier_and_no_fewer_spikes(name):
    runs = [times_of(name, drive, 40.0) for drive in np.linspace(0.8, 18.0, 30)]
    for weak, strong in pairwise(runs):
        assert len(strong) >= len(weak)
        assert np.all(strong[: len(weak)] <= weak + 1e-9)
    assert all(np.all(np.diff(times) > 0.0) for times in runs)


@given(drive=DRIVES, tau=TAUS, steps=st.integers(1, MOST_SPIKES), reset_zero=st.booleans())
def test_on_a_grid_neurons_fire_at_the_end_of_the_step(drive, tau, steps, reset_zero):
    parameters = neurons.find("lif").kind(reset_zero=reset_zero, dt=20.0 / steps)
    level = naive.level(drive, 20.0, tau)
    v = 0.0
    expected = []
    for step in range(1, steps + 1):
        v = level + (v - level) * math.exp(-parameters.dt / tau)
        assume(abs(v - 1.0) > 1e-9)
        if v >= 1.0:
            expected.append(step * parameters.dt)
            v = 0.0 if reset_zero else v - 1.0
    np.testing.assert_array_equal(times_of("lif", drive, tau=tau, parameters=parameters), expected)
    trace, n = lif_trace(parameters, drive, 20.0, tau, 20.0)
    assert n == len(expected)
    assert trace == pytest.approx(
        sum(2 * (math.exp(t / 20 - 1) - math.exp(2 * t / 20 - 2)) for t in expected)
    )
