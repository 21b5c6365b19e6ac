"""One set of operations for all neuron models: each call goes to the model that it names.

Compiled, the choice is made by the type of `model` when the caller is compiled, so that it costs
nothing and only the models in use are ever compiled. Interpreted (NUMBA_DISABLE_JIT=1) it is made
at each call.
"""

from __future__ import annotations

import math
from typing import Any

from loco_stream._compiler.jit import overloaded
from loco_stream.neurons.registry import EventOperations, model_of

__all__ = [
    "calm",
    "crossing",
    "enter",
    "fire",
    "foresee",
    "lift",
    "membrane",
    "quiet",
    "ready",
    "receive",
]


def enter(model: Any, cells: Any, numbers: Any, t: float) -> None:
    """Make `t` the present of the whole layer."""
    _enter(type(model))(model, cells, numbers, t)


def crossing(model: Any, cells: Any, numbers: Any, i: int, t: float) -> float:
    """Return when neuron `i` fired by itself by the present `t`, or infinity."""
    return float(_crossing(type(model))(model, cells, numbers, i, t))


def quiet(model: Any, cells: Any, numbers: Any, first: int, stop: int) -> bool:
    """Return True only if none of the neurons `first` to `stop - 1` has fired by itself by now."""
    return bool(_quiet(type(model))(model, cells, numbers, first, stop))


def foresee(model: Any, cells: Any, numbers: Any, t: float) -> None:
    """Make `t` the horizon of `calm`."""
    _foresee(type(model))(model, cells, numbers, t)


def calm(model: Any, cells: Any, numbers: Any, i: int) -> bool:
    """Return True only if neuron `i` fires neither now nor by the horizon if left alone."""
    return bool(_calm(type(model))(model, cells, numbers, i))


def lift(model: Any, cells: Any, numbers: Any, t: float) -> float:
    """Return what a spike of weight 1 that arrives at `t` adds to a neuron.

    Not for models that do not say.
    """
    return float(_lift(type(model))(model, cells, numbers, t))


def receive(model: Any, cells: Any, numbers: Any, i: int, weight: float, t: float) -> None:
    """Add a spike of `weight` arriving at neuron `i` at the present `t`."""
    _events(type(model)).receive(cells, numbers, i, weight, t)


def ready(model: Any, cells: Any, numbers: Any, i: int, t: float) -> bool:
    """Return whether neuron `i` must fire at the present `t`."""
    return bool(_events(type(model)).ready(cells, numbers, i, t))


def fire(model: Any, cells: Any, numbers: Any, i: int, t: float) -> bool:
    """Reset neuron `i`, which fired at `t`; return whether it stays at or above threshold."""
    return bool(_events(type(model)).fire(cells, numbers, i, t))


def membrane(model: Any, cells: Any, numbers: Any, i: int, t: float) -> float:
    """Return the membrane of neuron `i` at the present `t`."""
    return float(_events(type(model)).membrane(cells, numbers, i, t))


def _events(kind: type[Any]) -> EventOperations:
    return model_of(kind).events


def _enter(kind: type[Any]) -> Any:
    operation = _events(kind).enter
    if operation is None:
        return lambda model, cells, numbers, t: None
    return lambda model, cells, numbers, t: operation(cells, numbers, t)


def _crossing(kind: type[Any]) -> Any:
    operation = _events(kind).crossing
    if operation is None:
        return lambda model, cells, numbers, i, t: math.inf
    return lambda model, cells, numbers, i, t: operation(cells, numbers, i, t)


def _quiet(kind: type[Any]) -> Any:
    events = _events(kind)
    operation = events.quiet
    silent = events.crossing is None
    if operation is None:
        return lambda model, cells, numbers, first, stop: silent
    return lambda model, cells, numbers, first, stop: operation(cells, numbers, first, stop)


def _foresee(kind: type[Any]) -> Any:
    operation = _events(kind).foresee
    if operation is None:
        return lambda model, cells, numbers, t: None
    return lambda model, cells, numbers, t: operation(cells, numbers, t)


def _calm(kind: type[Any]) -> Any:
    operation = _events(kind).calm
    if operation is None:
        return lambda model, cells, numbers, i: False
    return lambda model, cells, numbers, i: operation(cells, numbers, i)


def _lift(kind: type[Any]) -> Any:
    operation = _events(kind).lift
    if operation is None:
        return lambda model, cells, numbers, t: math.nan
    return lambda model, cells, numbers, t: operation(cells, numbers, t)


@overloaded(receive)
def _receive(model, cells, numbers, i, weight, t):  # type: ignore[no-untyped-def]
    operation = _events(model.instance_class).receive
    return lambda model, cells, numbers, i, weight, t: operation(cells, numbers, i, weight, t)


@overloaded(ready)
def _ready(model, cells, numbers, i, t):  # type: ignore[no-untyped-def]
    operation = _events(model.instance_class).ready
    return lambda model, cells, numbers, i, t: operation(cells, numbers, i, t)


@overloaded(fire)
def _fire(model, cells, numbers, i, t):  # type: ignore[no-untyped-def]
    operation = _events(model.instance_class).fire
    return lambda model, cells, numbers, i, t: operation(cells, numbers, i, t)


@overloaded(membrane)
def _membrane(model, cells, numbers, i, t):  # type: ignore[no-untyped-def]
    operation = _events(model.instance_class).membrane
    return lambda model, cells, numbers, i, t: operation(cells, numbers, i, t)


overloaded(enter)(lambda model, cells, numbers, t: _enter(model.instance_class))
overloaded(crossing)(lambda model, cells, numbers, i, t: _crossing(model.instance_class))
overloaded(quiet)(lambda model, cells, numbers, first, stop: _quiet(model.instance_class))
overloaded(foresee)(lambda model, cells, numbers, t: _foresee(model.instance_class))
overloaded(calm)(lambda model, cells, numbers, i: _calm(model.instance_class))
overloaded(lift)(lambda model, cells, numbers, t: _lift(model.instance_class))
