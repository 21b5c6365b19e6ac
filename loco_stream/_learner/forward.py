"""The forward pass: from a row of numbers to the outputs of the readout's experts."""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.context.delays import set_code
from loco_stream._learner.encoding import (
    REGRESSION_TAIL,
    TAIL,
    encode_fields,
    encode_intensities,
    intensity,
    scale,
    without_fillers,
)
from loco_stream._learner.fixed_layer import run_fixed_layer
from loco_stream._learner.hidden import HiddenWeights, run_hidden
from loco_stream._learner.readout.ensemble import predict_members
from loco_stream._learner.texts import find_texts


@kernel
def _is_cached(x, row, n, valid_for, n_seen):
    """Return whether scratch holds the pass of this row under the present weights."""
    if valid_for != n_seen:
        return False
    for f in range(n):
        a = x[f]
        b = row[f]
        if not (a == b or (a != a and b != b)):
            return False
    return True


@kernel
def _encode(settings, state, scratch, x):
    """Scale and encode a row, and keep it; return how many channels are not 0."""
    code = scratch.code
    n_features = state.counts.n_features
    for f in range(n_features):
        scratch.given[f] = x[f] + 0.0  # -0.0 becomes 0.0, since both count as the same row
    x = scratch.row
    without_fillers(scratch.given, n_features, state.scale_guard, x)
    for r in range(max(scratch.cache.n_channels, 0)):
        code.channels[code.rows[r]] = 0.0
    tail = REGRESSION_TAIL if settings.regression else TAIL
    scale(x, n_features, state.statistics, tail, scratch.scaled)
    if settings.n_fields > 1:
        n_fields = settings.n_fields
        is_text = state.texts.is_text
        if state.texts.n[0] > 0:
            find_texts(x, n_features, is_text, scratch.texts)
        scaled = scratch.scaled
        return encode_fields(x, scaled, n_features, n_fields, is_text, code.channels, code.rows)
    return encode_intensities(x, state.statistics, n_features, code.channels, code.rows)


@kernel
def forward_pass(settings, state, scratch, x, t):
    """Encode `x` and run the hidden layers and all experts, unless scratch holds that already.

    Parameters
    ----------
    x
        (features or more,) float64.
    t
        float64: time of the row, which matters only with a memory.

    Returns
    -------
    bool
        Whether scratch held the pass already.
    """
    cache = scratch.cache
    times = scratch.times
    n_features = state.counts.n_features
    n_seen = state.counts.n_seen
    same_time = not settings.remembers or t == times.row or (t != t and times.row != times.row)
    if same_time and _is_cached(x, scratch.given, n_features, cache.valid_for, n_seen):
        return True
    times.row = t
    cache.n_channels = _encode(settings, state, scratch, x)
    if settings.max_delay > 0:
        set_code(scratch.code, cache.n_channels, scratch.lagged)
    net = state.net
    clean = scratch.clean
    no_noise = np.float32(0.0)
    weights = HiddenWeights(net.weights, net.deep_weights, state.texts.weights)
    run_hidden(settings, state, scratch, weights, no_noise, clean)
    _append_features(settings, state, scratch, scratch.row)
    if settings.n_fixed > 0:
        run_fixed_layer(settings, state, scratch)
    predict_members(settings, state, scratch)
    cache.valid_for = n_seen
    return False


@kernel
def _append_features(settings, state, scratch, x):
    """Write 1 and the scaled features behind the traces.

    Rows without receptive fields are scaled by their range: a pixel that was dark in the first rows
    has no deviation to scale by.
    """
    vector = scratch.clean.traces
    hidden = settings.n_hidden
    vector[hidden] = 1.0
    for f in range(state.counts.n_features):
        if settings.n_fields == 1:
            vector[hidden + 1 + f] = intensity(x[f], state.statistics, f)
        else:
            vector[hidden + 1 + f] = scratch.scaled[f]
