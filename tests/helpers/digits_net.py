"""A classifier trained on digits, on a time grid that other simulators can use."""

import numpy as np
from sklearn.datasets import load_digits

from tests.helpers.models import classifier

DT = 0.1  # ms
STEPS = 20  # per window
TRAINED = 1297  # rows learned, of 1797


def digits():
    """Return rows and labels."""
    X, y = load_digits(return_X_y=True)
    return X, y


def trained():
    """Return a trained model whose neurons fire on a grid of DT."""
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


def constant_currents(model, X):
    """Return the currents of rows in every step, (rows, STEPS, inputs)."""
    return np.repeat(model.encode_array(X)[:, None, :], STEPS, axis=1)


def predictions(net, raster):
    """Return the labels that the net's readout predicts for spikes (rows, steps, neurons)."""
    found = []
    for row in raster:
        step, neuron = np.nonzero(row)
        found.append(net.readout.predict((step + 1) * DT, neuron, STEPS * DT))
    return np.array(found)
