"""The inputs as the monitor sees them: the input detector, the unit of distances, directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Array, Records
from loco_stream._numbers import to_number
from loco_stream._persistence.content import Arrays, with_prefix, without_prefix
from loco_stream.drift import InputDetector
from loco_stream.drift._inputs import DetectorSnapshot, TestedRows
from loco_stream.drift._moves import FeatureMoves
from loco_stream.monitor._label_free_forgetting import ProtectedDirections
from loco_stream.monitor._matrix import Matrix
from loco_stream.monitor._row_codec import Vector
from loco_stream.monitor._signature import InputScale, Label, sampled_columns


class ViewSnapshot(NamedTuple):
    """State of the tests on inputs at a row."""

    detector: DetectorSnapshot
    figures: Records


class InputView:
    """Numeric inputs with the width of the first row; features that appear later are ignored.

    watch: whether input drift is detected
    seed: seed of the detector's folding
    """

    def __init__(self, watch: bool, seed: int) -> None:
        self.watch = watch
        self.seed = seed
        self.scale = InputScale.of_width(0)
        self.detector: InputDetector | None = None
        self.protected = ProtectedDirections(0)
        self.moves = FeatureMoves(0)
        self._columns = sampled_columns(0)
        self.width = 0  # number of features; 0 before the first row
        self._label_mean = np.zeros(2)  # labels of a regression: their number and their mean

    def set_width(self, n_features: int) -> None:
        """Fix the number of features."""
        self._columns = sampled_columns(n_features)
        self.scale = InputScale.of_width(len(self._columns))
        self.width = n_features
        if self.watch:
            self.detector = InputDetector(n_features, seed=self.seed)
            self.moves = FeatureMoves(n_features)
            self.protected = ProtectedDirections(len(self.detector.folded))

    def update(self, rows: Sequence[Vector]) -> TestedRows:
        """Take rows in order; return the results of the input detector for each."""
        first = 0 if self.width else self._find_width(rows)
        if self.detector is None:
            return _untested(len(rows), 0)
        width = self.width
        tested = self.detector.update_rows(np.array([row[:width] for row in rows[first:]]))
        if not first:
            return tested
        before = _untested(first, width)
        return TestedRows(
            [*before.states, *tested.states],
            [*before.onsets, *tested.onsets],
            [*before.folded, *tested.folded],
        )

    def _find_width(self, rows: Sequence[Vector]) -> int:
        """Return the position of the first row with a number, which sets the width."""
        first = next((i for i, row in enumerate(rows) if len(row)), len(rows))
        if first < len(rows):
            self.set_width(len(rows[first]))
        return first

    def update_together(self, X: Matrix) -> Sequence[Vector] | Matrix | None:
        """Take rows, (n, width), as `update` and `stuck` do; return each as the detector sees it.

        Return None if the state changes in one of them, or a feature is found stuck.
        """
        if self.detector is None:
            return [np.zeros(0)] * len(X)
        states, _, folded = self.detector.observe_rows(X)
        is_eventless = not np.count_nonzero(states) and self.moves.update_rows(X) < 0
        return folded if is_eventless else None

    def snapshot(self) -> ViewSnapshot | None:
        """Return the state of the tests, for `restore_snapshot`."""
        if self.detector is None:
            return None
        return ViewSnapshot(self.detector.snapshot(), self.moves.figures.copy())

    def restore_snapshot(self, before: ViewSnapshot | None) -> None:
        """Undo the updates of the tests since `snapshot`."""
        if self.detector is not None and before is not None:
            self.detector.restore_snapshot(before.detector)
            self.moves.figures[:] = before.figures

    @property
    def folded(self) -> Vector | None:
        """The last row as the detector sees it; None without a detector."""
        return None if self.detector is None else self.detector.folded.copy()

    def stuck(self, row: Vector) -> int:
        """Learn how the features of a row move; return one just found stuck, or -1."""
        if self.detector is None or not len(row):
            return -1
        return self.moves.update_rows(row[None, : self.width])

    def signature_row(self, row: Vector) -> Vector | None:
        """Return the columns of a row that signatures compare; None without features.

        A row before the first number, which set the width, has none.
        """
        return row[self._columns] if self.width and len(row) else None

    def signature_rows(self, X: Matrix) -> Matrix:
        """Return the same columns of rows (n, width)."""
        return X.take(self._columns, axis=1)

    @property
    def has_protected(self) -> bool:
        """Whether directions of earlier segments are protected."""
        return len(self.protected.basis) > 0

    def restart(self) -> None:
        """Adapt quickly: other inputs begin."""
        if self.detector is not None:
            self.detector.restart()

    def close_segment(self) -> None:
        """Protect the main directions of the segment that ended."""
        if self.detector is not None:
            self.protected.add_segment(self.detector.components)

    def add_update_energy(self, sums: list[float], row: Vector | None) -> None:
        """Add the energy of a row that was predicted wrongly: protected, and all.

        The row is as the detector sees it.
        """
        if row is not None and self.has_protected:
            inside, energy = self.protected.energies(row)
            sums[0] += inside
            sums[1] += energy

    def is_above_mean(self, y: Label) -> bool:
        """Return whether the label of a regression is above the running mean.

        Signatures take this as its class.
        """
        value = to_number(y)
        if value == value:
            self._label_mean[0] += 1.0
            self._label_mean[1] += (value - self._label_mean[1]) / self._label_mean[0]
        return bool(value > self._label_mean[1])

    def export_state(self) -> Arrays:
        """Return the state as arrays."""
        arrays = {
            "label_mean": self._label_mean.copy(),
            **with_prefix("scale", self.scale._asdict()),
        }
        if self.detector is not None:
            arrays |= with_prefix("detector", self.detector.export_state())
            arrays |= with_prefix("protected", self.protected.export_state())
            arrays["moves"] = self.moves.export_state()
        return arrays

    def restore_state(self, width: int, arrays: Mapping[str, Array]) -> None:
        """Continue from `export_state`, with rows of `width` features."""
        self._label_mean = arrays["label_mean"].copy()
        if not width:
            return
        self.set_width(width)
        scale = without_prefix("scale", arrays)
        # a file of release 0.2 has one number of values for all columns
        self.scale = InputScale(
            *(
                np.broadcast_to(scale[name], self.scale.mean.shape).copy()
                for name in InputScale._fields
            )
        )
        if self.detector is not None:
            self.detector.restore_state(without_prefix("detector", arrays))
            self.protected.restore_state(without_prefix("protected", arrays))
            if "moves" in arrays:  # not in files of release 0.2
                self.moves.restore_state(arrays["moves"])


def _untested(n: int, width: int) -> TestedRows:
    """Return `n` rows in which nothing can drift."""
    return TestedRows(["stable"] * n, [0] * n, [np.zeros(width)] * n)
