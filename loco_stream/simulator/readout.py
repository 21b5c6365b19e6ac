"""A linear readout of the synaptic traces that the last layer's spikes have left at the end of a run."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Readout", "traces"]


class Readout(NamedTuple):
    """Scores of classes: traces @ weights + bias; the highest is the answer.

    Attributes
    ----------
    tau
        Time constant of the trace in ms; see `traces`.
    weights, bias
        (n_neurons, n_classes) and (n_classes,).
    classes
        The label of each column.
    """

    tau: float
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    classes: tuple[Hashable, ...]

    def scores(self, times: ArrayLike, indices: ArrayLike, duration: float) -> NDArray[np.float64]:
        """Return the scores (n_classes,) after spikes of the last layer at `times` in a run of `duration` ms."""
        return (
            traces(times, indices, len(self.weights), duration, self.tau) @ self.weights + self.bias
        )

    def answer(self, times: ArrayLike, indices: ArrayLike, duration: float) -> Hashable:
        """Return the label with the highest score."""
        return self.classes[int(np.argmax(self.scores(times, indices, duration)))]


def traces(
    times: ArrayLike, indices: ArrayLike, n: int, duration: float, tau: float
) -> NDArray[np.float64]:
    """Return the trace of each of `n` neurons at `duration` ms.

    2 (exp(-s / tau) - exp(-2 s / tau)) a spike `s` ms ago.

    It is the membrane of a current-based leaky integrator with time constants tau and tau / 2.
    """
    faded = np.exp((np.asarray(times, np.float64) - duration) / tau)
    total: NDArray[Any] = np.bincount(
        np.asarray(indices, np.int64), weights=faded - faded * faded, minlength=n
    )
    return 2.0 * total
