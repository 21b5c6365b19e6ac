"""A measure of forgetting without labels or stored rows: how much learning hits old directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from loco_stream._arrays import Float64

Matrix: TypeAlias = Float64


class ProtectedDirections:
    """Input directions with most of the energy of earlier segments.

    A linear update changes weights along the input. The share of the energy of a wrongly predicted
    row inside this subspace is therefore the share of the update that overwrites earlier tasks.

    `width`: length of the (folded) input vectors.
    """

    def __init__(self, width: int) -> None:
        self.projector: Matrix = np.zeros((width, width))
        self.basis: Matrix = np.zeros((0, width))

    def add_segment(self, components: Matrix) -> None:
        """Add the principal directions (rank, width) of a segment that ended.

        At most a quarter of all directions is protected.
        """
        lengths = np.linalg.norm(components, axis=1, keepdims=True)
        directions = components[lengths[:, 0] > 0.0] / lengths[lengths[:, 0] > 0.0]
        self.projector += directions.T @ directions
        values, vectors = np.linalg.eigh(self.projector)
        rank = min(len(values) // 4, int((values > 0.5).sum()))
        self.basis = np.ascontiguousarray(vectors[:, len(values) - rank :].T)

    def energies(self, x: Matrix) -> tuple[float, float]:
        """Return the energy of a row (width,) inside the protected directions, and all of it."""
        inside = self.basis @ x
        return float(inside @ inside), float(x @ x)

    def export_state(self) -> dict[str, Matrix]:
        """Return the state as arrays."""
        return {"projector": self.projector.copy(), "basis": self.basis.copy()}

    def restore_state(self, arrays: Mapping[str, Matrix]) -> None:
        """Continue from `export_state`."""
        self.projector = arrays["projector"].copy()
        self.basis = arrays["basis"].copy()
