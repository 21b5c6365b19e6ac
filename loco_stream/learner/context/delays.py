"""Delays: a synapse of the first layer carries what its line said some rows ago.

Each synapse has a fixed lag of 0 to `max_delay` rows, and learns its weight alone: a neuron whose
lags fit sees at once what lies rows apart (Izhikevich 2006 on delays among which learning chooses).
The lags of a line are spread evenly over the neurons, in a random order: row j of `Memory.targets`
names the neurons that line j reaches, and those at the places of `lag_span` have the lag `lag`. So
an encoded row reaches each synapse once, when its time has come: the sums are as many as without
delays.

With a memory, every fourth neuron, one of those whose trace carries on, has no lags: fields of one
feature at lags of their own no longer tell its value, and a running sum needs nothing but values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import nonzero
from loco_stream.learner.arrays.state import LABEL, STEPS
from loco_stream.options import PROMPT_EVERY

__all__ = [
    "bounded_share",
    "lag_range",
    "lag_span",
    "push_code",
    "read_codes",
    "recall_codes",
    "set_code",
    "weigh_delayed",
    "write_codes",
]

WHOLE_STEPS = 10.0  # for a run of one label


def lag_range(settings: Any, n_post: Any, lag: Any) -> Any:
    """Return where the neurons of a lag begin and end in a row of `Memory.targets`.

    Those without lags come first.
    """
    prompt = (n_post + PROMPT_EVERY - 2) // PROMPT_EVERY if settings.longest > 0.0 else 0
    taps = settings.max_delay + 1
    rest = n_post - prompt
    return 0 if lag == 0 else prompt + lag * rest // taps, prompt + (lag + 1) * rest // taps


lag_span = kernel(lag_range)  # the same for compiled code


@kernel
def recall_codes(ring, lagged):
    """Write the encoded rows before into lags 1 and on."""
    for lag in range(ring.shape[0]):
        lines = lagged.lines[lag + 1]
        for j in range(ring.shape[1]):
            lines[j] = ring[lag, j]
        lagged.n[lag + 1] = nonzero(lines, 0, ring.shape[1], lagged.rows[lag + 1])


@kernel
def set_code(code, n_lines, lagged):
    """Write the row that has just been encoded into lag 0; `n_lines` of its lines are not 0."""
    for j in range(code.lines.shape[0]):
        lagged.lines[0, j] = code.lines[j]
    for r in range(n_lines):
        lagged.rows[0, r] = code.rows[r]
    lagged.n[0] = n_lines


@kernel
def push_code(ring, lagged):
    """Make the row of lag 0 the last one."""
    for lag in range(ring.shape[0]):
        for j in range(ring.shape[1]):
            ring[lag, j] = lagged.lines[lag, j]


@kernel
def weigh_delayed(settings, total, weights, n_post, targets, lagged):
    """Set `total` (n_post,) to the weighted inputs, each synapse's at its own lag."""
    n_taps = lagged.n.shape[0]
    for i in range(n_post):
        total[i] = np.float32(0.0)
    for lag in range(n_taps):
        first, last = lag_span(settings, n_post, lag)
        for r in range(lagged.n[lag]):
            line = lagged.rows[lag, r]
            value = lagged.lines[lag, line]
            for k in range(first, last):
                neuron = targets[line, k]
                total[neuron] += value * weights[line, neuron]


@kernel
def write_codes(lagged, n_lines, ticket, place):
    """Write the encoded rows before into a ticket, from `place` on."""
    for lag in range(1, lagged.n.shape[0]):
        for j in range(n_lines):
            ticket[place + (lag - 1) * n_lines + j] = np.float64(lagged.lines[lag, j])


@kernel
def read_codes(ticket, place, lagged):
    """Write the encoded rows before into lags 1 and on; a line that was unknown then was silent."""
    n_delays = lagged.n.shape[0] - 1
    if n_delays < 1:
        return
    n_lines = max(ticket.shape[0] - place, 0) // n_delays
    for lag in range(n_delays):
        lines = lagged.lines[lag + 1]
        for j in range(lines.shape[0]):
            lines[j] = (
                np.float32(ticket[place + lag * n_lines + j]) if j < n_lines else np.float32(0.0)
            )
        lagged.n[lag + 1] = nonzero(lines, 0, lines.shape[0], lagged.rows[lag + 1])


@kernel
def bounded_share(steps, label, share):
    """Return the share of a step that the hidden layers make for `label`, given how far they moved for it in a row.

    Rows of a long run of one label see nearly the same past: with a whole step each the layers
    would fit the run. Beyond `WHOLE_STEPS` the k-th row of a run makes only `WHOLE_STEPS` / k of a
    step.
    """
    if steps[LABEL] != label:
        steps[LABEL] = label
        steps[STEPS] = 0.0
    steps[STEPS] += share
    return share * WHOLE_STEPS / max(steps[STEPS], WHOLE_STEPS)
