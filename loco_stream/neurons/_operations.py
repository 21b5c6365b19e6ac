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
from loco_stream._numbers import plain
from loco_stream.neurons._definition import model_of


class Neurons(NamedTuple):
    """The neurons of one layer: their model and the two results of its `start`."""

    model: tuple[object, ...]  # an instance of `NeuronModel.kind`
    state: Records  # (n,)
    shared: Records  # (1,)


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


def _operation(name: str) -> Any:
    """Return a function that calls the operation of that name of the neurons' model."""

    def operation(neurons: Neurons, *arguments: Any) -> Any:
        run = getattr(_kernels(type(neurons.model)), name)
        return plain(run(neurons.state, neurons.shared[0], *arguments))

    @overloaded(operation)
    def select(neurons, *arguments):
        kind = neurons.types[neurons.fields.index("model")].instance_class
        run = getattr(_kernels(kind), name)
        return lambda neurons, *arguments: run(neurons.state, neurons.shared[0], *arguments)

    return operation


# Each takes `Neurons` in place of the state and the record of `EventOperations`.
receive = _operation("receive")
at_threshold = _operation("at_threshold")
reset = _operation("reset")
membrane = _operation("membrane")
next_spike = _operation("next_spike")
none_fired = _operation("none_fired")
advance_to = _operation("advance_to")
set_horizon = _operation("set_horizon")
silent_until_horizon = _operation("silent_until_horizon")
psp_scale = _operation("psp_scale")
