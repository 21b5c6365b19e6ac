"""Export of an estimator: a hidden layer as a `Network`, and the currents that drive it.

A hidden layer is driven by constant currents through one window. Its weighted inputs times the gain
are a drive in thresholds per window, which takes the membrane to drive * tau / window + LEAK_SHARE
thresholds: a `Network` of the same neurons whose inputs are currents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float32
from loco_stream._checks import integer, require
from loco_stream._learner.arrays.state import State
from loco_stream._learner.settings import Settings
from loco_stream._options import ModelOptions
from loco_stream.errors import ConfigError, InputError
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._inputs.tables import Names, table
from loco_stream.neurons import find, window_of
from loco_stream.neurons._spikes import LEAK_SHARE

if TYPE_CHECKING:
    from loco_stream._simulator.linear_readout import Readout
    from loco_stream._simulator.network import Network


def to_network(core: ModelCore, layer: int | None) -> Network:
    """Return a hidden layer as it is now, with the readout where that is linear in its traces."""
    _check(core.options)
    with core.lock:
        if core.state is None:
            raise InputError("`to_network` needs a model that has learned at least 1 row")
        settings, state, _ = core.model
        chosen = _chosen_layer(settings, layer)
        network = _network(core, settings, state, chosen)
        if chosen == settings.n_layers - 1:
            network.readout = _readout(core, settings, state)
        return network


def encode_array(core: ModelCore, X: ArrayLike, features: Names) -> Float32:
    """Return the input currents of each row, (n, channels)."""
    inputs = table(X)
    n = len(inputs.numbers)
    with core.lock:
        if core.state is None:
            raise InputError("`encode_array` needs a model that has learned at least 1 row")
        settings, state, scratch = core.model
        inputs, names = core.named(inputs, features)
        rows = core.rows_of(inputs, names)
        n_texts = int(state.texts.n[0])
        n_channels = _n_channels(settings, state)
        currents = np.zeros((n, n_channels + n_texts), np.float32)
        for row, row_currents in zip(rows, currents, strict=True):
            core.run(row[None, :], learns=False)
            row_currents[:n_channels] = scratch.code.channels[:n_channels]
            row_currents[n_channels + scratch.texts.rows[: scratch.texts.n[0]]] = 1.0
        return currents


def _n_channels(settings: Settings, state: State) -> int:
    """Return the number of channels; behind them stands one per text."""
    return (int(state.counts.n_features) - int(state.texts.n[0])) * settings.n_fields


def _check(options: ModelOptions) -> None:
    """Raise `ConfigError` if no layer of such a model is a network."""
    if not window_of(find(options.neuron).kind).as_network:
        raise ConfigError(
            f"`neuron` must be a model whose layers run as a Network, got {options.neuron!r}"
        )
    if options.memory is not None:
        raise ConfigError(
            "`memory` must be None for a Network, in which no trace carries on from row to row, "
            f"got {options.memory!r}"
        )
    if options.max_delay:
        raise ConfigError(
            "`max_delay` must be 0 for a Network, in which there are no rows, "
            f"got {options.max_delay}"
        )


def _chosen_layer(settings: Settings, layer: int | None) -> int:
    n_layers = settings.n_layers
    if layer is None and n_layers > 1:
        raise ConfigError(
            f"`layer` must be an integer from 0 to {n_layers - 1}, got None: each layer takes the "
            "traces of the one before as currents, which no connection of a Network does"
        )
    chosen: int = require("layer", 0 if layer is None else layer, integer(0, n_layers - 1))
    return chosen


def _network(core: ModelCore, settings: Settings, state: State, layer: int) -> Network:
    from loco_stream._simulator.network import Network

    net = state.net
    n_post = int(net.n_post[layer])
    if layer == 0:
        of_numbers = net.weights[: _n_channels(settings, state), :n_post]
        weights = np.concatenate([of_numbers, state.texts.weights[: state.texts.n[0], :n_post]])
    else:
        weights = net.deep_weights[layer - 1, : int(net.n_post[layer - 1]), :n_post]
    scale = float(np.float32(net.gain[layer])) * settings.tau / settings.window
    return Network.from_weights(
        [weights.astype(np.float64) * scale],
        tau=settings.tau,
        drive=LEAK_SHARE,
        inputs="currents",
        dtype=np.float64,
        reset="zero" if core.options.advanced.reset == "zero" else "subtract",
        neuron=core.options.neuron,
    )


def _readout(core: ModelCore, settings: Settings, state: State) -> Readout | None:
    """Return the delta rule's readout.

    None where the output is not linear in the layer's traces.
    """
    is_linear = not (settings.recursive or settings.raw_inputs or settings.regression)
    if not is_linear or not (settings.n_layers == 1 or settings.last_layer):
        return None
    from loco_stream._simulator.linear_readout import Readout

    n = int(state.counts.n_classes)
    start = 0 if settings.last_layer else int(state.net.first[-1])
    weights = state.experts.least_squares.weights.astype(np.float64)
    rows = weights[start : start + settings.n_last + 1, :n]
    return Readout(settings.tau_trace, rows[:-1].copy(), rows[-1].copy(), tuple(core.classes))
