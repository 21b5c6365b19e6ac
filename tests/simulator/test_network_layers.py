"""The single layers that the learning engine runs on are the simulator's, at the level of their kernels."""

import numpy as np
import pytest

from loco_stream.neurons import alif, izhikevich, lif
from loco_stream.neurons.izhikevich import rest_potential
from tests.helpers import naive_network
from tests.helpers.doors import door

lif_layer, alif_layer, izhikevich_layer = map(door, (lif.lif_layer, alif.alif_layer, izhikevich.izhikevich_layer))

N_PRE, N, OFFSET = 12, 21, 5


def problem(seed, scale, kind=np.float64):
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.2, 1.0, (N_PRE, N)) * scale
    times = np.sort(rng.integers(0, 11, 60)).astype(kind)
    indices = rng.integers(0, N_PRE, 60).astype(np.int32)
    flat = np.concatenate((np.full(OFFSET, np.nan), weights.ravel())).astype(kind)
    return weights.astype(kind).astype(float), flat, times, indices


def same(twin, times, indices, atol=1e-9):
    order = np.lexsort((twin[1], twin[0].round(6)))
    np.testing.assert_array_equal(indices, twin[1][order])
    np.testing.assert_allclose(times, twin[0][order], atol=atol)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_lif_layer(seed, reset):
    weights, flat, times, indices = problem(seed, 0.5)
    v, u_max, threshold = np.full(N, 9.0), np.full(N, 9.0), np.linspace(0.5, 1.5, N)
    out = np.full(11 * N + 2, -7.0), np.full(11 * N + 2, -7, np.int32)
    args = (times, indices, 60, flat, OFFSET, N, 20.0, threshold, reset == "zero", v, u_max)
    count = lif_layer(*args, *out)
    twin = naive_network.run_layer(weights, times, indices, 10.0, reset=reset, threshold=threshold)
    assert count > 20
    same(twin, out[0][:count], out[1][:count])
    assert (u_max >= threshold)[np.unique(twin[1])].all()
    assert (u_max < threshold)[np.setdiff1d(np.arange(N), twin[1])].all()
    assert (u_max >= 0.0).all()
    for room in (0, 1, N - 1, N, count, count + N - 1):
        small = np.full(room + 8, -7.0), np.full(room + 8, -7, np.int32)
        got = lif_layer(*args, small[0][:room], small[1][:room])
        assert got in (-1, count)
        assert (small[0][room:] == -7.0).all()
        assert (small[1][room:] == -7).all()
    assert lif_layer(*args[:2], 0, *args[3:], *out) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_alif_layer(seed, reset):
    weights, flat, times, indices = problem(seed, 0.5)
    v, a, u_max, threshold = np.zeros(N), np.full(N, 9.0), np.zeros(N), np.linspace(0.5, 1.5, N)
    out = np.zeros(11 * N), np.zeros(11 * N, np.int32)
    args = (times, indices, 60, flat, OFFSET, N, 20.0, threshold, reset == "zero", 50.0, 0.4, v, a, u_max)
    count = alif_layer(*args, *out)
    twin = naive_network.run_layer(
        weights, times, indices, 10.0, neuron="alif", reset=reset, threshold=threshold, tau_adapt=50.0, adapt=0.4
    )
    assert count > 20
    same(twin, out[0][:count], out[1][:count])
    assert (u_max >= threshold)[np.unique(twin[1])].all()
    assert (u_max < threshold)[np.setdiff1d(np.arange(N), twin[1])].all()
    assert alif_layer(*args, out[0][:N], out[1][:N]) == -1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_izhikevich_layer(seed):
    weights, flat, times, indices = problem(seed, 10.0)
    drive = np.linspace(0.0, 8.0, N)
    constants = np.array([*naive_network.IZHIKEVICH.values(), 1e-8])
    rest = rest_potential(0.2, drive)
    state = np.zeros((N, 6)), np.zeros(N), np.zeros(N)
    out = np.zeros(11 * N), np.zeros(11 * N, np.int32)
    args = (times, indices, 60, flat, OFFSET, N, 30.0, drive, rest, constants, 1.0, *state)
    count = izhikevich_layer(*args, *out)
    twin = naive_network.run_layer(
        weights, times, indices, 30.0, neuron="izhikevich", drive=drive, **naive_network.IZHIKEVICH
    )
    assert count > 20
    same(twin, out[0][:count], out[1][:count], atol=1e-4)
    assert izhikevich_layer(*args, out[0][:5], out[1][:5]) == -1
