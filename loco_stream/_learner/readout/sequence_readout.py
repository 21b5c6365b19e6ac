"""What a sequence is as a whole: linear readouts of how traces are spread over its rows.

A row that is typical of its sequence may be typical of no class, so averages over rows do not tell
how one sequence differs from others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import entry

PRIORS = {"hidden": 1.0, "fixed": 10.0}  # of the projector; by the layer whose traces it reads
MOST = 1e31  # of a saved number, so that no sum overflows


def summary_of(sums: Float64, n: int) -> Float64:
    """Return 1, and the mean, deviation and highest of each trace, (inputs,).

    Parameters
    ----------
    sums
        `SequenceScratch.hidden` or `fixed` of the rows.
    n
        Number of rows.
    """
    means = sums[0] / n
    variances = np.maximum(sums[1] / n - means * means, 0.0)
    return np.concatenate([[1.0], means, np.sqrt(variances), sums[2]])


@entry
def _multiply(matrix, vector, product):
    """Write the product of a symmetric matrix with a vector, added up row after row."""
    n = len(vector)
    for i in range(n):
        product[i] = 0.0
    for j in range(n):
        for i in range(n):
            product[i] += vector[j] * matrix[j, i]


@entry
def _subtract_square(matrix, vector):
    """Subtract the outer square of a vector from a matrix."""
    n = len(vector)
    for j in range(n):
        for i in range(n):
            matrix[j, i] -= vector[j] * vector[i]


@dataclass(slots=True)
class SequenceReadout:
    """Recursive least squares on the summaries of sequences, a step per sequence, without leak.

    Products are elementwise with a sum, or added up row after row: a matrix product of numpy adds
    up in an order that depends on the processor, and the same seed shall give the same bytes.

    weights: (classes, inputs), of the classes of sequences so far
    projector: (inputs, inputs)
    """

    weights: Float64
    projector: Float64

    @classmethod
    def fresh(cls, layer: str, n_inputs: int) -> SequenceReadout:
        """Return a readout of a layer that has learned nothing."""
        return cls(np.zeros((0, n_inputs)), PRIORS[layer] * np.eye(n_inputs))

    def check(self, layer: str, n_inputs: int, n_classes: int) -> None:
        """Raise `ValueError` unless it can be one of so many inputs and at most so many classes."""
        n = min(len(self.weights), n_classes)
        shapes = {"weights": (n, n_inputs), "projector": (n_inputs, n_inputs)}
        for name, array in self.arrays().items():
            full_name = f"sequence_readout.{layer}.{name}"
            if array.shape != shapes[name] or array.dtype != np.float64:
                raise ValueError(
                    f"array {full_name!r} must be float64{shapes[name]}, got {array.shape}"
                )
            if not (np.abs(array) <= MOST).all():
                raise ValueError(f"array {full_name!r} must be finite, from {-MOST:g} to {MOST:g}")
        if self.projector.diagonal().min() < 0.0:
            raise ValueError(
                f"array 'sequence_readout.{layer}.projector' must not have a negative diagonal"
            )

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
        gains = np.empty_like(summary)
        _multiply(self.projector, summary, gains)
        energy = float((gains * summary).sum())
        if not energy >= 0.0 or not math.isfinite(energy):
            return
        root = math.sqrt(1.0 + energy)
        gains /= root
        self.weights += np.outer(errors / root, gains)
        _subtract_square(self.projector, gains)


SequenceReadouts: TypeAlias = dict[str, SequenceReadout]  # by layer; empty before any sequence


def arrays_of(readouts: SequenceReadouts) -> dict[str, Array]:
    """Return copies of all arrays by layer and name."""
    return {
        f"{layer}.{name}": array
        for layer, readout in readouts.items()
        for name, array in readout.arrays().items()
    }


def restored(
    arrays: Mapping[str, Array], n_traces: Mapping[str, int], n_classes: int
) -> SequenceReadouts:
    """Return the readouts with what `arrays_of` returned.

    Raises `ValueError` if the arrays are not those of readouts of so many traces of each layer and
    at most so many classes.
    """
    if not arrays:
        return {}
    names = {f"{layer}.{name}" for layer in PRIORS for name in ("weights", "projector")}
    if arrays.keys() != names:
        raise ValueError(
            f"the arrays of 'sequence_readout' must be {', '.join(sorted(names))}, got "
            f"{', '.join(sorted(arrays))}"
        )
    readouts = {}
    for layer in PRIORS:
        readout = SequenceReadout(arrays[f"{layer}.weights"], arrays[f"{layer}.projector"])
        readout.check(layer, 1 + 3 * n_traces[layer], n_classes)
        readouts[layer] = readout
    return readouts
