"""What the monitor sees of the inputs.

The label-free detector, the unit of distances, and protected directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.drift import InputDetector
from loco_stream.monitor.arrays import Arrays, part, prefixed
from loco_stream.monitor.proxies import Protected
from loco_stream.monitor.signature import Scale, columns_of
from loco_stream.numbers import to_number

__all__ = ["InputView"]


class InputView:
    """Numeric inputs of fixed width, that of the first sample.

    Features that appear later are not watched.

    Parameters
    ----------
    watch
        Whether input alarms are wanted.
    seed
        Of the detector's folding.
    """

    def __init__(self, watch: bool, seed: int) -> None:
        self.watch = watch
        self.seed = seed
        self.scale = Scale(0)
        self.detector: InputDetector | None = None
        self.protected = Protected(0)
        self._columns = columns_of(0)
        self._row: NDArray[np.float64] = np.zeros(0)
        self.side_mean = np.zeros(2)  # labels of a regression: how many, and their mean

    @property
    def onset(self) -> int:
        """Samples since the input change began, after an alarm."""
        return 0 if self.detector is None else self.detector.onset

    def prepare(self, n_features: int) -> None:
        """Fix the width."""
        self._columns = columns_of(n_features)
        self.scale = Scale(len(self._columns))
        self._row = np.zeros(n_features)
        if self.watch:
            self.detector = InputDetector(n_features, seed=self.seed)
            self.protected = Protected(len(self.detector.folded))

    def look(self, row: NDArray[np.float64]) -> str:
        """Take in one row; return the state of the label-free detector after it."""
        if not len(self._row):
            if not len(row):
                return "stable"
            self.prepare(len(row))
        self._row = row[: len(self._row)]
        return "stable" if self.detector is None else self.detector.update(self._row)

    def values(self) -> NDArray[np.float64] | None:
        """Return what signatures see of the row last looked at, None if there are no numbers.

        The scale takes it in.
        """
        if not len(self._row):
            return None
        values = self._row[self._columns]
        self.scale.update(values)
        return values

    def restart(self) -> None:
        """Adapt quickly: new inputs have begun."""
        if self.detector is not None:
            self.detector.restart()

    def close_segment(self) -> None:
        """Protect the main directions of the segment that ended."""
        if self.detector is not None:
            self.protected.close(self.detector.components)

    def add_update_energy(self, sums: list[float]) -> None:
        """Add the energies of a wrongly answered sample.

        Inside the protected directions, and all.
        """
        if self.detector is not None and len(self.protected.basis):
            inside, energy = self.protected.energies(self.detector.folded)
            sums[0] += inside
            sums[1] += energy

    def side(self, y: Any) -> bool:
        """Return on which side of the running mean the label of a regression lies.

        Its class in signatures.
        """
        value = to_number(y)
        if value == value:
            self.side_mean[0] += 1.0
            self.side_mean[1] += (value - self.side_mean[1]) / self.side_mean[0]
        return bool(value > self.side_mean[1])

    @property
    def width(self) -> int:
        """Features looked at; 0 before the first row."""
        return len(self._row)

    def export(self) -> Arrays:
        """Return all numbers."""
        arrays = {
            "view/side": self.side_mean.copy(),
            **prefixed("view/scale", self.scale.export_state()),
        }
        if self.detector is not None:
            arrays |= prefixed("view/detector", self.detector.export_state())
            arrays |= prefixed("view/protected", self.protected.export_state())
        return arrays

    def restore(self, width: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `export`, with rows of `width` features."""
        self.side_mean = arrays["view/side"].copy()
        if not width:
            return
        self.prepare(width)
        self.scale.restore_state(part("view/scale", arrays))
        if self.detector is not None:
            self.detector.restore_state(part("view/detector", arrays))
            self.protected.restore_state(part("view/protected", arrays))
