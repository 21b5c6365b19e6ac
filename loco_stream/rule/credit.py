"""Credit: what each hidden neuron did to the outcome, from forward passes only."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["credit_learned", "credit_perturbation", "learn_feedback"]

FEEDBACK_RATE = 1e-3


@njit(cache=True)
def credit_perturbation(loss_change, noise, size, n_neurons, credit):  # type: ignore[no-untyped-def]
    """Write the one-sample estimate of dLoss/d(membrane): loss change times noise over its variance."""
    factor = np.float32(loss_change / (size * size))
    for i in range(n_neurons):
        credit[i] += factor * noise[i]


@njit(cache=True)
def learn_feedback(change, n_classes, sign, noise, sensitivity, size, n_neurons, feedback):  # type: ignore[no-untyped-def]
    """Regress the change of the outputs on the noise, one sample's step (after Lansdell, Prakash & Kording 2020).

    `sign` is -1 for the second pass of an antithetic pair. The feedback times the sensitivity estimates d(output)/d(membrane).
    """
    rate = np.float32(FEEDBACK_RATE)
    for i in range(n_neurons):
        h = sensitivity[i]
        lead = np.float32(sign) * rate * h * noise[i] / np.float32(size * size)
        keep = np.float32(1.0) - rate * h * h
        row = feedback[i]
        for c in range(n_classes):
            row[c] = keep * row[c] + lead * np.float32(change[c])


@njit(cache=True)
def credit_learned(error, n_classes, sensitivity, feedback, n_neurons, credit):  # type: ignore[no-untyped-def]
    """Write sensitivity * (feedback . error): one broadcast vector reaches every neuron at once."""
    for i in range(n_neurons):
        total = np.float32(0.0)
        row = feedback[i]
        for c in range(n_classes):
            total += row[c] * np.float32(error[c])
        credit[i] = sensitivity[i] * total
