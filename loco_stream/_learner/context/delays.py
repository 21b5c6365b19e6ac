"""Delays: a synapse of the first layer carries the value of its channel some rows ago.

Each synapse has a fixed lag of 0 to `max_delay` rows and learns only its weight: a neuron whose
lags fit sees at once what lies rows apart (Izhikevich 2006 on delays among which learning chooses).
The lags of a channel are spread evenly over the neurons, in a random order: row j of
`delay_targets` names the neurons that channel j reaches, and those in the range of `lag_span` have
that lag. An encoded row reaches each synapse once, when its time has come, so there are as many
products as without delays.

With a memory every fourth neuron, one of those whose trace carries on, has no lags: fields of one
feature at different lags no longer tell its value, and a running sum needs only values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import nonzero
from loco_stream._learner.arrays.init_weights import UNDELAYED_EVERY

WHOLE_STEPS = 10.0  # for a run of one label


def lag_range(settings: Any, n_post: Any, lag: Any) -> Any:
    """Return where the neurons of a lag begin and end in a row of `delay_targets`.

    Neurons without lags come first.
    """
    undelayed = 0
    if settings.longest > 0.0:
        undelayed = (n_post + UNDELAYED_EVERY - 2) // UNDELAYED_EVERY
    taps = settings.max_delay + 1
    rest = n_post - undelayed
    first = 0 if lag == 0 else undelayed + lag * rest // taps
    return first, undelayed + (lag + 1) * rest // taps


lag_span = kernel(lag_range)  # the same for compiled code


@kernel
def load_codes(ring, lagged):
    """Write the encoded rows before, (delays, channels) float32, into lags 1 and on of `Lagged`."""
    for lag in range(len(ring)):
        channels = lagged.channels[lag + 1]
        for j in range(ring.shape[1]):
            channels[j] = ring[lag, j]
        lagged.n[lag + 1] = nonzero(channels, 0, ring.shape[1], lagged.rows[lag + 1])


@kernel
def set_code(code, n_channels, lagged):
    """Write the row just encoded (`Code`) into lag 0; `n_channels` (int64) of it are not 0."""
    for j in range(len(code.channels)):
        lagged.channels[0, j] = code.channels[j]
    for r in range(n_channels):
        lagged.rows[0, r] = code.rows[r]
    lagged.n[0] = n_channels


@kernel
def push_code(ring, lagged):
    """Make the row of lag 0 the last one in the ring."""
    for lag in range(len(ring)):
        for j in range(ring.shape[1]):
            ring[lag, j] = lagged.channels[lag, j]


@kernel
def weigh_delayed(settings, total, weights, n_post, targets, lagged):
    """Write the weighted inputs of the first layer, each synapse's at its own lag.

    Parameters
    ----------
    total
        (n_post or more,) float32, written.
    weights
        (channels, n_post or more) float32.
    n_post
        int64.
    targets
        (channels, n_post) int32, see `lag_range`.
    lagged
        `Lagged`.
    """
    for i in range(n_post):
        total[i] = 0.0
    for lag in range(len(lagged.n)):
        first, last = lag_span(settings, n_post, lag)
        for r in range(lagged.n[lag]):
            channel = lagged.rows[lag, r]
            value = lagged.channels[lag, channel]
            for k in range(first, last):
                neuron = targets[channel, k]
                total[neuron] += value * weights[channel, neuron]


@kernel
def write_codes(lagged, n_channels, ticket, place):
    """Write the encoded rows before into a ticket.

    Parameters
    ----------
    lagged
        `Lagged`.
    n_channels, place
        int64: channels in use, and where the rows begin in the ticket.
    ticket
        float64, written.
    """
    for lag in range(1, len(lagged.n)):
        for j in range(n_channels):
            ticket[place + (lag - 1) * n_channels + j] = lagged.channels[lag, j]


@kernel
def read_codes(ticket, place, n_channels, lagged):
    """Read the encoded rows before from a ticket; from `n_channels` on they were unknown then."""
    for lag in range(len(lagged.n) - 1):
        channels = lagged.channels[lag + 1]
        for j in range(len(channels)):
            known = j < n_channels
            channels[j] = (
                np.float32(ticket[place + lag * n_channels + j]) if known else np.float32(0.0)
            )
        lagged.n[lag + 1] = nonzero(channels, 0, len(channels), lagged.rows[lag + 1])


@kernel
def step_share(run, label, share):
    """Return the share of a step that the hidden layers make for a label.

    Rows of a long run of one label see nearly the same past: with a whole step each the layers
    would fit the run. Beyond `WHOLE_STEPS` the k-th row of a run makes only `WHOLE_STEPS` / k of a
    step.

    Parameters
    ----------
    run
        The record of the present run.
    label, share
        float64.
    """
    if run.label != label:
        run.label = label
        run.n_steps = 0.0
    run.n_steps += share
    return share * WHOLE_STEPS / max(run.n_steps, WHOLE_STEPS)
