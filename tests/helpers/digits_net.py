"""A net that the classifier has trained on digits, on a grid that other simulators can follow."""

import numpy as np
from sklearn.datasets import load_digits

from tests.helpers.models import classifier

DT = 0.1  # ms
STEPS = 20  # in a window
TRAINED = 1297  # rows learned, 500 are left


def digits():
    """Return rows and labels."""
    X, y = load_digits(return_X_y=True)
    return X, y


def trained():
    """Return a model of the digits whose neurons fire on a grid of `DT`."""
    X, y = digits()
    model = classifier(
        hidden_sizes=128,
        readout="delta",
        readout_layers="hidden",
        receptive_fields=1,
        window=2.0,
        dt=DT,
        reset="zero",
        seed=1,
    )
    for _ in range(2):
        model.learn_array(X[:TRAINED], y[:TRAINED])
    return model


def held_currents(model, X):
    """Return the currents of rows in every step, (rows, STEPS, lines)."""
    return np.repeat(model.encode_array(X)[:, None, :], STEPS, axis=1)


def answers(net, raster):
    """Return the labels by the readout of a network for spikes, (rows, steps, neurons)."""
    found = []
    for row in raster:
        step, neuron = np.nonzero(row)
        found.append(net.readout.answer((step + 1) * DT, neuron, STEPS * DT))
    return np.array(found)
