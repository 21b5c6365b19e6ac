"""Credit: what each hidden neuron did to the outcome, from forward passes only.

A neuron is sensitive where it fired, else not: its trace is graded in its drive, and flat below its first spike.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.simd.ops import add_outer

__all__ = ["broadcast_error", "credit_change", "learn_feedback", "mirror_readout"]


@kernel
def credit_change(loss_change, noise, size, traces, n_neurons, credit):
    """Add the one-sample estimate of dLoss/d(drive): the loss change times the noise over its variance."""
    factor = np.float32(loss_change / (size * size))
    for i in range(n_neurons):
        if traces[i] > np.float32(0.0):
            credit[i] += factor * noise[i]


@kernel
def learn_feedback(change, n_classes, sign, noise, traces, size, n_neurons, n_learned, rate, feedback):
    """Regress the change of the outputs on the noise, one normalised least-mean-squares step for the first `n_learned`.

    The feedback of a neuron that fires estimates d(output)/d(drive). What the estimate already predicts of the change
    is subtracted first, so that the noise of all other neurons, which grows with their number, fades as the estimate
    improves. (Lansdell, Prakash & Kording 2020 average noise times change without that; here it is one more broadcast
    sum.) `change` is overwritten by the rest; `sign` is -1 for the second pass of an antithetic pair.
    """
    n_firing = 0
    for i in range(n_neurons):
        if traces[i] > np.float32(0.0):
            n_firing += 1
            row, coefficient = feedback[i], sign * np.float64(noise[i])
            for c in range(n_classes):
                change[c] -= coefficient * np.float64(row[c])
    for c in range(n_classes):
        if not math.isfinite(change[c]):
            return  # a pass that overflowed teaches nothing
    step = rate / (size * size * (1.0 + rate * n_firing))
    for i in range(n_learned):
        if traces[i] > np.float32(0.0):
            row, coefficient = feedback[i], np.float32(step * sign * np.float64(noise[i]))
            for c in range(n_classes):
                row[c] += coefficient * np.float32(change[c])


@kernel
def broadcast_error(error, n_classes, feedback, traces, n_neurons, credit):
    """Write feedback . error where a neuron fired: one broadcast vector reaches every neuron at once."""
    for i in range(n_neurons):
        total = np.float32(0.0)
        if traces[i] > np.float32(0.0):
            row = feedback[i]
            for c in range(n_classes):
                total += row[c] * np.float32(error[c])
        credit[i] = total


@kernel
def mirror_readout(feedback, first, n_neurons, k, scale, increment, n_classes):
    """Give the feedback of the neurons that are read the increments that the readout gives their rows.

    Feedback that receives the changes of the forward weights comes to equal them (Kolen & Pollack 1994). `k` are the
    readout's gains from neuron `first` on, `increment` (n_classes,) float32 what it adds to the outputs of one.
    """
    add_outer(feedback[first:], n_neurons, 0, n_classes, k, scale, increment, np.float32(1.0))
