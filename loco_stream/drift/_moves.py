"""Which features moved: their recent values against their usual ones, and values that are stuck."""

from __future__ import annotations

import math

import numpy as np

from loco_stream._arrays import Float64, Records
from loco_stream._compiler.jit import entry, kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream.drift._scale import FARTHEST, follow, is_missing
from loco_stream.errors import CheckpointError

USUAL_RATE = 1e-3  # of the usual level, once a thousand values are known
RECENT_RATE = 0.1  # the first rows of a change, which raise the alarm, must count
WARM_UP = 100  # values of a feature before it is judged
_MOST = 3  # features that are named when several moved
STUCK_SCORE = 12.0  # -log10 of the probability of a run, from which the feature is stuck

# Of a feature: its values, their mean and variance, the recent mean of squared deviations over the
# variance, the last value, the length of the run of equal values, the longest run that has ended,
# and the repetitions in such runs.
FIGURES = struct_dtype(
    "n_values", "level", "variance", "recent", "last", "run", "longest", "n_same"
)
_N_FIGURES = len(FIGURES.fields or ())


@entry
def learn_moves(X: Float64, figures: Records) -> int:
    """Learn rows in order; return the last feature that was found stuck in them, or -1.

    X: (n, n_features): the rows; NaN or infinite values are missing
    figures: (n_features,) of `FIGURES`
    """
    stuck = -1
    for i in range(X.shape[0]):
        found = _learn_row(X[i], figures)
        if found >= 0:
            stuck = found
    return stuck


@kernel
def _learn_row(x: Float64, figures: Records) -> int:
    """Learn one row, (n_features,); otherwise as `learn_moves`."""
    stuck = -1
    for j in range(x.size):
        value = x[j]
        if not abs(value) < math.inf:
            continue
        own = figures[j]
        n = own.n_values
        if n > 0.0 and value == own.last:
            before = -own.run * math.log10((own.n_same + 1.0) / (n - own.run + 2.0))
            own.run += 1.0
            score = -own.run * math.log10((own.n_same + 1.0) / (n + 1.0 - own.run + 2.0))
            is_new = before < STUCK_SCORE or own.run == own.longest + 1.0
            if n >= WARM_UP and own.run > own.longest and score >= STUCK_SCORE and is_new:
                stuck = j
        else:
            own.longest = max(own.longest, own.run)
            own.n_same += own.run
            own.run = 0.0
            own.last = value
        own.n_values = n + 1.0
        usual = max(1.0 / (n + 1.0), USUAL_RATE)
        if is_missing(value, own.level, own.variance):  # a filler, which may be stuck
            continue
        deviation = value - own.level
        move = _squared_move(deviation, own.variance)
        own.recent += max(1.0 / (n + 1.0), RECENT_RATE) * (move - own.recent)
        step, own.variance = follow(deviation, own.variance, usual)
        own.level += step
    return stuck


@kernel
def _squared_move(deviation: float, variance: float) -> float:
    """Return the squared deviation over the variance, at most `FARTHEST`."""
    squared = deviation * deviation
    if squared > FARTHEST * variance:
        return FARTHEST
    return squared / variance if variance > 0.0 else 0.0


class FeatureMoves:
    """How far recent values of each feature lie from its usual ones, and runs of equal values.

    `n_features`: length of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream.drift._moves import FeatureMoves
    >>> X = np.random.default_rng(0).normal(size=(540, 3))
    >>> X[500:, 1] += 4.0
    >>> moves = FeatureMoves(3)
    >>> stuck = moves.update_rows(X)
    >>> moves.most_moved()[0], stuck
    (1, -1)
    """

    def __init__(self, n_features: int) -> None:
        self.figures = np.zeros(n_features, FIGURES)

    def update_rows(self, X: Float64) -> int:
        """Take rows, (n, n_features); return the last feature found stuck in them, or -1."""
        stuck: int = learn_moves(np.ascontiguousarray(X), self.figures)
        return stuck

    def run(self, feature: int) -> int:
        """Return for how many rows a feature has repeated its value."""
        return int(self.figures["run"][feature])

    def most_moved(self) -> list[int]:
        """Return the features whose recent values are furthest from the usual ones, furthest first.

        Features that moved less than half as far as the first one are left out.
        """
        own = self.figures
        moves = np.sqrt(np.where(own["n_values"] >= WARM_UP, own["recent"], 0.0))
        order = np.argsort(-moves, kind="stable")[:_MOST]
        return [int(j) for j in order if moves[j] > 0.0 and moves[j] >= 0.5 * moves[order[0]]]

    def export_state(self) -> Float64:
        """Return a copy of the figures, (n_features, 8)."""
        return self.figures.view(np.float64).reshape(-1, _N_FIGURES).copy()

    def restore_state(self, figures: Float64) -> None:
        """Continue from what `export_state` returned.

        Raises `CheckpointError` if the array has another shape.
        """
        if figures.shape != (len(self.figures), _N_FIGURES):
            raise CheckpointError("the saved moves of the features have another shape")
        self.figures.view(np.float64)[:] = figures.ravel()
