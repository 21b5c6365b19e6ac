"""Random nets, spikes and wirings for the simulator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from loco_stream.simulator.replay import replay


def random_net(rng, sizes, scale):
    return [rng.normal(0.3, 1.0, (a, b)) * scale / np.sqrt(a) for a, b in pairwise(sizes)]


def random_spikes(rng, n_inputs, n, duration, grid):
    times = np.sort(
        rng.integers(0, int(duration) + 1, n).astype(float) if grid else rng.uniform(0, duration, n)
    )
    return times, rng.integers(0, n_inputs, n)


def queue_wiring(rng, sizes, delayed, recurrent):
    """Return delays that are multiples of half a ms (so that arrivals tie) and lateral weights."""
    wiring = {}
    pairs = list(pairwise(sizes))
    if delayed:
        wiring["delays"] = [rng.integers(0, 4, pair) * 0.5 for pair in pairs]
    if recurrent:
        wiring["recurrent"] = [rng.normal(-0.1, 0.4, (b, b)) for _, b in pairs]
        wiring["recurrent_delays"] = [rng.integers(1, 4, (b, b)) * 0.5 for _, b in pairs]
    return wiring


def membrane_now(net, layer, neuron):
    """Return the membrane that the last run left in the net itself."""
    none = np.zeros(0)
    return replay(
        net._layers[layer], net._net.start_of(layer, neuron), none, none, none, np.zeros(1)
    )[0]
