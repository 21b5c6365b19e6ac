"""What an estimator shows of its state."""

from __future__ import annotations

import numpy as np

from loco_stream._arrays import Float32, Float64, Int32, Int64
from loco_stream._learner.hidden import last_spikes as kernel_last_spikes
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._inputs.row_times import row_times_at
from loco_stream.neurons._spikes import MOST_SPIKES


def spike_counts(core: ModelCore) -> Int64:
    """Return the spikes of each hidden layer in the last forward pass."""
    if core.scratch is None:
        return np.zeros(len(core.layout.hidden_sizes), np.int64)
    spikes: Int64 = core.scratch.clean.spikes
    return spikes.copy()


def mixture(core: ModelCore) -> dict[str, float]:
    """Return the weight of each part of the readout."""
    settings = core.settings
    state = core.state
    if settings is None or state is None or not settings.recursive:
        return {}
    names: list[str] = []
    for expert in EXPERTS:
        if settings.regression or expert.n_opinions(settings):
            names += expert.names(core.layout, settings)
    if settings.regression:
        return dict(zip(names, state.stacks.weights.tolist(), strict=True))
    names = ["stack", "least-squares stack", *names]
    return dict(zip(names, shares(state.mixture.log_weights).tolist(), strict=True))


def shares(log_weights: Float64) -> Float64:
    """Return weights that add up to 1, given the logarithms of weights."""
    weights: Float64 = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


def last_spikes(core: ModelCore) -> tuple[Float32, Int32]:
    """Return times (ms) and neurons of the last hidden layer's spikes on the last row."""
    with core.lock:
        if core.n_seen == 0:
            return np.zeros(0, np.float32), np.zeros(0, np.int32)
        settings, state, scratch = core.model
        times_of_row = row_times_at(np.array([scratch.times.row]))
        core.run(scratch.given[None, :], learns=False, times=times_of_row)
        room = MOST_SPIKES * settings.n_last
        times = np.zeros(room, np.float32)
        neurons = np.zeros(room, np.int32)
        weighted = scratch.clean.drives[settings.n_hidden - settings.n_last :]
        gain = float(state.net.gain[-1])
        window = scratch.window
        n = kernel_last_spikes(
            settings, settings.n_last, gain, weighted, window.cell, window.times, (times, neurons)
        )
        order = np.argsort(times[:n], kind="stable")
        return times[order], neurons[order]
