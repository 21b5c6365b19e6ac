"""A `NeuronModel` is all that simulator and estimators know of a model, also from outside."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, Network, neurons
from loco_stream.errors import ConfigError
from loco_stream.neurons._spikes import MOST_SPIKES
from tests.helpers import naive, toy_neuron
from tests.helpers.jitted import jitted


@pytest.fixture(scope="module", autouse=True)
def counter():
    """Return the toy, which another test of this process may have registered."""
    name = toy_neuron.MODEL.name
    return neurons.find(name) if name in neurons.names() else neurons.register(toy_neuron.MODEL)


def test_the_package_has_three_models():
    assert neurons.names()[:3] == ("lif", "alif", "izhikevich")
    assert neurons.find("alif").name == "alif"


@pytest.mark.slow
@pytest.mark.parametrize("delays", [None, 1.5])
def test_a_registered_model_runs_in_a_network(delays):
    rng = np.random.default_rng(0)
    weights = [rng.normal(0.2, 0.5, (6, 4)), rng.normal(0.4, 0.5, (4, 3))]
    times = np.sort(rng.uniform(0, 50, 80))
    indices = rng.integers(0, 6, 80)
    net = Network.from_weights(weights, neuron="counter", jump=1.3, delays=delays, dtype="float64")
    assert "neuron='counter'" in repr(net)
    record = net.run(times, indices, 60.0, membranes={0: [0, 2]}, membrane_step=10.0)
    sent = (times, indices)
    late = 0.0 if delays is None else delays
    for layer, matrix in enumerate(weights):
        total = np.zeros(matrix.shape[1])
        fired = []
        trace = []
        samples = list(record.membrane_times)
        for t in np.unique(sent[0]):
            while samples and samples[0] < t + late:
                samples.pop(0)
                trace.append(total.copy())
            total += 1.3 * matrix[sent[1][sent[0] == t]].sum(axis=0)
            fired += [(t + late, i) for i in np.flatnonzero(total >= 1.0)]
            total[total >= 1.0] = 0.0
        sent = [np.array(x) for x in zip(*[f for f in fired if f[0] <= 60.0], strict=True)]
        assert len(sent[0]) > 5
        np.testing.assert_allclose(record.of(layer)[0], sent[0], rtol=1e-12)
        np.testing.assert_array_equal(record.of(layer)[1], sent[1])
        if layer == 0:
            np.testing.assert_allclose(
                record.membranes[0], np.array(trace + [total] * len(samples))[:, [0, 2]]
            )


LEARN = """
import numpy as np
from loco_stream import LOCOClassifier, neurons
from tests.helpers import toy_neuron
neurons.register(toy_neuron.MODEL)
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int).tolist()
model = LOCOClassifier(hidden_sizes=(8, 6), neuron="counter", seed=1)
predicted = model.learn_predict_array(X, y)
assert model.spike_counts_.min() > 0
n_right = sum(a == b for a, b in zip(predicted[20:], y[20:]))
print(n_right, *model.predict_proba_array(X)[:, 0].tolist())
"""


def learn(**environment):
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", LEARN],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
    )
    return done.stdout


@pytest.mark.slow
def test_a_registered_model_learns_interpreted():
    assert int(learn(NUMBA_DISABLE_JIT="1").split()[0]) >= 30


@pytest.mark.slow
def test_a_registered_model_learns_the_same_compiled_and_is_not_cached(tmp_path):
    assert learn(LOCO_STREAM_CACHE_DIR=str(tmp_path)) == learn(NUMBA_DISABLE_JIT="1")
    assert not any(b"toy_neuron" in path.read_bytes() for path in tmp_path.rglob("*.nb?"))


def a_network(neuron):
    return Network.from_weights([[[1.0]]], neuron=neuron)


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor, a_network])
@pytest.mark.parametrize("neuron", ["hodgkin", None, ["lif"]])
def test_an_unknown_model_is_refused(make, neuron):
    expected = r"`neuron` must be one of 'lif', 'alif', 'izhikevich', .*'counter', got "
    with pytest.raises(ConfigError, match=expected):
        make(neuron=neuron)


@pytest.mark.slow  # compiled anew in every process
def test_the_estimator_computes_traces_from_the_spike_times_of_a_registered_model():
    operations = toy_neuron.MODEL.window
    times = np.zeros(MOST_SPIKES)
    assert operations.traces is None
    X = np.random.default_rng(0).normal(size=(30, 3))
    model = LOCOClassifier(hidden_sizes=(8,), neuron="counter", seed=1)
    model.learn_array(X, (X[:, 0] > 0).astype(int))
    model.predict_one(dict(enumerate(X[0])))
    clean = model._core.scratch.clean
    gain = model._core.state.net.gain[0]
    for drive, trace in zip(gain * clean.drives, clean.traces, strict=False):
        n = jitted(operations.times)(
            toy_neuron.Counter(), float(drive), 20.0, 20.0, np.zeros((2, 8)), times
        )
        assert n == max(0, int(drive))
        np.testing.assert_allclose(times[:n], 20.0 / drive * np.arange(1, n + 1))
        assert trace == pytest.approx(naive.trace(times[:n], 20.0, 20.0), rel=1e-4, abs=1e-6)
    when, who = model.last_spikes_
    assert len(when) == clean.spikes[0] > 0
    assert np.all(np.diff(when) >= 0.0)
    assert set(who.tolist()) == set(np.flatnonzero(clean.traces[:8]).tolist())


@pytest.mark.slow
def test_a_model_without_window_operations_runs_only_in_networks():
    class Sparse(NamedTuple):
        jump: float = 1.0

    neurons.register(replace(toy_neuron.MODEL, name="sparse", kind=Sparse, window=None))
    assert len(Network.from_weights([[[1.0]]], neuron="sparse").run([1.0], [0], 2.0)) == 1
    with pytest.raises(ConfigError, match=r"must be a model with window .*, got 'sparse'"):
        LOCOClassifier(neuron="sparse")


def test_parameters_of_a_registered_model_are_checked():
    with pytest.raises(ConfigError, match=r"`jump` must be above 0, got -1.0"):
        Network.from_weights([[[1.0]]], neuron="counter", jump=-1.0)
    expected = r"parameters of neuron='counter' must be among: jump, got leap"
    with pytest.raises(ConfigError, match=expected):
        Network.from_weights([[[1.0]]], neuron="counter", leap=1.0)


def test_capabilities_are_declared():
    assert neurons.find("lif").clocked
    assert neurons.find("lif").nir_node == "LIF"
    assert neurons.find("lif").window.options == ("reset", "dt")
    assert neurons.find("lif").window.as_network
    for name in ("alif", "izhikevich", "counter"):
        model = neurons.find(name)
        assert not model.clocked
        assert model.nir_node is None
        assert model.window.options == ()
        assert not model.window.as_network


def test_the_lif_window_takes_its_options():
    settings = neurons.find("lif").window.settings
    assert settings(20.0) == (False, 0.0)
    assert settings(20.0, reset="zero", dt=0.5) == (True, 0.5)
    assert settings(20.0, reset="subtract", dt=None) == (False, 0.0)


class NoDefault(NamedTuple):
    jump: float


class LIF(NamedTuple):
    jump: float = 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "lif"}, r"`name` of a neuron model must not be one of 'lif', .*, got 'lif'"),
        ({"name": "two words"}, r"`name` .* must be a Python identifier, got 'two words'"),
        ({"name": "second"}, r"`kind` of the neuron model 'second' must be .*, got .*Counter"),
        ({"name": "no_default", "kind": NoDefault}, r"with a default for every field"),
        ({"name": "not_a_tuple", "kind": int}, r"must be a NamedTuple .*, got .*int"),
        # code is linked by the names of types: neurons of this kind would run as the package's LIF
        ({"name": "second_lif", "kind": LIF}, r"whose name no other model's kind has, got .*LIF"),
    ],
)
def test_an_ambiguous_definition_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        neurons.register(replace(toy_neuron.MODEL, **change))
