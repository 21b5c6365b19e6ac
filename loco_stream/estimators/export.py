"""What leaves an estimator: a hidden layer as a `Network`, and the currents that drive it.

A hidden layer is driven by constant currents through one window. Its weighted inputs times the gain
are a drive in thresholds a window, which takes the membrane to drive * tau / window + LEAK_SHARE
thresholds: a `Network` of the same neurons whose inputs are currents.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loco_stream.errors import ConfigError, InputError
from loco_stream.estimators.inputs.categories import text_columns
from loco_stream.estimators.inputs.slots import FeatureSlots
from loco_stream.estimators.inputs.tables import Table, table
from loco_stream.learner.arrays.scratch import Scratch
from loco_stream.learner.arrays.state import GAIN, N_CLASSES, N_FEATURES, N_POST, START, State
from loco_stream.neurons import find, window_of
from loco_stream.neurons.spikes import LEAK_SHARE
from loco_stream.options import ModelConfig, Settings

if TYPE_CHECKING:
    from loco_stream.simulator.network import Network
    from loco_stream.simulator.linear_readout import Readout

__all__ = ["Export"]


class Export:
    """What leaves both estimators; `LOCOEstimator` has what it is made from."""

    _lock: RLock
    _slots: FeatureSlots
    _classes: list[Hashable]
    _config: ModelConfig
    _settings: Settings | None
    _state: State | None
    _scratch: Scratch | None

    if TYPE_CHECKING:

        def _run(self, *args: Any, **options: Any) -> NDArray[np.float64]: ...
        def _names(self, width: int, features: Iterable[Hashable] | None) -> Sequence[Hashable]: ...
        def _with_texts(self, given: Table, *args: Any) -> NDArray[np.float64]: ...

    def to_network(self, layer: int | None = None) -> Network:
        """Return a hidden layer as it is now, as a `Network` whose inputs are the currents of `encode_array`.

        Its neurons fire when the model's do; the model keeps the first 20 spikes of a neuron in a
        window. With a `dt` that is `Network.run_clocked` on this grid, else `Network.run`. Learning
        goes on untouched. With ``readout="delta"`` on traces alone (``readout_layers`` "hidden" or
        "last") the network has the readout too.

        Parameters
        ----------
        layer
            Which hidden layer; None where there is one. The inputs of a later one are the traces of
            that before.

        Raises
        ------
        ConfigError
            The neuron model does not run as a `Network`, `memory` is set, or there are several layers and none was
            chosen.
        InputError
            The model has seen no row, which its width comes from.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=4, seed=1, reset="zero")
        >>> model.learn_array([[0.0, 1.0], [1.0, 0.0]], ["left", "right"])
        >>> net = model.to_network()
        >>> net
        Network(18-4, neuron='lif', dtype=float64)
        >>> record = net.run([], [], duration=20.0, currents=model.encode_array([[0.0, 1.0]])[0])
        """
        _check(self._config)
        with self._lock:
            if self._settings is None or self._state is None:
                raise InputError("this model has seen no row yet: its network has no width")
            return _hidden_network(self._config, self._settings, self._state, layer, self._classes)

    def encode_array(
        self, X: ArrayLike, features: Iterable[Hashable] | None = None
    ) -> NDArray[np.float32]:
        """Return the input currents of each row, (n, lines), each from 0 to 1.

        The statistics stay as they are.

        Raises
        ------
        InputError
            X does not fit the model, or the model has seen no row.
        """
        given = table(X)
        with self._lock:
            if self._settings is None or self._scratch is None:
                raise InputError("this model has seen no row yet: it has no scale to encode by")
            names = self._names(given.numbers.shape[1], features)
            rows = self._with_texts(
                given, names, text_columns(names, given.texts), 0, len(given.numbers)
            )
            lines = np.zeros((len(rows), len(self._slots) * self._settings.n_fields), np.float32)
            for row, line in zip(rows, lines, strict=True):
                self._run(row[None, :], learns=False)
                line[:] = self._scratch.code.lines[: len(line)]
            return lines


def _check(config: ModelConfig) -> None:
    """Raise `ConfigError` if no layer of such a model can be had as a network."""
    if not window_of(find(config.neuron).kind).as_network:
        raise ConfigError(
            f"`neuron` must be a model whose layers run as a Network, got {config.neuron!r}"
        )
    if config.memory is not None:
        raise ConfigError(
            f"memory is {config.memory!r}: traces that carry on from row to row are in no Network; it must be None"
        )
    if config.max_delay:
        raise ConfigError(
            f"max_delay is {config.max_delay}: rows of delay are in no Network; it must be 0"
        )


def _hidden_network(
    config: ModelConfig,
    settings: Settings,
    state: State,
    layer: int | None,
    classes: Sequence[Hashable],
) -> Network:
    """Return a hidden layer as it is now, with the readout where that is linear in its traces.

    Raises
    ------
    ConfigError
        There are several hidden layers and none was chosen.
    """
    from loco_stream.simulator.network import Network

    net = state.net
    n_layers = settings.n_layers
    if layer is None and n_layers > 1:
        raise ConfigError(
            f"hidden_sizes has {n_layers} layers; each takes as currents the traces that the one before has at the end "
            "of its window, which no connection of a Network does: choose one, as in to_network(layer=0)"
        )
    chosen = layer or 0
    if not 0 <= chosen < n_layers:
        raise ConfigError(f"layer is {layer!r}; allowed are 0 to {n_layers - 1}")
    n_post = int(net.sizes[N_POST, chosen])
    if chosen == 0:
        weights = net.weights[: int(state.counts[N_FEATURES]) * settings.n_fields, :n_post]
    else:
        weights = net.deep_weights[chosen - 1, : int(net.sizes[N_POST, chosen - 1]), :n_post]
    scale = float(np.float32(net.gains[GAIN, chosen])) * settings.tau / settings.window
    network = Network.from_weights(
        [weights.astype(np.float64) * scale],
        tau=settings.tau,
        drive=LEAK_SHARE,
        inputs="currents",
        dtype=np.float64,
        reset="zero" if config.reset == "zero" else "subtract",
        neuron=config.neuron,
    )
    if chosen == n_layers - 1:
        network.readout = _readout(settings, state, classes)
    return network


def _readout(settings: Settings, state: State, classes: Sequence[Hashable]) -> Readout | None:
    """Return the delta rule's readout of the last layer.

    None where the output is no linear function of its traces.
    """
    if (
        settings.recursive
        or settings.raw_inputs
        or settings.regression
        or not (settings.n_layers == 1 or settings.last_layer)
    ):
        return None
    from loco_stream.simulator.linear_readout import Readout

    n = int(state.counts[N_CLASSES])
    start = 0 if settings.last_layer else int(state.net.sizes[START, -1])
    rows = state.bank.traces.astype(np.float64)[start : start + settings.n_last + 1, :n]
    return Readout(settings.tau_trace, rows[:-1].copy(), rows[-1].copy(), tuple(classes))
