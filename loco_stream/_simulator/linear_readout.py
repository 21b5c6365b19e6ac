"""A linear readout of the synaptic traces of the last layer at the end of a run."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float64


class Readout(NamedTuple):
    """Scores of classes: traces @ weights + bias; the class with the highest score is predicted.

    tau: time constant of the traces in ms; see `traces`
    weights, bias: (n_neurons, n_classes) and (n_classes,)
    classes: the label of each column
    """

    tau: float
    weights: Float64
    bias: Float64
    classes: tuple[Hashable, ...]

    def scores(self, times: ArrayLike, indices: ArrayLike, duration: float) -> Float64:
        """Return the scores (n_classes,) for spikes of the last layer in a run of `duration` ms."""
        trace = traces(times, indices, len(self.weights), duration, self.tau)
        return trace @ self.weights + self.bias

    def predict(self, times: ArrayLike, indices: ArrayLike, duration: float) -> Hashable:
        """Return the label with the highest score."""
        return self.classes[int(np.argmax(self.scores(times, indices, duration)))]

    def answer(self, *args: object) -> Hashable:
        """Raise: the method is called `predict` from version 0.3 on."""
        raise AttributeError("`Readout.answer` is called `Readout.predict` from version 0.3 on")


def traces(times: ArrayLike, indices: ArrayLike, n: int, duration: float, tau: float) -> Float64:
    """Return the synaptic trace of each of `n` neurons at `duration` ms.

    A spike `s` ms ago adds 2 (exp(-s / tau) - exp(-2 s / tau)): the membrane of a current-based
    leaky integrator with the time constants tau and tau / 2.
    """
    faded = np.exp((np.asarray(times, np.float64) - duration) / tau)
    neurons = np.asarray(indices, np.int64)
    return 2.0 * np.asarray(np.bincount(neurons, faded - faded * faded, n), np.float64)
