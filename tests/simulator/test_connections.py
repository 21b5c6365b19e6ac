"""Connections are complete in every form, and spikes are bit-identical."""

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from loco_stream import Network
from loco_stream._compiler.simd.sizes import DOUBLES
from loco_stream._simulator.connections import END, Triplets, connect
from tests.helpers.nets import random_spikes


def signs(rng, n):
    """Weights of the first four fifths of the neurons, and of the rest."""
    return np.where(np.arange(n)[:, None] < 0.8 * n, 0.05, -0.3) * np.ones((n, n))


WEIGHTS = {
    "one per neuron": signs,
    "one per connection": lambda rng, n: rng.normal(-0.02, 0.15, (n, n)),
    "nearly one per neuron": lambda rng, n: signs(rng, n) + 0.1 * np.eye(n, k=1),
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


def expanded(net):
    """Return the same net with four bytes per target and a weight per connection."""
    other = net.copy()
    layer = other._net.layers[0]
    connections = layer.connections
    first = connections.groups["first"]
    weights = connections.weights
    if not len(weights):
        kind = np.repeat(connections.groups["kind"][:-1], np.diff(first.astype(int)))
        weights = np.append(connections.kinds["weight"][kind], np.zeros(DOUBLES)).astype(net._dtype)
    targets = np.append(connections.targets[: first[-1]], np.zeros(DOUBLES)).astype(np.int32)
    layer.connections = connections._replace(targets=targets, weights=weights)
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
def test_spikes_are_bit_identical_in_every_form(weights, delays, options):
    net = ring(weights, delays, **options)
    other = expanded(net)
    spikes = random_spikes(np.random.default_rng(4), 10, 100, 20, True)
    for carry in (False, True):
        ours, theirs = (each.run(*spikes, 20.0, carry=carry) for each in (net, other))
        assert ours.times.tobytes() == theirs.times.tobytes()
        assert ours.indices.tobytes() == theirs.indices.tobytes()
        assert 100 < len(ours) < 10_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_all_connections_are_found_in_the_groups(weights, delays, dtype):
    rng = np.random.default_rng(5)
    n_rows = 40
    n = 30
    source, target = np.nonzero(rng.random((n_rows, n)) < 0.3)
    source[source == 7] = 8  # a row without connections; another that reaches neurons twice
    weight = WEIGHTS[weights](rng, n_rows)[source, target].astype(dtype)
    delay = DELAYS[delays](rng, len(source))
    mixed = rng.permutation(len(source))
    triplets = Triplets(source[mixed], target[mixed], weight[mixed], delay[mixed])
    made = connect([triplets], n_rows, n, dtype)
    found = []
    for row in range(n_rows):
        last = made.first_group[row + 1] - 1
        assert made.kinds[made.groups[last].kind].delay == END
        for group in range(made.first_group[row], last):
            own = made.kinds[made.groups[group].kind]
            for k in range(made.groups[group].first, made.groups[group + 1].first):
                found_weight = made.weights[k] if len(made.weights) else own.weight
                found.append((row, own.delay, made.targets[k], found_weight))
    assert sorted(found) == sorted(zip(source, delay, target, weight, strict=True))
    is_small = weights == "one per neuron" or delays == "all"
    assert len(made.weights) == (0 if is_small else len(source) + DOUBLES)


def test_a_layer_without_connections():
    made = connect([Triplets(*np.zeros((4, 0)))], 3, 2, np.float32)
    assert made.first_group.tolist() == [0, 1, 2, 3]
    assert made.kinds["delay"][made.groups["kind"]].tolist() == [END] * 3


def test_more_neurons_than_two_bytes_can_number():
    """The first and the last of 65,537 neurons have the same lower two bytes."""
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
