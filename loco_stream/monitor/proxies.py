"""Forgetting without labels or stored samples.

How much of the learning happens where old tasks live.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["Protected"]


class Protected:
    """The input directions that carried most of the energy of earlier segments.

    A linear update changes weights along the input, so the share of a wrongly answered input's
    energy inside this subspace is the share of the update that overwrites what earlier tasks used.

    Parameters
    ----------
    width
        Length of the (folded) input vectors.
    """

    def __init__(self, width: int) -> None:
        self.projector = np.zeros((width, width))
        self.basis = np.zeros((0, width))

    def close(self, components: NDArray[np.float64]) -> None:
        """Add the principal directions (rank, width) of a segment that ended.

        A quarter of all directions is kept.
        """
        lengths = np.linalg.norm(components, axis=1, keepdims=True)
        directions = components[lengths[:, 0] > 0.0] / lengths[lengths[:, 0] > 0.0]
        self.projector += directions.T @ directions
        values, vectors = np.linalg.eigh(self.projector)
        rank = min(len(values) // 4, int((values > 0.5).sum()))
        self.basis = np.ascontiguousarray(vectors[:, len(values) - rank :].T)

    def energies(self, x: NDArray[np.float64]) -> tuple[float, float]:
        """Return the energy of `x` inside the protected directions, and all of it."""
        inside = self.basis @ x
        return float(inside @ inside), float(x @ x)

    def export_state(self) -> dict[str, NDArray[np.float64]]:
        """Return all numbers."""
        return {"projector": self.projector.copy(), "basis": self.basis.copy()}

    def restore_state(self, arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """Continue from `export_state`."""
        self.projector, self.basis = arrays["projector"].copy(), arrays["basis"].copy()
