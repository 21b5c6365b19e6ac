"""Neuron models: one file each, and a registry that estimator, simulator and queue ask.

A new model is one file, with a `NeuronModel` as its record, and one line below; `register` adds one
from outside.
"""

from loco_stream.neurons import alif, izhikevich, lif
from loco_stream.neurons.registry import (
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
    "model_of",
    "names",
    "register",
    "window_of",
]

register(lif.MODEL)
register(alif.MODEL)
register(izhikevich.MODEL)
