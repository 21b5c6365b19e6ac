"""The way from a row of numbers to what the readout's members say of it."""

from __future__ import annotations

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.encoding import encode_fields, encode_intensities, intensity, scale
from loco_stream.learner.readout import least_squares as readout
from loco_stream.learner.spikes import nonzero, run_hidden
from loco_stream.learner.state import (
    CLEAN_FOR,
    N_FEATURES,
    N_GAINS,
    N_IN,
    N_LINEAR_ROWS,
    N_ROWS,
    N_SEEN,
    NOISE,
)
from loco_stream.simd.ops import weigh_rows

__all__ = ["clean_pass", "ensure_gains", "span"]


@kernel
def _is_cached(x, row, n, cached_for, n_seen):
    """Return whether scratch holds the pass of this very row under these very weights."""
    if cached_for != n_seen:
        return False
    for f in range(n):
        a, b = x[f], row[f]
        if not (a == b or (a != a and b != b)):
            return False
    return True


@kernel
def _encode(settings, statistics, code, n_before, x, n_features, row, scaled):
    """Scale and encode a row, remembering it; return how many lines are not 0. `n_before` were so of the last row."""
    for f in range(n_features):
        row[f] = x[f]
    for r in range(n_before):
        code.lines[code.rows[r]] = np.float32(0.0)
    scale(x, n_features, statistics, scaled)
    if settings.n_fields > 1:
        return encode_fields(x, scaled, n_features, settings.n_fields, code.lines, code.rows)
    return encode_intensities(x, statistics, n_features, code.lines, code.rows)


@kernel
def span(settings, n_features):
    """Return where the readout's inputs start in the feature vector, and their number."""
    if settings.last_layer:
        return settings.n_hidden - settings.n_last, settings.n_last + 1
    return 0, settings.n_hidden + 1 + (n_features if settings.raw_inputs else 0)


@kernel
def _speak(settings, bank, features, n_features, answers, flags):
    """Write the outputs of every member."""
    first, n_inputs = span(settings, n_features)
    flags[N_ROWS] = nonzero(features, first, n_inputs, answers.rows)
    n_columns = bank.traces.shape[1]
    weigh_rows(answers.outputs, bank.traces, n_columns, features, first, answers.rows, flags[N_ROWS])
    if settings.n_linear == 0:
        return
    hidden, rows = settings.n_hidden, answers.linear_rows
    flags[N_LINEAR_ROWS] = nonzero(features, hidden, n_features + 1, rows)
    n_rows, n_linear = flags[N_LINEAR_ROWS], bank.linear.shape[1]
    weigh_rows(answers.outputs[n_columns:], bank.linear, n_linear, features, hidden, rows, n_rows)
    if bank.logistic.shape[0] > 0:
        weigh_rows(answers.logistic, bank.logistic, bank.logistic.shape[1], features, hidden, rows, n_rows)


@kernel
def clean_pass(settings, state, scratch, x):
    """Encode `x`, run the net and the readout's members, unless scratch holds just that already; return whether so."""
    n_features, n_seen = state.counts[N_FEATURES], state.counts[N_SEEN]
    flags, z, hidden, run = scratch.flags, scratch.features, settings.n_hidden, scratch.run
    if _is_cached(x, scratch.row, n_features, flags[CLEAN_FOR], n_seen):
        return True
    flags[N_GAINS] = 0
    flags[N_IN] = _encode(
        settings, state.statistics, scratch.code, max(flags[N_IN], 0), x, n_features, scratch.row, scratch.scaled
    )
    net = state.net
    run_hidden(
        settings, net.sizes, net.weights, net.deep_weights, net.gains, scratch.code, flags[N_IN],
        run.neurons[NOISE], np.float32(0.0), run, run.drives[0], z, run.spikes[0],
    )  # fmt: skip
    z[hidden] = np.float32(1.0)
    by_range = settings.n_fields == 1  # a pixel that was dark in the first samples has no deviation to scale by
    for f in range(n_features):
        z[hidden + 1 + f] = intensity(x[f], state.statistics, f) if by_range else scratch.scaled[f]
    _speak(settings, state.bank, z, n_features, scratch.answers, flags)
    flags[CLEAN_FOR] = n_seen
    return False


@kernel
def _gain(settings, bank, m, features, n_features, answers, flags):
    """Write a member's gain and what it says of the input's novelty; linear members follow, then the logistic one."""
    shares, linear, hidden = answers.shares, m - settings.n_trace, settings.n_hidden
    rows, n_rows = answers.linear_rows, flags[N_LINEAR_ROWS]
    if linear >= settings.n_linear:
        shares[0, m], _ = readout.gain(
            bank.logistic_projector, n_features + 1, features, hidden, rows, n_rows, answers.logistic_gain
        )
    elif linear >= 0:
        shares[0, m], _ = readout.gain(
            bank.linear_projectors[linear], n_features + 1, features, hidden, rows, n_rows,
            answers.linear_gains[linear],
        )  # fmt: skip
    else:
        first, n_inputs = span(settings, n_features)
        shares[0, m], square = readout.gain(
            bank.projectors[m], n_inputs, features, first, answers.rows, flags[N_ROWS], answers.gains[m]
        )
        shares[1, m] = shares[0, m] / (bank.members[1, m] * square)


@kernel
def ensure_gains(settings, state, scratch, n_members):
    """Make sure that the first members' gains for the sample in scratch are there."""
    flags = scratch.flags
    while flags[N_GAINS] < n_members:
        _gain(settings, state.bank, flags[N_GAINS], scratch.features, state.counts[N_FEATURES], scratch.answers, flags)
        flags[N_GAINS] += 1
