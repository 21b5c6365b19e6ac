"""How a first layer with delays changes: every synapse by the projected input at its own lag."""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.scratch import CREDIT
from loco_stream.learner.arrays.state import GAIN, INPUT_POWER, N_FEATURES, N_POST, N_SEEN
from loco_stream.learner.context.delays import lag_span
from loco_stream.learner.plasticity.project import change_blocks, project
from loco_stream.learner.plasticity.weight_bounds import bounded_step

__all__ = ["POWER_ROWS", "change_delayed"]

POWER_ROWS = 300.0  # over which a layer's mean square input is averaged


@kernel
def _change_weights(settings, weights, n_post, frozen, targets, lagged, n_lines, credit, step):
    """Subtract step * h credit', h being that of each synapse's own lag."""
    n_taps = lagged.n.shape[0]
    for lag in range(n_taps):
        first, last = lag_span(settings, n_post, lag)
        for line in range(n_lines):
            lead = np.float32(-step) * lagged.projected[lag, line]
            if lead == np.float32(0.0):
                continue
            for k in range(first, last):
                neuron = targets[line, k]
                if neuron >= frozen:
                    weights[line, neuron] += lead * credit[neuron]


@kernel
def change_delayed(settings, state, scratch, share):
    """Change the first layer's weights by `share` of a step, and its projector.

    The projector is that of one encoded row, whatever its lag: rows are the same kind of thing now
    and then. It learns each row once, at lag 0, and loses as much less of it as the layer's input
    has more directions than a row. Energies are means over the lags, as a neuron has each of them
    equally often.
    """
    net = state.net
    lagged = scratch.lagged
    n_lines = state.counts[N_FEATURES] * settings.n_fields
    n_post = net.sizes[N_POST, 0]
    n_taps = lagged.n.shape[0]
    square = 0.0
    energy = 0.0
    for lag in range(n_taps):
        squared, inner = project(
            settings.projects,
            net.projector,
            lagged.lines[lag],
            0,
            n_lines,
            lagged.rows[lag],
            lagged.n[lag],
            lagged.projected[lag],
        )
        square += squared / n_taps
        energy += inner / n_taps
    gains = net.gains
    gains[INPUT_POWER, 0] += (square - gains[INPUT_POWER, 0]) / min(
        state.counts[N_SEEN] + 1.0, POWER_ROWS
    )
    power = gains[INPUT_POWER, 0]
    if power + energy <= 0.0:
        return
    credit = scratch.run.neurons[CREDIT]
    frozen = n_post - math.ceil(settings.plastic * n_post)
    step = share * settings.learning_rate / (gains[GAIN, 0] * (power + energy))
    step = bounded_step(step, gains[GAIN, 0], energy, credit[frozen:n_post], settings.n_fields == 1)
    _change_weights(
        settings, net.weights, n_post, frozen, state.memory.targets, lagged, n_lines, credit, step
    )
    change_blocks(
        net.weights,
        0,
        0,
        settings.projects,
        net.projector,
        lagged.lines[0],
        0,
        n_lines,
        lagged.rows[0],
        lagged.n[0],
        lagged.projected[0],
        credit,
        step,
        power,
        settings.orthogonality / n_taps,
        settings.projector_leak,
    )
