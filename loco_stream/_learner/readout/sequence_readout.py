"""What a sequence is as a whole: a linear readout of how its traces are spread over its rows.

A row that is typical of its sequence may be typical of no class, so averages over rows do not tell
how one sequence differs from others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from loco_stream._arrays import Array, Float64

PRIOR = 10.0  # of the projector


def summary_of(traces: Float64, n: int) -> Float64:
    """Return 1, and the mean, deviation and highest of each fading trace, (inputs,).

    Parameters
    ----------
    traces
        `SequenceScratch.traces` of the rows.
    n
        Number of rows.
    """
    means = traces[0] / n
    variances = np.maximum(traces[1] / n - means * means, 0.0)
    return np.concatenate([[1.0], means, np.sqrt(variances), traces[2]])


@dataclass(slots=True)
class SequenceReadout:
    """Recursive least squares on the summaries of sequences, a step per sequence, without leak.

    weights: (classes, inputs), of the classes of sequences so far
    projector: (inputs, inputs)
    """

    weights: Float64
    projector: Float64

    @classmethod
    def fresh(cls, n_inputs: int) -> SequenceReadout:
        """Return a readout that has learned nothing."""
        return cls(np.zeros((0, n_inputs)), PRIOR * np.eye(n_inputs))

    @classmethod
    def restored(
        cls, arrays: Mapping[str, Array], n_traces: int, n_classes: int
    ) -> SequenceReadout | None:
        """Return the readout with what `arrays` returned, if there are any.

        Raises `ValueError` if the arrays are not those of a readout of so many traces and at most so
        many classes.
        """
        if not arrays:
            return None
        if arrays.keys() != {"weights", "projector"}:
            raise ValueError(
                f"the arrays of 'sequence_readout' must be weights and projector, got "
                f"{', '.join(sorted(arrays))}"
            )
        readout = cls(arrays["weights"], arrays["projector"])
        n_inputs = 1 + 3 * n_traces
        n = min(len(readout.weights), n_classes)
        shapes = {"weights": (n, n_inputs), "projector": (n_inputs, n_inputs)}
        for name, array in readout.arrays().items():
            if array.shape != shapes[name] or array.dtype != np.float64:
                raise ValueError(
                    f"array 'sequence_readout.{name}' must be float64{shapes[name]}, "
                    f"got {array.shape}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"array 'sequence_readout.{name}' must be finite")
        if readout.projector.diagonal().min() < 0.0:
            raise ValueError("array 'sequence_readout.projector' must not have a negative diagonal")
        return readout

    def arrays(self) -> dict[str, Array]:
        """Return copies of all arrays by name."""
        return asdict(self)

    def outputs(self, summary: Float64, n_classes: int) -> Float64:
        """Return the output of each class, (classes,); 0 for one that no sequence had."""
        outputs = np.zeros(n_classes)
        outputs[: len(self.weights)] = (self.weights * summary).sum(axis=1)
        return outputs

    def learn(self, summary: Float64, label: int) -> None:
        """Make a step for a sequence of the class at slot `label`."""
        n_new = label + 1 - len(self.weights)
        if n_new > 0:
            self.weights = np.concatenate([self.weights, np.zeros((n_new, len(summary)))])
        errors = -self.outputs(summary, len(self.weights))
        errors[label] += 1.0
        gains = (self.projector * summary).sum(axis=1)
        energy = float((gains * summary).sum())
        if not energy >= 0.0 or not math.isfinite(energy):
            return
        root = math.sqrt(1.0 + energy)
        gains /= root
        self.weights += np.outer(errors / root, gains)
        self.projector -= np.outer(gains, gains)
