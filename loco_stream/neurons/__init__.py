"""Neuron models: one file per model, and a registry that simulator and estimators query.

The models, with their parameters in `Network`:

- ``"lif"``: leaky integrate-and-fire.
- ``"alif"``: the same with a threshold that each spike raises by `adapt` (0.2) and that decays back
  with time constant `tau_adapt` (100 ms).
- ``"izhikevich"``: the two-variable model of 2003, in mV, without time constant, threshold and
  reset: `a` (0.02), `b` (0.2), `c` (-65), `d` (8), `peak` (30) and `tolerance` (1e-6 mV), the
  largest estimated error of one integration step. In estimators it is about fifty times slower.

A new model is one file with a `NeuronModel` and, here, its import, its line in this list and its
registration; `register` adds a model from outside the package. Its kernels are compiled with
`kernel`, its records described with `struct_dtype`.
"""

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream.neurons import alif, izhikevich, lif
from loco_stream.neurons._definition import (
    EventOperations,
    NeuronModel,
    Start,
    WindowOperations,
    find,
    model_of,
    names,
    register,
    window_of,
)

__all__ = [
    "EventOperations",
    "NeuronModel",
    "Start",
    "WindowOperations",
    "find",
    "kernel",
    "model_of",
    "names",
    "register",
    "struct_dtype",
    "window_of",
]

register(lif.MODEL)
register(alif.MODEL)
register(izhikevich.MODEL)
