"""The event operations of `EventOperations` for the neurons of any model.

In compiled code the type of `neurons.model` selects the kernel while the caller is compiled, at no
cost at run time. Interpreted (NUMBA_DISABLE_JIT=1) each call selects it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from loco_stream._arrays import Records
from loco_stream._compiler.jit import kernel, overloaded
from loco_stream.neurons._definition import model_of


class Neurons(NamedTuple):
    """The neurons of one layer: their model and the two results of its `start`."""

    model: tuple[object, ...]  # an instance of `NeuronModel.kind`
    state: Records  # (n,)
    shared: Records  # (1,)


def receive(neurons: Neurons, i: int, weight: float, t: float) -> None:
    """Add a spike of `weight` that arrives at neuron `i` at the present time `t`."""
    _kernels(type(neurons.model)).receive(neurons.state, neurons.shared[0], i, weight, t)


def at_threshold(neurons: Neurons, i: int, t: float) -> bool:
    """Return whether neuron `i` must fire at the present time `t`."""
    return bool(_kernels(type(neurons.model)).at_threshold(neurons.state, neurons.shared[0], i, t))


def reset(neurons: Neurons, i: int, t: float) -> bool:
    """Reset neuron `i`, which fires at `t`; return whether it remains at or above threshold."""
    return bool(_kernels(type(neurons.model)).reset(neurons.state, neurons.shared[0], i, t))


def membrane(neurons: Neurons, i: int, t: float) -> float:
    """Return the membrane of neuron `i` at the present time `t`."""
    return float(_kernels(type(neurons.model)).membrane(neurons.state, neurons.shared[0], i, t))


def next_spike(neurons: Neurons, i: int, t: float) -> float:
    """Return when neuron `i` reached its threshold without input, up to `t`, or infinity."""
    return float(_kernels(type(neurons.model)).next_spike(neurons.state, neurons.shared[0], i, t))


def advance_to(neurons: Neurons, t: float) -> None:
    """Make `t` the present time of the layer."""
    _kernels(type(neurons.model)).advance_to(neurons.state, neurons.shared[0], t)


def none_fired(neurons: Neurons, first: int, stop: int) -> bool:
    """Return True only if none of the neurons `first` to `stop - 1` has reached its threshold."""
    return bool(
        _kernels(type(neurons.model)).none_fired(neurons.state, neurons.shared[0], first, stop)
    )


def set_horizon(neurons: Neurons, t: float) -> None:
    """Make `t` the horizon of `silent_until_horizon`."""
    _kernels(type(neurons.model)).set_horizon(neurons.state, neurons.shared[0], t)


def silent_until_horizon(neurons: Neurons, i: int) -> bool:
    """Return True only if neuron `i` does not fire until the horizon without further input."""
    return bool(
        _kernels(type(neurons.model)).silent_until_horizon(neurons.state, neurons.shared[0], i)
    )


def psp_scale(neurons: Neurons, t: float) -> float:
    """Return the change of `scaled_v` by a spike of weight 1 at `t`; NaN if the model has none."""
    return float(_kernels(type(neurons.model)).psp_scale(neurons.state, neurons.shared[0], t))


@kernel
def _nothing(state, shared, t):
    return None


@kernel
def _never(state, shared, i, t):
    return math.inf


@kernel
def _all_silent(state, shared, first, stop):
    return True


@kernel
def _some_may_fire(state, shared, first, stop):
    return False


@kernel
def _may_fire(state, shared, i):
    return False


@kernel
def _no_scale(state, shared, t):
    return math.nan


@cache
def _kernels(kind: type[tuple[object, ...]]) -> Any:
    """Return a model's `EventOperations` with defaults for the operations that it leaves out."""
    given = model_of(kind).events
    defaults = {
        "next_spike": _never,
        "advance_to": _nothing,
        "none_fired": _all_silent if given.next_spike is None else _some_may_fire,
        "set_horizon": _nothing,
        "silent_until_horizon": _may_fire,
        "psp_scale": _no_scale,
    }
    return replace(given, **{k: v for k, v in defaults.items() if getattr(given, k) is None})


# Compiled code: each function below receives numba types and returns the code of the call.


def _selected(neurons, operation):
    kind = neurons.types[neurons.fields.index("model")].instance_class
    return getattr(_kernels(kind), operation.__name__)


@overloaded(receive)
def _receive(neurons, i, weight, t):
    run = _selected(neurons, receive)
    return lambda neurons, i, weight, t: run(neurons.state, neurons.shared[0], i, weight, t)


@overloaded(none_fired)
def _none_fired(neurons, first, stop):
    run = _selected(neurons, none_fired)
    return lambda neurons, first, stop: run(neurons.state, neurons.shared[0], first, stop)


@overloaded(silent_until_horizon)
def _silent_until_horizon(neurons, i):
    run = _selected(neurons, silent_until_horizon)
    return lambda neurons, i: run(neurons.state, neurons.shared[0], i)


def _overload_at(operation):
    @overloaded(operation)
    def select(neurons, i, t):
        run = _selected(neurons, operation)
        return lambda neurons, i, t: run(neurons.state, neurons.shared[0], i, t)


def _overload_for_layer(operation):
    @overloaded(operation)
    def select(neurons, t):
        run = _selected(neurons, operation)
        return lambda neurons, t: run(neurons.state, neurons.shared[0], t)


for _at in (at_threshold, reset, membrane, next_spike):
    _overload_at(_at)
for _for_layer in (advance_to, set_horizon, psp_scale):
    _overload_for_layer(_for_layer)
