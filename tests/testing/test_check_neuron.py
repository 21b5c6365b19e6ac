"""`check_neuron` accepts correct models and states what is wrong with others."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from loco_stream import neurons
from loco_stream.neurons import kernel
from loco_stream.testing import check_neuron
from tests.helpers import toy_neuron


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lif", "alif", "izhikevich"])
def test_the_models_of_the_package_pass(name):
    check_neuron(neurons.find(name))


@pytest.mark.slow
def test_a_model_from_outside_the_package_passes():
    check_neuron(toy_neuron.MODEL)


N_MODELS = 0


def broken(events=None, window=None, **changes):
    """Return the toy model with changes, under a name and a kind of its own."""
    global N_MODELS
    N_MODELS += 1

    kind = namedtuple(f"Broken{N_MODELS}", ["jump"], defaults=[1.0])
    model = replace(toy_neuron.MODEL, name=f"broken_{N_MODELS}", kind=kind)
    model = replace(model, window=replace(model.window, settings=lambda tau: kind()))
    if events:
        changes["events"] = replace(model.events, **events)
    if window:
        changes["window"] = replace(model.window, **window)
    return replace(model, **changes)


def fails(model, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_neuron(model)


def test_kernels_must_be_compiled():
    def receive(state, shared, i, weight, t):
        state[i].total += weight

    fails(broken(events={"receive": receive}), "`events.receive` must be compiled")


def test_a_taken_name_is_reported():
    fails(replace(broken(), name="lif"), "another model named 'lif' is registered")


def test_check_must_raise_config_error_only():
    def check(parameters):
        if parameters["jump"] <= 0.0:
            raise ValueError("no")

    fails(broken(check=check), "`check` must raise ConfigError for jump = -1e")
    fails(broken(parameters={"jump": np.nan}), "default of `jump` must be a finite number")


def test_the_state_needs_the_time_of_the_last_spike():
    dtype = neurons.struct_dtype("total", "threshold")

    def start(v, *_):
        return np.zeros(len(v), dtype), np.zeros(1, toy_neuron.SHARED)

    fails(broken(start=start), "the state must have the field `last_spike`")
    fails(
        broken(start=lambda v, *_: (np.zeros((len(v), 3)), np.zeros(1, toy_neuron.SHARED))),
        r"`start` must return state as \(5,\) records",
    )


@pytest.mark.slow
def test_shift_must_move_times_and_nothing_else():
    def shift(state, shared, duration):
        state["total"] -= 0.1

    fails(broken(shift=shift), "`shift` must not change membranes")


@kernel
def no_reset(state, shared, i, t):
    state[i].total = np.inf
    return False


@pytest.mark.slow
def test_membranes_must_stay_finite():
    fails(broken(events={"reset": no_reset}), "membranes must be finite")


@kernel
def too_late(parameters, drive, window, tau, scratch, times):
    n = 0
    while n < times.shape[0] and n + 1 <= drive:
        n += 1
        times[n - 1] = n * 10.0
    return n


@kernel
def silent(parameters, drive, window, tau, scratch, times):
    return 0


@pytest.mark.slow
def test_spike_times_of_a_window_are_checked():
    fails(broken(window={"times": too_late}), "spike times must ascend within the window")
    fails(broken(window={"times": silent}), "a drive of 3 must cause about as many spikes")
    fails(
        broken(window={"settings": lambda tau: toy_neuron.Counter()}),
        r"`window.settings` must return a Broken\d+",
    )


def a_kernel_that_knows_whether_it_is_compiled():
    from numba.extending import overload

    def is_compiled():
        return 0.0

    @overload(is_compiled)
    def _():
        return lambda: 1.0

    @kernel
    def receive(state, shared, i, weight, t):
        state[i].total += shared.jump * weight + is_compiled()

    return receive


@pytest.mark.slow
def test_compiled_and_interpreted_results_are_compared():
    receive = a_kernel_that_knows_whether_it_is_compiled()
    fails(broken(events={"receive": receive}), "the same bytes compiled and interpreted")
