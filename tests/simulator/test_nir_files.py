"""Nets are exported to NIR files and imported from them with the same spikes."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from loco_stream import Network
from loco_stream.errors import ConfigError, InputError, LocoStreamError
from tests.helpers.digits_net import (
    DT,
    STEPS,
    TRAINED,
    constant_currents,
    digits,
    predictions,
    trained,
)

nir = pytest.importorskip("nir")
DATA = Path(__file__).parents[1] / "data" / "nir"
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers" / "nir_peers.py"
PEERS = Path(os.environ.get("PEERS", "out/peers")) / "simulators" / "bin" / "python"


@pytest.fixture(scope="module")
def model():
    return trained()


def random_net(dtype="float64", **options):
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=(12, 20)) / 3, rng.normal(size=(20, 6)) / 3]
    return Network.from_weights(weights, tau=[15.0, 30.0], reset="zero", dtype=dtype, **options)


def random_spikes(steps=80):
    return np.random.default_rng(5).random((steps, 12)) < 0.2


def events(raster, dt):
    step, neuron = np.nonzero(raster)
    return step * dt, neuron


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_run_clocked_equals_run_for_spikes_on_the_grid(reset):
    rng = np.random.default_rng(4)
    net = Network.from_weights(
        [rng.normal(size=(12, 20)) / 3, rng.normal(size=(20, 6)) / 3], reset=reset, dtype="float64"
    )
    spikes = random_spikes()
    record = net.run(*events(spikes, 1.0), 80.0)
    for layer, raster in enumerate(net.run_clocked(spikes, 1.0)):
        times, indices = record.of(layer)
        assert len(times) > 10
        assert sorted(zip(times, indices, strict=True)) == sorted(
            zip(*events(raster, 1.0), strict=True)
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_exported_net_is_imported_unchanged(tmp_path, dtype):
    net = random_net(dtype, drive=[0.0, 0.5])
    net.to_nir(tmp_path / "net.nir", dt=0.5)
    back = Network.from_nir(tmp_path / "net.nir")
    assert repr(back) == repr(net)
    for ours, theirs in zip(
        net.run_clocked(random_spikes(), 0.5), back.run_clocked(random_spikes(), 0.5), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_numbers_of_a_file(tmp_path):
    net = Network.from_weights([[[0.5]]], tau=20.0, threshold=2.0, reset="zero", drive=0.25)
    net.to_nir(tmp_path / "net.nir", dt=1.0)
    graph = nir.read(tmp_path / "net.nir")
    neurons = graph.nodes["neurons_0"]
    share = 1 - np.exp(-1 / 20)
    assert neurons.tau[0] == pytest.approx(1e-3 / share)
    assert graph.nodes["weights_0"].weight[0, 0] == pytest.approx(0.5 / share)
    assert graph.nodes["weights_0"].bias[0] == 0.25
    assert 2.0 - 1e-6 < neurons.v_threshold[0] < 2.0  # must be exceeded there
    assert (neurons.r[0], neurons.v_leak[0], neurons.v_reset[0]) == (1, 0, 0)
    assert graph.metadata["time_unit"] == "s"
    assert graph.metadata["dt"] == 1e-3


def test_the_threshold_is_imported_unchanged(tmp_path):
    net = Network.from_weights([[[0.5]]], tau=1e6, reset="zero")
    net.to_nir(tmp_path / "net.nir", dt=0.1)
    assert Network.from_nir(tmp_path / "net.nir")._layers[0].threshold[0] == 1.0


def test_the_network_of_a_trained_model_fires_as_the_model_does(model):
    X, _ = digits()
    net = model.to_network()
    rows = X[TRAINED : TRAINED + 40]
    raster = net.run_clocked(constant_currents(model, rows), DT)[0]
    for row, fired in zip(rows, raster, strict=True):
        model.predict_array(row[None])
        times, neurons = model.last_spikes_
        steps = np.round(times / DT).astype(int) - 1
        assert sorted(zip(steps, neurons, strict=True)) == sorted(
            zip(*np.nonzero(fired), strict=True)
        )
    np.testing.assert_array_equal(predictions(net, raster), model.predict_array(rows))


def test_without_a_grid_spike_times_equal_the_models_up_to_rounding():
    from loco_stream import LOCOClassifier

    X, y = digits()
    model = LOCOClassifier(hidden_sizes=32, seed=2)
    model.learn_array(X[:400], y[:400])
    currents = model.encode_array(X[:1])[0]
    model.predict_array(X[:1])
    times, neurons = model.last_spikes_
    record = model.to_network().run([], [], 20.0, currents=currents)
    assert len(record) == len(times) > 20
    order = np.lexsort((times, neurons))
    mine = np.lexsort((record.times, record.indices))
    np.testing.assert_array_equal(record.indices[mine], neurons[order])
    np.testing.assert_allclose(record.times[mine], times[order], rtol=1e-4)


def test_an_export_does_not_change_the_model(model, tmp_path):
    X, y = digits()
    other = trained()
    other.to_network().to_nir(tmp_path / "digits.nir", dt=DT, readout=True)
    for each in (model, other):
        each.learn_array(X[TRAINED:], y[TRAINED:])
    ours = model.export_state()[1]
    theirs = other.export_state()[1]
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def test_saved_spikes_of_snntorch_and_norse_equal_ours():
    kept = np.load(DATA / "digits.npz")
    raster = Network.from_nir(DATA / "digits.nir").run_clocked(
        np.repeat(kept["currents"][:, None], STEPS, 1), DT
    )[0]
    for peer in ("snntorch", "norse"):
        np.testing.assert_array_equal(raster, kept[peer])


def test_a_net_from_snntorch_gives_the_same_spikes():
    kept = np.load(DATA / "snntorch.npz")
    net = Network.from_nir(DATA / "snntorch.nir")
    np.testing.assert_array_equal(net.run_clocked(kept["spikes"], 0.1)[-1], kept["snntorch"])


@pytest.mark.slow
@pytest.mark.skipif(
    not PEERS.exists(),
    reason="requires the environment of snnTorch and Norse that make bench-peers makes",
)
@pytest.mark.parametrize("peer", ["snntorch", "norse"])
def test_snntorch_and_norse_give_the_same_spikes_for_500_digits(tmp_path, peer):
    model, (X, _) = trained(), digits()
    net = model.to_network()
    rows = X[TRAINED:]
    net.to_nir(tmp_path / "digits.nir", dt=DT)
    inputs = constant_currents(model, rows)
    counts = net.run_clocked(inputs, DT)[-1].sum(-2)
    np.savez(tmp_path / "run.npz", inputs=inputs, dt=DT, counts=counts)
    files = [tmp_path / name for name in ("digits.nir", "run.npz", "out.npy")]
    call = [PEERS, "-I", SCRIPT, peer, *files]
    subprocess.run(list(map(str, call)), check=True, capture_output=True)
    raster = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(raster, net.run_clocked(inputs, DT)[0])
    assert len(rows) == 500
    np.testing.assert_array_equal(predictions(net, raster), model.predict_array(rows))


def test_the_readout_is_exported_and_imported(model, tmp_path):
    X, _ = digits()
    net = model.to_network()
    inputs = constant_currents(model, X[:50])
    net.to_nir(tmp_path / "digits.nir", dt=DT, readout=True)
    kinds = [type(node).__name__ for node in nir.read(tmp_path / "digits.nir").nodes.values()]
    assert {"CubaLI", "Affine", "LIF"} <= set(kinds)
    back = Network.from_nir(tmp_path / "digits.nir")
    raster = back.run_clocked(inputs, DT)[0]
    assert predictions(back, raster).tolist() == [str(label) for label in predictions(net, raster)]


def test_the_trace_equals_the_membrane_of_its_node():
    from loco_stream._simulator.linear_readout import traces

    tau = 2.0
    dt = 1e-4
    current = membrane = 0.0
    for step in range(30_000):
        current += dt / (tau / 2) * ((tau / dt if step == 10_000 else 0.0) - current)
        membrane += dt / tau * (current - membrane)
    assert traces([1.0], [0], 1, 3.0, tau)[0] == pytest.approx(membrane, rel=1e-3)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (
            lambda: Network.from_weights([[[1.0]]]),
            "`reset` must be 'zero' for to_nir, .*, got 'subtract'",
        ),
        (
            lambda: Network.from_weights([[[1.0]]], reset="zero", delays=1.0),
            "to_nir requires a dense feed-forward net .*, got delays in layer 0",
        ),
        (
            lambda: Network.from_weights([[[1.0]]], reset="zero", recurrent=np.eye(1)),
            "got recurrent connections in layer 0",
        ),
        (
            lambda: Network.from_weights([[[1.0]]], reset="zero", neuron="alif"),
            "got neuron='alif' in layer 0",
        ),
        (
            lambda: Network.from_weights([[[1.0]]], reset="zero", refractory=1.0),
            "got a refractory period in layer 0",
        ),
    ],
)
def test_nets_that_nir_cannot_represent_are_refused(tmp_path, net, sentence):
    with pytest.raises(ConfigError, match=sentence):
        net().to_nir(tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()


@pytest.mark.parametrize(
    ("path", "error", "sentence"),
    [
        (5, InputError, "`path` must be the path of a file, got 5"),
        (None, InputError, "`path` must be the path of a file, got None"),
        (
            "missing/net.nir",
            ConfigError,
            "cannot write the net missing/net.nir: there is no folder",
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, monkeypatch, path, error, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence):
        Network.from_weights([[[1.0]]], reset="zero").to_nir(path)
    assert not list(tmp_path.iterdir())


def lif(n=2, **changed):
    numbers = {
        "tau": np.full(n, 0.02),
        "r": np.ones(n),
        "v_leak": np.zeros(n),
        "v_threshold": np.ones(n),
    }
    return nir.LIF(**{**numbers, "v_reset": np.zeros(n), **changed})


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([nir.Linear(np.ones((2, 3)))], "must have pairs of weights and LIF nodes .*, got 1 nodes"),
        (
            [nir.Linear(np.ones((2, 3))), nir.CubaLI(*np.ones((4, 2)))],
            "node 'n1' must be LIF, got CubaLI",
        ),
        (
            [nir.Scale(np.ones(2)), lif()],
            "node 'n0' must be an Affine or Linear matrix, got Scale",
        ),
        (
            [nir.Linear(np.ones((2, 3))), lif(v_reset=np.ones(2))],
            "v_reset of node 'n1' must be 0, got 1.0",
        ),
        (
            [nir.Linear(np.ones((2, 3))), lif(tau=np.array([0.01, 0.02]))],
            "tau of node 'n1' must be the same for all neurons, got",
        ),
        (
            [nir.Linear(np.ones((2, 3))), lif(tau=np.full(2, 1e-5))],
            "must be longer than the time step of 0.1 ms, got 0.01 ms",
        ),
        (
            [nir.Linear(np.ones((2, 3))), lif(tau=np.zeros(2))],
            "must be longer than the time step of 0.1 ms, got 0 ms",
        ),
    ],
)
def test_files_with_unsupported_nodes_are_refused(tmp_path, nodes, sentence):
    n_inputs = 3 if isinstance(nodes[0], nir.Linear) else 2
    named = {
        "input": nir.Input(np.array([n_inputs])),
        **{f"n{i}": node for i, node in enumerate(nodes)},
    }
    named["output"] = nir.Output(np.array([2]))
    names = list(named)
    nir.write(str(tmp_path / "net.nir"), nir.NIRGraph(named, list(pairwise(names)), metadata={}))
    with pytest.raises(InputError, match=sentence):
        Network.from_nir(tmp_path / "net.nir")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "net.nir").write_text("no net")
    with pytest.raises(InputError, match=r"cannot read .*net\.nir as a NIR file"):
        Network.from_nir(tmp_path / "net.nir")


def test_without_the_package_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(LocoStreamError, match=r"pip install 'loco-stream\[nir\]'"):
        random_net().to_nir(tmp_path / "net.nir")


def test_currents_are_refused_where_they_do_not_apply():
    driven = Network.from_weights([[[1.0]]], inputs="currents")
    assert len(driven.run([], [], 30.0, currents=[2.0])) == 2
    assert len(driven.run([], [], 30.0)) == 0
    with pytest.raises(InputError, match="`currents` must be None in a net with inputs='spikes'"):
        Network.from_weights([[[1.0]]]).run([], [], 1.0, currents=[1.0])
    for call, found in (
        (lambda: driven.run([1.0], [0], 5.0), "1 spike and carry=False"),
        (lambda: driven.run([], [], 5.0, currents=[1.0], carry=True), "0 spikes and carry=True"),
    ):
        with pytest.raises(InputError, match=f"`times` must be empty .* got {found}"):
            call()
    with pytest.raises(InputError, match=r"`currents` must be \(1,\) finite numbers"):
        driven.run([], [], 1.0, currents=[np.nan])
    with pytest.raises(ConfigError, match="`inputs` must be 'spikes' or 'currents', got 'volt"):
        Network.from_weights([[[1.0]]], inputs="voltages")
    with pytest.raises(
        InputError, match=r"`inputs` must be finite numbers \(..., steps, 1\), got shape \(3,\)"
    ):
        driven.run_clocked([1, 2, 3], 0.1)
