"""The definition of a neuron model, and the registry of all models by name.

Simulator and estimators take everything they know about a model from its `NeuronModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from loco_stream._arrays import Float64, Records
from loco_stream.errors import ConfigError

Parameters: TypeAlias = Mapping[str, float]
Kernel: TypeAlias = Callable[..., Any]


class Start(Protocol):
    """Signature of `NeuronModel.start`.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream.neurons import find
    >>> zeros = np.zeros(3)
    >>> own, shared = find("lif").start(zeros, zeros + 1.0, zeros, 20.0, 0.0, False, {})
    >>> len(own), len(shared)
    (3, 1)
    """

    def __call__(
        self,
        v: Float64,
        threshold: Float64,
        drive: Float64,
        tau: float,
        refractory: float,
        reset_zero: bool,
        parameters: Parameters,
        /,
    ) -> tuple[Records, Records]:
        """Return the records of the neurons (n,) and the shared record (1,)."""
        ...


@dataclass(frozen=True)
class EventOperations:
    """Kernels on the neurons of one layer, called by the event loops of `Network`.

    Compile each with `loco_stream.neurons.kernel`. They take the two results of
    `NeuronModel.start`: `state` (n,), one record per neuron, and `shared`, the one record that the
    layer shares. `i` (int) is a neuron, `t` (float) the present time in ms, which never decreases.
    Optional operations are None unless the model needs them.

    Attributes
    ----------
    receive
        ``(state, shared, i, weight, t)``: add a spike of `weight` (float) that arrives now.
    at_threshold
        ``(state, shared, i, t) -> bool``: whether neuron `i` must fire now.
    reset
        ``(state, shared, i, t) -> bool``: reset neuron `i`, which fires now; return whether it
        remains at or above threshold. The caller sets ``state[i].last_spike`` afterwards.
    membrane
        ``(state, shared, i, t) -> float``: return the membrane now and change nothing.
    next_spike
        ``(state, shared, i, t) -> float``: return when neuron `i` reached its threshold without
        input since its last event, up to now, or infinity. None: it fires only when a spike
        arrives.
    advance_to
        ``(state, shared, t)``: make `t` the present time of the whole layer.
    none_fired
        ``(state, shared, first, stop) -> bool``: True only if none of the neurons `first` to
        ``stop - 1`` has reached its threshold by now without input. Saves calls of `next_spike`.
    set_horizon
        ``(state, shared, t)``: set the horizon of `silent_until_horizon`, now or later.
    silent_until_horizon
        ``(state, shared, i) -> bool``: True only if neuron `i` fires neither now nor until the
        horizon without further input.
    psp_scale
        ``(state, shared, t) -> float``: return the change of ``state[i].scaled_v`` that a spike of
        weight 1 causes if it arrives at `t`. Between spikes `scaled_v` must be constant. Models
        with this operation receive the spikes of a time window in any order, as long as their
        positive changes add up to less than ``state[i].margin``, which `silent_until_horizon` sets
        to the distance to the threshold.

    Examples
    --------
    >>> from loco_stream import neurons
    >>> neurons.find("izhikevich").events.psp_scale is None
    True
    """

    receive: Kernel
    at_threshold: Kernel
    reset: Kernel
    membrane: Kernel
    next_spike: Kernel | None = None
    advance_to: Kernel | None = None
    none_fired: Kernel | None = None
    set_horizon: Kernel | None = None
    silent_until_horizon: Kernel | None = None
    psp_scale: Kernel | None = None


@dataclass(frozen=True)
class WindowOperations:
    """Kernels on one neuron under a constant drive through one window, for the estimators.

    The neuron starts at rest. A drive of `a` thresholds per window should make it fire about `a`
    times. Compile kernels with `loco_stream.neurons.kernel`; times and time constants are float64
    in ms, `parameters` is the result of `settings`.

    Attributes
    ----------
    settings
        ``(tau, **options) -> kind``: return the model's `kind` for a membrane time constant and for
        the options named in `options`.
    times
        ``(parameters, drive, window, tau, scratch, times) -> int``: write the ascending spike times
        to `times` (room,) float64, at most as many as it holds; return their number. `scratch` is
        working memory, (2, 8) float64.
    traces
        ``(parameters, values, window, tau, tau_trace, late, scratch, times) -> int``: replace each
        of `values` (neurons,) float32, the drives, by the synaptic trace at the end of the window;
        return the number of all spikes. `late` is exp(-window / tau_trace). None: `times` is called
        for each neuron, and `_spikes.trace_of` for its spikes.
    options
        Estimator options that `settings` takes: ``"reset"`` ("subtract" or "zero") and ``"dt"`` (ms
        or None).
    as_network
        Whether a `Network` of this model with constant currents fires as the window does, so that
        the estimators can export their layers.

    Examples
    --------
    >>> from loco_stream import neurons
    >>> [name for name in ("lif", "alif") if neurons.find(name).window.as_network]
    ['lif']
    """

    settings: Callable[..., Any]
    times: Kernel
    traces: Kernel | None = None
    options: tuple[str, ...] = ()
    as_network: bool = False


@dataclass(frozen=True)
class DenseOperations:
    """Compiled functions that run dense feed-forward nets without delays as a whole.

    Attributes
    ----------
    run
        Runs all layers in one call; signature of `_lif_net.run_lif`.
    run_samples
        Runs many samples in one call; signature of `_lif_net.run_lif_samples`.
    """

    run: Kernel
    run_samples: Kernel


@dataclass(frozen=True)
class NeuronModel:
    """A neuron model: its name, its parameters and the kernels that run it.

    `loco_stream.testing.check_neuron` checks a definition.

    Attributes
    ----------
    name
        As in ``Network.from_weights(..., neuron=name)`` and ``LOCOClassifier(neuron=name)``.
    kind
        A NamedTuple of numbers with a default each. Compiled code chooses the model by this type,
        so its class name must be unique among all models.
    events
        The operations of `Network`.
    start
        ``(v, threshold, drive, tau, refractory, reset_zero, parameters) -> (state, shared)`` for
        membranes `v` at time 0; the first three are (n,) float64. Returns record arrays (n,) and
        (1,) of dtypes made by `loco_stream.neurons.struct_dtype`; `state` has the field
        `last_spike`, -inf at the start.
    shift
        ``(state, shared, duration)``: subtract `duration` from all times except `last_spike`.
    parameters
        Names and defaults of the model's keywords of `Network.from_weights`.
    check
        ``(parameters)``: raise `ConfigError` if parameters are out of range.
    rest
        ``(parameters, drive) -> (n,)``: membranes at rest for a drive (n,).
    fires_between_events
        ``(tau, parameters) -> bool``: whether a neuron can fire while no spike arrives. A drive
        above threshold always implies it.
    leaky
        Whether the model uses `tau`, `threshold`, `reset` and `refractory`.
    window
        The operations of the estimators; None: the model runs only in `Network`.
    clocked
        Whether `Network.run_clocked` simulates it: in a step of dt the membrane decays by
        exp(-dt / tau) towards its level, with a constant threshold and the layer's reset.
    nir_node
        The node type that `Network.to_nir` writes; None: the model cannot be exported.
    dense
        Operations on dense feed-forward nets without delays; None: the event loop runs them.

    Examples
    --------
    >>> from loco_stream import neurons
    >>> neurons.find("lif").leaky, neurons.find("izhikevich").leaky
    (True, False)
    """

    name: str
    kind: type[tuple[object, ...]]
    events: EventOperations
    start: Start
    shift: Callable[[Records, Records, float], None]
    parameters: Parameters
    check: Callable[[Parameters], None] = lambda parameters: None
    rest: Callable[[Parameters, Float64], Float64] = lambda parameters, drive: np.zeros(len(drive))
    fires_between_events: Callable[[float, Parameters], bool] = lambda tau, parameters: False
    leaky: bool = True
    window: WindowOperations | None = None
    clocked: bool = False
    nir_node: str | None = None
    dense: DenseOperations | None = None

    def __reduce__(self) -> tuple[Callable[[str], NeuronModel], tuple[str]]:
        """Pickle the name: kernels are of this process, and networks hold the registered model."""
        return find, (self.name,)


_BY_NAME: dict[str, NeuronModel] = {}
_BY_KIND: dict[type[tuple[object, ...]], NeuronModel] = {}


def register(model: NeuronModel) -> NeuronModel:
    """Make a neuron model available by name, in `Network` and in the estimators.

    The kernels of a model from outside this package are compiled in every process: the compile
    cache does not see changes in its sources.

    Returns
    -------
    The model.

    Raises
    ------
    ConfigError
        The name, or the class name of the kind, is taken, or the kind is not a NamedTuple with a
        default for every field.

    Examples
    --------
    A leaky neuron under another name, with parameters of its own:

    >>> from dataclasses import replace
    >>> from typing import NamedTuple
    >>> from loco_stream import Network, neurons
    >>> class Plain(NamedTuple):
    ...     reset_zero: bool = False
    >>> model = neurons.register(replace(neurons.find("lif"), name="plain", kind=Plain))
    >>> net = Network.from_weights([[[1.0]]], neuron="plain", delays=1.0)
    >>> net.run([2.0], [0], duration=5.0).times.tolist()
    [3.0]
    """
    _check_name(model.name)
    _check_kind(model)
    _BY_NAME[model.name] = model
    _BY_KIND[model.kind] = model
    return model


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"`name` of a neuron model must be a Python identifier, got {name!r}")
    if name in _BY_NAME:
        raise ConfigError(
            f"`name` of a neuron model must not be one of {_quoted_names()}, got {name!r}"
        )


def _check_kind(model: NeuronModel) -> None:
    fields = getattr(model.kind, "_fields", None)
    defaults = getattr(model.kind, "_field_defaults", {})
    # compiled code is linked by the names of types
    is_taken = any(model.kind.__name__ == kind.__name__ for kind in _BY_KIND)
    if fields is None or set(fields) != set(defaults) or is_taken:
        raise ConfigError(
            f"`kind` of the neuron model {model.name!r} must be a NamedTuple with a default for "
            f"every field, whose name no other model's kind has, got {model.kind!r}"
        )


def names() -> tuple[str, ...]:
    """Return the names of all models in the order of registration.

    Examples
    --------
    >>> names()[:3]
    ('lif', 'alif', 'izhikevich')
    """
    return tuple(_BY_NAME)


def find(name: str) -> NeuronModel:
    """Return the model with this name.

    Raises
    ------
    ConfigError
        There is none; the message lists all names.

    Examples
    --------
    >>> find("alif").parameters["tau_adapt"]
    100.0
    """
    model = _BY_NAME.get(name) if isinstance(name, str) else None
    if model is None:
        raise ConfigError(f"`neuron` must be one of {_quoted_names()}, got {name!r}")
    return model


def model_of(kind: type[tuple[object, ...]]) -> NeuronModel:
    """Return the model with this `kind`.

    Raises
    ------
    KeyError
        No registered model has it.

    Examples
    --------
    >>> model_of(find("lif").kind).name
    'lif'
    """
    return _BY_KIND[kind]


def window_of(kind: type[tuple[object, ...]]) -> WindowOperations:
    """Return the window operations of the model with this `kind`.

    Raises
    ------
    ConfigError
        It has none.

    Examples
    --------
    >>> window_of(find("lif").kind).options
    ('reset', 'dt')
    """
    model = model_of(kind)
    if model.window is None:
        raise ConfigError(
            f"`neuron` must be a model with window operations, got {model.name!r}, "
            "which runs only in Network"
        )
    return model.window


def _quoted_names() -> str:
    return ", ".join(map(repr, _BY_NAME))
