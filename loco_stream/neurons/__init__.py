"""Neuron models: one file per model, and a registry that simulator and estimators query.

A new model is one file with a `NeuronModel` and one line below; `register` adds a model from
outside the package. Its kernels are compiled with `kernel`, its records described with
`struct_dtype`.
"""

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream.neurons import alif, izhikevich, lif
from loco_stream.neurons.definition import (
    EventOperations,
    NeuronModel,
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
