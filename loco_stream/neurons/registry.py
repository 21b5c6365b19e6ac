"""Neuron models by name.

What the simulator, its queue and the estimators know of a model, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError

__all__ = [
    "EventOperations",
    "NeuronModel",
    "WindowOperations",
    "find",
    "model_of",
    "names",
    "register",
    "window_of",
]

Parameters = Mapping[str, float]


@dataclass(frozen=True)
class EventOperations:
    """One neuron at a time, for nets with a queue.

    Compiled by `loco_stream._compiler.jit.kernel`, times in ms.

    `cells` is (n, k) float64, one row a neuron, and its column 0 the time of the last spike, which
    the caller writes; `numbers` holds what all neurons of the layer share. What is None does
    nothing, or answers with a plain no.
    """

    receive: Any  # (cells, numbers, i, weight, t): add a spike that arrives now
    ready: Any  # (cells, numbers, i, t) -> whether neuron i must fire now
    # (cells, numbers, i, t) -> whether neuron i, reset after its spike, stays at or above threshold
    fire: Any
    membrane: Any  # (cells, numbers, i, t) -> the membrane now; the state stays as it is
    crossing: Any = (
        None  # (cells, numbers, i, t) -> when neuron i fired by itself by now, or infinity
    )
    enter: Any = None  # (cells, numbers, t): make t the present of the whole layer
    # (cells, numbers, first, stop) -> True only if none of these has fired by itself by now
    quiet: Any = None
    foresee: Any = None  # (cells, numbers, t): make t, now or later, the horizon of `calm`
    # (cells, numbers, i) -> True only if neuron i fires neither now nor by the horizon if left
    # alone
    calm: Any = None
    # (cells, numbers, t) -> what a spike of weight 1 that arrives at t adds to column 1 of the
    # cells, which changes in no other way until the neuron fires. Such neurons may get the spikes
    # of a window in any order, as long as they add up to less than column 2: what `calm` found to
    # be missing to the threshold, by the horizon.
    lift: Any = None


@dataclass(frozen=True)
class WindowOperations:
    """One neuron from rest through one window under a constant drive, for the estimators.

    A drive of `a` thresholds a window should make a neuron fire about `a` times. Compiled by
    `loco_stream._compiler.jit.kernel`; times and time constants in ms; `cell` is what `settings` returned.

    Attributes
    ----------
    settings
        Returns the model's `kind` for a membrane time constant: what the compiled operations read.
    times
        (cell, drive, window, tau, room, times) -> number of spikes. Writes when the neuron fires,
        ascending, as many as `times` (float64) holds; `room` is (2, 8) float64 working memory.
    trace
        (cell, drive, window, tau, tau_trace, late, room, times) -> (trace, number of spikes), in
        closed form: what `spikes.trace_of` makes of the times, which is what is used where this is
        None. `late` is exp(-window / tau_trace).
    """

    settings: Callable[[float], Any]
    times: Any
    trace: Any = None


@dataclass(frozen=True)
class NeuronModel:
    """A neuron model: its name, its parameters, and the compiled functions that run it.

    Attributes
    ----------
    name
        As in `Network.from_weights(..., neuron=name)` and `LOCOClassifier(neuron=name)`.
    kind
        A NamedTuple of plain numbers with a default each. Its type tells compiled code which model
        is meant.
    events
        What a net with a queue calls.
    start
        Called with (membranes, threshold, drive, tau, refractory, reset_zero, parameters), the
        first three (n,) float64; returns cells and numbers at time 0.
    shift
        Called with (cells, numbers, duration): moves all times but that of the last spike
        `duration` ms back.
    parameters
        Names and defaults of the keywords that `Network.from_weights` takes for this model.
    check
        Raises `ConfigError` if parameters do not fit together.
    rest
        Membranes at rest for parameters and drive (n,).
    fires_alone
        Whether a neuron can fire between events, for a membrane time constant and parameters. A
        drive above threshold always counts.
    leaky
        Whether tau, threshold, reset and refractory period mean anything to the model.
    window
        What the estimators run; None: the model runs in `Network` alone.
    run_net
        Runs a whole dense net without delays in one call, as `loco_stream.neurons.lif_net.run_lif`;
        None: the queue does it.
    run_samples
        Runs such a net on many samples, as `run_lif_samples` there; None: they are run one by one.
    """

    name: str
    kind: type[tuple[Any, ...]]
    events: EventOperations
    start: Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]
    shift: Callable[[NDArray[np.float64], NDArray[np.float64], float], None]
    parameters: Parameters
    check: Callable[[Parameters], None] = lambda parameters: None
    rest: Callable[[Parameters, NDArray[np.float64]], Any] = lambda parameters, drive: np.zeros(
        len(drive)
    )
    fires_alone: Callable[[float, Parameters], bool] = lambda tau, parameters: False
    leaky: bool = True
    window: WindowOperations | None = None
    run_net: Any = None
    run_samples: Any = None


_BY_NAME: dict[str, NeuronModel] = {}
_BY_KIND: dict[type[tuple[Any, ...]], NeuronModel] = {}


def register(model: NeuronModel) -> NeuronModel:
    """Make a neuron model known by its name, to `Network` and to the estimators.

    A model from outside this package is compiled anew in every process: the compile cache cannot
    know its sources.

    Returns
    -------
    The model itself.

    Raises
    ------
    ConfigError
        The name or the kind is taken, or the kind is no NamedTuple with a default for every field.

    Examples
    --------
    A leaky neuron under another name, with two parameters of its own:

    >>> from dataclasses import replace
    >>> from typing import NamedTuple
    >>> from loco_stream import Network, neurons
    >>> class Plain(NamedTuple):
    ...     reset_zero: bool = False
    >>> model = neurons.register(replace(neurons.find("lif"), name="plain", kind=Plain))
    >>> Network.from_weights([[[1.0]]], neuron="plain", delays=1.0).run([2.0], [0], duration=5.0).times.tolist()
    [3.0]
    """
    if not isinstance(model.name, str) or not model.name.isidentifier():
        raise ConfigError(f"name of a neuron model is {model.name!r}; allowed is a Python name")
    if model.name in _BY_NAME:
        raise ConfigError(
            f"name of a neuron model is {model.name!r}, which is taken; taken are {_quoted()}"
        )
    defaults = getattr(model.kind, "_field_defaults", None)
    if (
        defaults is None
        or model.kind in _BY_KIND
        or set(defaults) != set(getattr(model.kind, "_fields", ()))
    ):
        raise ConfigError(
            f"kind of the neuron model {model.name!r} is {model.kind!r}; "
            "it must be a NamedTuple of its own, with a default for every field"
        )
    _BY_NAME[model.name] = _BY_KIND[model.kind] = model
    return model


def names() -> tuple[str, ...]:
    """Return the names of all models, in the order they were registered."""
    return tuple(_BY_NAME)


def find(name: str) -> NeuronModel:
    """Return the model of that name.

    Raises
    ------
    ConfigError
        There is none; the text lists those there are.
    """
    model = _BY_NAME.get(name) if isinstance(name, str) else None
    if model is None:
        raise ConfigError(f"neuron is {name!r}; allowed are {_quoted()}")
    return model


def window_of(kind: type[tuple[Any, ...]]) -> WindowOperations:
    """Return the window operations of the model whose parameters are of that type.

    Raises
    ------
    ConfigError
        It has none.
    """
    operations = model_of(kind).window
    if operations is None:
        raise ConfigError(
            f"neuron is {model_of(kind).name!r}, a model without a window: it runs in Network alone"
        )
    return operations


def model_of(kind: type[tuple[Any, ...]]) -> NeuronModel:
    """Return the model whose parameters are of that type."""
    return _BY_KIND[kind]


def _quoted() -> str:
    return ", ".join(map(repr, _BY_NAME))
