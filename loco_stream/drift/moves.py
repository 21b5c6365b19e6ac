"""Which features moved: their recent level against their usual one, and values that are stuck."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import entry, kernel
from loco_stream.errors import CheckpointError

__all__ = ["FeatureMoves"]

USUAL_RATE = 1e-3  # of the usual level, once a thousand values are known
RECENT_RATE = 1.0 / 30.0
WARM_UP = 100  # values of a feature before it is judged
STUCK_SCORE = 12.0  # -log10 of the probability of a run, from which the feature is stuck

N_VALUES = 0  # columns of the figures of a feature
MEAN = 1
VARIANCE = 2
RECENT = 3
LAST = 4
RUN = 5
LONGEST = 6
N_SAME = 7
N_FIGURES = 8


@entry
def learn_moves(X, figures):  # type: ignore[no-untyped-def]
    """Learn rows in order; return the last feature that was found stuck in them, or -1.

    Parameters
    ----------
    X : float64 (n, n_features)
        The rows; NaN or infinite values are missing.
    figures : float64 (n_features, N_FIGURES)
        Of each feature: values, mean, variance, recent mean, last value, length of the run of equal
        values, longest run that has ended, and repetitions in such runs.
    """
    stuck = -1
    for i in range(X.shape[0]):
        found = _learn_row(X[i], figures)
        if found >= 0:
            stuck = found
    return stuck


@kernel
def _learn_row(x, figures):  # type: ignore[no-untyped-def]
    """Learn one row, float64 (n_features,); otherwise as `learn_moves`."""
    stuck = -1
    for j in range(x.size):
        value = x[j]
        if not abs(value) < math.inf:
            continue
        own = figures[j]
        n = own[N_VALUES]
        if n > 0.0 and value == own[LAST]:
            before = -own[RUN] * math.log10((own[N_SAME] + 1.0) / (n - own[RUN] + 2.0))
            own[RUN] += 1.0
            score = -own[RUN] * math.log10((own[N_SAME] + 1.0) / (n + 1.0 - own[RUN] + 2.0))
            is_new = before < STUCK_SCORE or own[RUN] == own[LONGEST] + 1.0
            if n >= WARM_UP and own[RUN] > own[LONGEST] and score >= STUCK_SCORE and is_new:
                stuck = j
        else:
            own[LONGEST] = max(own[LONGEST], own[RUN])
            own[N_SAME] += own[RUN]
            own[RUN] = 0.0
            own[LAST] = value
        own[N_VALUES] = n + 1.0
        usual = max(1.0 / (n + 1.0), USUAL_RATE)
        deviation = value - own[MEAN]
        own[MEAN] += usual * deviation
        own[VARIANCE] += usual * ((1.0 - usual) * deviation * deviation - own[VARIANCE])
        own[RECENT] += max(1.0 / (n + 1.0), RECENT_RATE) * (value - own[RECENT])
    return stuck


class FeatureMoves:
    """Recent and usual level of each feature, and runs of equal values.

    Parameters
    ----------
    n_features
        Length of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream.drift.moves import FeatureMoves
    >>> X = np.random.default_rng(0).normal(size=(540, 3))
    >>> X[500:, 1] += 4.0
    >>> moves = FeatureMoves(3)
    >>> stuck = moves.update_rows(X)
    >>> moves.most_moved()[0], stuck
    (1, -1)
    """

    def __init__(self, n_features: int) -> None:
        self.figures = np.zeros((n_features, N_FIGURES))

    def update_rows(self, X: NDArray[np.float64]) -> int:
        """Take rows, (n, n_features); return the last feature found stuck in them, or -1."""
        stuck: int = learn_moves(np.ascontiguousarray(X), self.figures)
        return stuck

    def run(self, feature: int) -> int:
        """Return for how many rows a feature has repeated its value."""
        return int(self.figures[feature, RUN])

    def most_moved(self, most: int = 3) -> list[int]:
        """Return the features whose recent level is furthest from the usual one, furthest first.

        Only features that moved at least half as far as the first one are returned.
        """
        own = self.figures
        deviations = np.sqrt(np.maximum(own[:, VARIANCE], 1e-300))
        moves = np.where(
            own[:, N_VALUES] >= WARM_UP, np.abs(own[:, RECENT] - own[:, MEAN]) / deviations, 0.0
        )
        order = np.argsort(-moves, kind="stable")[:most]
        return [int(j) for j in order if moves[j] > 0.0 and moves[j] >= 0.5 * moves[order[0]]]

    def restore_state(self, figures: NDArray[np.float64]) -> None:
        """Continue from saved `figures`.

        Raises
        ------
        CheckpointError
            The array has another shape.
        """
        if figures.shape != self.figures.shape:
            raise CheckpointError("the saved moves of the features have another shape")
        self.figures = figures.astype(np.float64)
