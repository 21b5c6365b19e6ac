"""Simulation on a time grid, as clocked simulators and neuromorphic chips do it.

The reference for files that are exported to them. In each step of dt the membrane decays by
exp(-dt / tau) towards the level that its input sets, which is exact for input that is constant
within the step. Then neurons at or above threshold fire and are reset. An input spike in a step
adds its weight at the step's end, as in `Network.run`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Bool, Float64
from loco_stream._simulator.layers import Layer
from loco_stream.errors import ConfigError, InputError


def require_grid(layers: list[Layer], method: str) -> None:
    """Raise `ConfigError` for a net that is not defined on a time grid.

    `method` is the name of the called method, for the message.
    """
    for i, layer in enumerate(layers):
        found = [
            (not layer.model.clocked, f"neuron={layer.model.name!r}"),
            (layer.recurrent is not None, "recurrent connections"),
            (layer.forward.delayed, "delays"),
            (layer.refractory > 0.0, "a refractory period"),
            (layer.forward.dense is None, "sparse weights"),
        ]
        for present, what in found:
            if present:
                raise ConfigError(
                    f"{method} requires a dense feed-forward net of neurons that are defined on a "
                    f"time grid, got {what} in layer {i}"
                )


def run_clocked(layers: list[Layer], inputs: ArrayLike, dt: float, currents: bool) -> list[Bool]:
    """Return which neurons of each layer fire in each step, (..., steps, n_post).

    See `Network.run_clocked`; `currents`: whether the inputs are currents.
    """
    require_grid(layers, "run_clocked")
    if not 0.0 < dt < math.inf:
        raise InputError(f"`dt` must be a number of ms above 0, got {dt!r}")
    sent = _checked_inputs(inputs, layers[0].n_pre)
    fired = []
    for i, layer in enumerate(layers):
        spikes = _run_layer(layer, sent, dt, currents and i == 0)
        fired.append(spikes)
        sent = spikes.astype(np.float64)
    return fired


def _checked_inputs(inputs: ArrayLike, n_inputs: int) -> Float64:
    sent = np.asarray(inputs, np.float64)
    if sent.ndim < 2 or sent.shape[-1] != n_inputs or not np.isfinite(sent).all():
        raise InputError(
            f"`inputs` must be finite numbers (..., steps, {n_inputs}), got shape {sent.shape}"
        )
    return sent


def _run_layer(layer: Layer, sent: Float64, dt: float, currents: bool) -> Bool:
    dense = layer.forward.dense
    assert dense is not None
    keep = math.exp(-dt / layer.tau)
    arriving = sent @ dense.astype(np.float64)
    if currents:
        jumps = (arriving + layer.drive) * (1.0 - keep)
    else:
        jumps = arriving + layer.drive * (1.0 - keep)
    spikes = np.zeros(jumps.shape, bool)
    v = np.zeros_like(jumps[..., 0, :])
    for step in range(jumps.shape[-2]):
        v = v * keep + jumps[..., step, :]
        fires = v >= layer.threshold
        spikes[..., step, :] = fires
        v -= np.where(fires, v if layer.reset_zero else layer.threshold, 0.0)
    return spikes
