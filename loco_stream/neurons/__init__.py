"""Neuron models: one file each, and a registry that estimator, simulator and queue ask.

A new model is one file, with a `NeuronModel` as its record, and one line below; `register` adds one from outside.
"""

from loco_stream.neurons import alif, izhikevich, lif
from loco_stream.neurons.registry import (
    DenseLayer,
    EventOperations,
    NeuronModel,
    dense_layer_of,
    find,
    model_of,
    names,
    register,
)

__all__ = [
    "DenseLayer",
    "EventOperations",
    "NeuronModel",
    "dense_layer_of",
    "find",
    "model_of",
    "names",
    "register",
]

register(lif.MODEL)
register(alif.MODEL)
register(izhikevich.MODEL)
