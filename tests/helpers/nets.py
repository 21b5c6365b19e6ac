"""Random nets, spikes and connections for the simulator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from loco_stream._simulator.membranes import History, membrane_at


def random_net(rng, sizes, scale):
    return [rng.normal(0.3, 1.0, (a, b)) * scale / np.sqrt(a) for a, b in pairwise(sizes)]


def random_spikes(rng, n_inputs, n, duration, grid):
    times = np.sort(
        rng.integers(0, int(duration) + 1, n).astype(float) if grid else rng.uniform(0, duration, n)
    )
    return times, rng.integers(0, n_inputs, n)


def queue_wiring(rng, sizes, delayed, recurrent):
    """Return recurrent weights, and delays that are multiples of .5 ms so that arrivals tie."""
    wiring = {}
    pairs = list(pairwise(sizes))
    if delayed:
        wiring["delays"] = [rng.integers(0, 4, pair) * 0.5 for pair in pairs]
    if recurrent:
        wiring["recurrent"] = [rng.normal(-0.1, 0.4, (b, b)) for _, b in pairs]
        wiring["recurrent_delays"] = [rng.integers(1, 4, (b, b)) * 0.5 for _, b in pairs]
    return wiring


def membrane_now(net, layer, neuron):
    """Return the membrane of a neuron at the end of the last run."""
    nothing = History(np.zeros(0), np.zeros(0), np.zeros(0))
    return membrane_at(net._net.state_of(layer, neuron), nothing, np.zeros(1))[0]
