"""One set of operations for all neuron models: each call goes to the model that it names.

Compiled, the choice is made by the type of `model` when the caller is compiled, so that it costs nothing and only the
models in use are ever compiled. Interpreted (NUMBA_DISABLE_JIT=1) it is made at each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from loco_stream.neurons import alif, izhikevich, lif
from loco_stream.neurons.alif import ALIF
from loco_stream.neurons.lif import LIF

__all__ = ["crossing", "enter", "fire", "quiet", "ready", "receive"]


def enter(model: Any, cells: Any, numbers: Any, t: float) -> None:
    """Make `t` the present of the whole layer."""
    _interpret(_enter_of, model, cells, numbers, t)


def crossing(model: Any, cells: Any, numbers: Any, i: int, t: float) -> float:
    """Return when neuron `i` fired by itself by the present `t`, or infinity."""
    return float(_interpret(_crossing_of, model, cells, numbers, i, t))


def quiet(model: Any, cells: Any, numbers: Any, first: int, stop: int) -> bool:
    """Return True only if none of the neurons `first` to `stop - 1` has fired by itself by now."""
    return bool(_interpret(_quiet_of, model, cells, numbers, first, stop))


def receive(model: Any, cells: Any, numbers: Any, i: int, weight: float, t: float) -> None:
    """Add a spike of `weight` arriving at neuron `i` at the present `t`."""
    _interpret(_receive_of, model, cells, numbers, i, weight, t)


def ready(model: Any, cells: Any, numbers: Any, i: int, t: float) -> bool:
    """Return whether neuron `i` must fire at the present `t`."""
    return bool(_interpret(_ready_of, model, cells, numbers, i, t))


def fire(model: Any, cells: Any, numbers: Any, i: int, t: float) -> bool:
    """Reset neuron `i`, which fired at `t`; return whether it stays at or above threshold."""
    return bool(_interpret(_fire_of, model, cells, numbers, i, t))


def _enter_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda model, cells, numbers, t: lif.lif_enter(cells, numbers, t)
    return lambda model, cells, numbers, t: None


def _crossing_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda model, cells, numbers, i, t: lif.lif_crossing(cells, numbers, i, t)
    if model is ALIF:
        return lambda model, cells, numbers, i, t: alif.alif_crossing(cells, numbers, i, t)
    return lambda model, cells, numbers, i, t: izhikevich.izh_crossing(cells, numbers, i, t)


def _quiet_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda model, cells, numbers, first, stop: lif.lif_quiet(cells, numbers, first, stop)
    return lambda model, cells, numbers, first, stop: False


def _receive_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda model, cells, numbers, i, weight, t: lif.lif_receive(cells, numbers, i, weight, t)
    if model is ALIF:
        return lambda model, cells, numbers, i, weight, t: alif.alif_receive(cells, numbers, i, weight, t)
    return lambda model, cells, numbers, i, weight, t: izhikevich.izh_receive(cells, numbers, i, weight)


def _ready_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda model, cells, numbers, i, t: lif.lif_ready(cells, numbers, i, t)
    if model is ALIF:
        return lambda model, cells, numbers, i, t: alif.alif_ready(cells, numbers, i, t)
    return lambda model, cells, numbers, i, t: izhikevich.izh_ready(cells, numbers, i)


def _fire_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda model, cells, numbers, i, t: lif.lif_fire(cells, numbers, i, t)
    if model is ALIF:
        return lambda model, cells, numbers, i, t: alif.alif_fire(cells, numbers, i, t)
    return lambda model, cells, numbers, i, t: izhikevich.izh_fire(cells, numbers, i)


def _interpret(choose: Callable[[type], Callable[..., Any]], model: Any, *args: Any) -> Any:
    return choose(type(model))(model, *args)


overload(enter)(lambda model, cells, numbers, t: _enter_of(model.instance_class))
overload(crossing)(lambda model, cells, numbers, i, t: _crossing_of(model.instance_class))
overload(quiet)(lambda model, cells, numbers, first, stop: _quiet_of(model.instance_class))
overload(receive)(lambda model, cells, numbers, i, weight, t: _receive_of(model.instance_class))
overload(ready)(lambda model, cells, numbers, i, t: _ready_of(model.instance_class))
overload(fire)(lambda model, cells, numbers, i, t: _fire_of(model.instance_class))
