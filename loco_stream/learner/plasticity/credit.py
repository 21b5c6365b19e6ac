"""Credit: what each hidden neuron did to the outcome, from forward passes only."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel

__all__ = ["credit_learned", "credit_perturbation", "learn_feedback"]


@kernel
def credit_perturbation(loss_change, noise, size, n_neurons, credit):
    """Write the one-sample estimate of dLoss/d(membrane): loss change times noise over its variance."""
    factor = np.float32(loss_change / (size * size))
    for i in range(n_neurons):
        credit[i] += factor * noise[i]


@kernel
def learn_feedback(change, n_classes, sign, noise, sensitivity, size, n_neurons, feedback_rate, feedback):
    """Regress the change of the outputs on the noise, one normalised least-mean-squares step.

    The feedback times the sensitivity h estimates d(output)/d(membrane). What the estimate already
    predicts of the change is subtracted first, so that the noise of all other neurons, which
    grows with their number, fades as the estimate improves. (Lansdell, Prakash & Kording 2020
    average noise times change without that; here it is one more broadcast sum.) `change` is
    overwritten by the rest; `sign` is -1 for the second pass of an antithetic pair.
    """
    power = 0.0
    for i in range(n_neurons):
        h = np.float64(sensitivity[i])
        coefficient = sign * h * np.float64(noise[i])
        power += h * h
        row = feedback[i]
        for c in range(n_classes):
            change[c] -= coefficient * np.float64(row[c])
    for c in range(n_classes):
        if not math.isfinite(change[c]):
            return  # a pass that overflowed teaches nothing
    rate = feedback_rate / (size * size * (1.0 + feedback_rate * power))
    for i in range(n_neurons):
        coefficient = np.float32(rate * sign * np.float64(sensitivity[i]) * np.float64(noise[i]))
        row = feedback[i]
        for c in range(n_classes):
            row[c] += coefficient * np.float32(change[c])


@kernel
def credit_learned(error, n_classes, sensitivity, feedback, n_neurons, credit):
    """Write sensitivity * (feedback . error): one broadcast vector reaches every neuron at once."""
    for i in range(n_neurons):
        total = np.float32(0.0)
        row = feedback[i]
        for c in range(n_classes):
            total += row[c] * np.float32(error[c])
        credit[i] = sensitivity[i] * total
