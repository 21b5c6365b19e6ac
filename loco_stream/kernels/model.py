"""One set of operations for all neuron models: each call goes to the model whose state it is given.

Compiled, the choice is made by the state's type when the caller is compiled, so that it costs nothing and only the
models in use are ever compiled. Interpreted (NUMBA_DISABLE_JIT=1) it is made at each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from loco_stream.kernels import alif, izhikevich, lif
from loco_stream.kernels.alif import ALIF
from loco_stream.kernels.lif import LIF

__all__ = ["crossing", "enter", "fire", "ready", "receive"]


def enter(state: Any, t: float) -> None:
    """Make `t` the present of the whole layer."""
    _interpret(_enter_of, state, t)


def crossing(state: Any, i: int, t: float) -> float:
    """Return when neuron `i` fired by itself by the present `t`, or infinity."""
    return float(_interpret(_crossing_of, state, i, t))


def receive(state: Any, i: int, weight: float, t: float) -> None:
    """Add a spike of `weight` arriving at neuron `i` at the present `t`."""
    _interpret(_receive_of, state, i, weight, t)


def ready(state: Any, i: int, t: float) -> bool:
    """Return whether neuron `i` must fire at the present `t`."""
    return bool(_interpret(_ready_of, state, i, t))


def fire(state: Any, i: int, t: float) -> bool:
    """Reset neuron `i`, which fired at `t`; return whether it stays at or above threshold."""
    return bool(_interpret(_fire_of, state, i, t))


def _enter_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda state, t: lif.lif_enter(state, t)
    return lambda state, t: None


def _crossing_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda state, i, t: lif.lif_crossing(state, i, t)
    if model is ALIF:
        return lambda state, i, t: alif.alif_crossing(state, i, t)
    return lambda state, i, t: izhikevich.izh_crossing(state, i, t)


def _receive_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda state, i, weight, t: lif.lif_receive(state, i, weight, t)
    if model is ALIF:
        return lambda state, i, weight, t: alif.alif_receive(state, i, weight, t)
    return lambda state, i, weight, t: izhikevich.izh_receive(state, i, weight)


def _ready_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda state, i, t: lif.lif_ready(state, i, t)
    if model is ALIF:
        return lambda state, i, t: alif.alif_ready(state, i, t)
    return lambda state, i, t: izhikevich.izh_ready(state, i)


def _fire_of(model: type) -> Callable[..., Any]:
    if model is LIF:
        return lambda state, i, t: lif.lif_fire(state, i, t)
    if model is ALIF:
        return lambda state, i, t: alif.alif_fire(state, i, t)
    return lambda state, i, t: izhikevich.izh_fire(state, i)


def _interpret(choose: Callable[[type], Callable[..., Any]], state: Any, *args: Any) -> Any:
    return choose(type(state))(state, *args)


overload(enter)(lambda state, t: _enter_of(state.instance_class))
overload(crossing)(lambda state, i, t: _crossing_of(state.instance_class))
overload(receive)(lambda state, i, weight, t: _receive_of(state.instance_class))
overload(ready)(lambda state, i, t: _ready_of(state.instance_class))
overload(fire)(lambda state, i, t: _fire_of(state.instance_class))
