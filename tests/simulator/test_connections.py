"""Connections kept small are the same connections: spikes are equal to the byte in every form."""

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from loco_stream import Network
from loco_stream._compiler.simd.sizes import BLOCK
from loco_stream.simulator.connections import DELAY, KIND, LAST, START, WEIGHT, Triplets, connect
from tests.helpers.nets import random_spikes


def signs(rng, n):
    """Weights of the first four fifths of the neurons, and of the rest."""
    return np.where(np.arange(n)[:, None] < 0.8 * n, 0.05, -0.3) * np.ones((n, n))


WEIGHTS = {
    "one a neuron": signs,
    "one a connection": lambda rng, n: rng.normal(-0.02, 0.15, (n, n)),
    "nearly one a neuron": lambda rng, n: signs(rng, n) + 0.1 * np.eye(n, k=1),
}
DELAYS = {
    "few": lambda rng, shape: rng.integers(1, 9, shape) * 0.3,
    "all": lambda rng, shape: rng.uniform(0.3, 3, shape),
}


def ring(weights, delays, **options):
    """Return a net whose neurons excite and inhibit each other."""
    rng = np.random.default_rng(3)
    n = 120
    where = random_array((n, n), density=0.2, rng=rng).tocoo()
    place = (where.row, where.col)
    return Network.from_weights(
        [rng.normal(0.3, 0.4, (10, n))],
        delays=0.4,
        recurrent=csr_array((WEIGHTS[weights](rng, n)[place], place), (n, n)),
        recurrent_delays=csr_array((DELAYS[delays](rng, where.nnz), place), (n, n)),
        **options,
    )


def spelt_out(net):
    """Return the same net with four bytes a target and a weight a connection."""
    other = net.copy()
    layer = other._net.layers[0]
    links = layer.links
    n = layer.links.groups[-1, START]
    weight = links.weight
    if not len(weight):
        kind = np.repeat(links.groups[:-1, KIND], np.diff(links.groups[:, START].astype(int)))
        weight = np.append(links.kinds[kind, WEIGHT], np.zeros(BLOCK)).astype(net._dtype)
    layer.links = links._replace(
        target=np.append(links.target[:n], np.zeros(BLOCK)).astype(np.int32), weight=weight
    )
    return other


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float64", "drive": 1.1, "reset": "zero", "refractory": 2.0},
        {"dtype": "float64", "neuron": "alif"},
    ],
)
@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_form_gives_the_same_bytes(weights, delays, options):
    net = ring(weights, delays, **options)
    other = spelt_out(net)
    spikes = random_spikes(np.random.default_rng(4), 10, 100, 20, True)
    for carry in (False, True):
        ours, theirs = (each.run(*spikes, 20.0, carry=carry) for each in (net, other))
        assert ours.times.tobytes() == theirs.times.tobytes()
        assert ours.indices.tobytes() == theirs.indices.tobytes()
        assert 100 < len(ours) < 10_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_connections_are_kept_whole(weights, delays, dtype):
    """What is read back, connection by connection, is what was put in, whichever form was chosen."""
    rng = np.random.default_rng(5)
    n_rows = 40
    n = 30
    source, target = np.nonzero(rng.random((n_rows, n)) < 0.3)
    source[source == 7] = 8  # a row without connections; another that reaches neurons twice
    weight = WEIGHTS[weights](rng, n_rows)[source, target].astype(dtype)
    delay = DELAYS[delays](rng, len(source))
    mixed = rng.permutation(len(source))
    links = connect(
        [Triplets(source[mixed], target[mixed], weight[mixed], delay[mixed])], n_rows, n, dtype
    )
    found = []
    for row in range(n_rows):
        first = links.row_group[row]
        last = links.row_group[row + 1] - 1
        assert links.kinds[links.groups[last, KIND], DELAY] == LAST
        for group in range(first, last):
            own = links.kinds[links.groups[group, KIND]]
            after = links.groups[group + 1, START]
            for k in range(links.groups[group, START], after):
                found.append(
                    (
                        row,
                        own[DELAY],
                        links.target[k],
                        links.weight[k] if len(links.weight) else own[WEIGHT],
                    )
                )
    assert sorted(found) == sorted(zip(source, delay, target, weight, strict=True))
    assert len(links.weight) == (
        0 if weights == "one a neuron" or delays == "all" else len(source) + BLOCK
    )


def test_a_layer_without_connections():
    links = connect([Triplets(*np.zeros((4, 0)))], 3, 2, np.float32)
    assert links.row_group.tolist() == [0, 1, 2, 3]
    assert links.kinds[links.groups[:, KIND], DELAY].tolist() == [LAST] * 3


def test_more_neurons_than_two_bytes_count():
    """The last of 65,537 neurons and the first, which two bytes cannot tell apart, among others in between."""
    n = (1 << 16) + 1
    chosen = np.array([0, 1, 300, 65535, 65536])
    weights = np.array([[0.6, 0.0, 0.9, 0.4, 1.2]])
    back = np.random.default_rng(6).normal(0.3, 0.3, (5, 5))

    def net(n, chosen):
        row = np.repeat(chosen, 5)
        column = np.tile(chosen, 5)
        first = csr_array((weights[0], (np.zeros(5, int), chosen)), shape=(1, n))
        ring = csr_array((back.ravel(), (row, column)), shape=(n, n))
        return Network.from_weights(
            [first], delays=0.5, recurrent=ring, recurrent_delays=1.0, dtype="float64"
        )

    times = np.arange(0.0, 40.0, 1.5)
    large, small = (
        net(*form).run(times, np.zeros(len(times), int), 50.0)
        for form in ((n, chosen), (5, np.arange(5)))
    )
    assert large.times.tobytes() == small.times.tobytes()
    assert large.indices.tolist() == chosen[small.indices].tolist()
    assert len(set(large.indices.tolist())) == 5
