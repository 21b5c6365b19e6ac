"""The way from a row of numbers to what the readout's members say of it."""

from __future__ import annotations

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.scratch import CLEAN_FOR, FRESH, N_GAINS, N_IN, N_MEASURED, NOISE
from loco_stream.learner.arrays.state import N_FEATURES, N_SEEN
from loco_stream.learner.context.delays import set_code
from loco_stream.learner.encoding import (
    encode_fields,
    encode_intensities,
    intensity,
    measure,
    scale,
)
from loco_stream.learner.hidden import run_hidden
from loco_stream.learner.readout import centroids, neighbors
from loco_stream.learner.readout import ensemble as readout

__all__ = ["clean_pass"]


@kernel
def _is_cached(x, row, n, cached_for, n_seen):
    """Return whether scratch holds the pass of this very row under these very weights."""
    if cached_for != n_seen:
        return False
    for f in range(n):
        a = x[f]
        b = row[f]
        if not (a == b or (a != a and b != b)):
            return False
    return True


@kernel
def _encode(settings, statistics, code, n_before, x, n_features, row, scaled):
    """Scale and encode a row, remembering it; return how many lines are not 0.

    `n_before` were so of the last row.
    """
    for f in range(n_features):
        row[f] = x[f]
    for r in range(n_before):
        code.lines[code.rows[r]] = np.float32(0.0)
    scale(x, n_features, statistics, scaled)
    if settings.n_fields > 1:
        return encode_fields(x, scaled, n_features, settings.n_fields, code.lines, code.rows)
    return encode_intensities(x, statistics, n_features, code.lines, code.rows)


@kernel
def clean_pass(settings, state, scratch, x, t):
    """Encode `x`, run the net and the readout's members, unless scratch holds just that already.

    Return whether so.

    `t` is the time of the row, which matters to a memory alone; what that has left is in scratch.
    """
    n_features = state.counts[N_FEATURES]
    n_seen = state.counts[N_SEEN]
    flags = scratch.flags
    z = scratch.features
    hidden = settings.n_hidden
    run = scratch.run
    same_time = (
        not settings.remembers
        or t == scratch.moment[0]
        or (t != t and scratch.moment[0] != scratch.moment[0])
    )
    if same_time and _is_cached(x, scratch.row, n_features, flags[CLEAN_FOR], n_seen):
        return True
    scratch.moment[0] = t
    flags[N_GAINS] = 0
    flags[N_IN] = _encode(
        settings,
        state.statistics,
        scratch.code,
        max(flags[N_IN], 0),
        x,
        n_features,
        scratch.row,
        scratch.scaled,
    )
    if settings.max_delay > 0:
        set_code(scratch.code, flags[N_IN], scratch.lagged)
    net = state.net
    run_hidden(
        settings,
        net.sizes,
        net.weights,
        net.deep_weights,
        net.gains,
        scratch.code,
        flags[N_IN],
        state.memory.targets,
        scratch.lagged,
        run.neurons[NOISE],
        np.float32(0.0),
        run,
        run.drives[0],
        run.neurons[FRESH],
        z,
        run.spikes[0],
    )
    z[hidden] = np.float32(1.0)
    by_range = (
        settings.n_fields == 1
    )  # a pixel that was dark in the first samples has no deviation to scale by
    for f in range(n_features):
        z[hidden + 1 + f] = intensity(x[f], state.statistics, f) if by_range else scratch.scaled[f]
    readout.speak(settings, state, z, scratch.answers, flags)
    if settings.n_centroids > 0:
        flags[N_MEASURED] = measure(
            state.statistics, n_features, scratch.row, scratch.scaled, scratch.nearness
        )
        centroids.speak(settings, state, scratch)
    if settings.n_neighbors > 0:
        neighbors.speak(settings, state, scratch, x)
    flags[CLEAN_FOR] = n_seen
    return False
