"""Input drift without labels: rows that the recent past does not explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._checks import checks_types
from loco_stream._rng import derive_key, philox2x32
from loco_stream.drift._subspace import FRESH_TEST, LEVEL_SIZE, RESTART, observe
from loco_stream.errors import CheckpointError, ConfigError

Vector: TypeAlias = Float64
Counts: TypeAlias = Int64

# Wider inputs are folded to this width, which bounds the cost of an update to a few microseconds.
_WIDTH = 64
_PURPOSE = 7  # of the random key of the folding
_STATES = ("stable", "warning", "drift")
_ARRAYS = ("mean", "variance", "inverse", "lengths", "level", "components", "folded")


class TestedRows(NamedTuple):
    """State, onset and standardised row, (width,), of each row, as the detector sees them."""

    states: Sequence[str]
    onsets: Sequence[int]
    folded: Sequence[Vector] | Vector


class DetectorSnapshot(NamedTuple):
    """State of an `InputDetector` at a row."""

    onset: int
    arrays: Sequence[Vector]


class InputDetector:
    """Page-Hinkley test for a rise of the input energy outside a running principal subspace.

    Each feature is standardised by its running mean and variance. A value enters these clipped to
    ten standard deviations, and common fill values such as -9999 that lie beyond are treated as
    missing. A single fault thus hides no later change, unless it is in one of the first three rows,
    which set the scale. Candid covariance-free incremental PCA (Weng et al., PAMI 2003) follows the
    `rank` strongest directions. The logarithm of the energy outside is standardised by its running
    mean and deviation, and its correlation with the row before is removed, so that repeated
    readings of a sensor do not count as a change. Inputs of more than 64 features are folded to 64
    sums with random signs, which preserves distances (count sketch; Charikar et al., 2002).

    Parameters
    ----------
    n_features
        Length of the input vectors.
    rank
        Directions of the subspace; at most a quarter of the dimensions, so that some are outside.
    threshold
        Threshold of the test in standard deviations. At 15 there was no false alarm on stationary
        streams, and every new permutation or pair of digits was found
        (`python -m benchmarks drift`).
    seed
        Seed of the folding.

    Attributes
    ----------
    onset
        After "drift": rows since the sum of the test began to rise, the last one included.

    Raises
    ------
    ConfigError
        A value is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream.drift import InputDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 8))
    >>> X[1500:] += 3.0
    >>> detector = InputDetector(8)
    >>> states = [detector.update(x) for x in X]
    >>> 1500 <= states.index("drift") < 1520
    True
    """

    @checks_types
    def __init__(
        self, n_features: int, rank: int = 8, threshold: float = 15.0, seed: int = 0
    ) -> None:
        if n_features < 1:
            raise ConfigError(f"`n_features` must be at least 1, got {n_features}")
        if rank < 0:
            raise ConfigError(f"`rank` must be at least 0, got {rank}")
        if not threshold > 0.0:
            raise ConfigError(f"`threshold` must be above 0 standard deviations, got {threshold}")
        self.n_features = n_features
        self.threshold = threshold
        width = min(n_features, _WIDTH)
        self.mean = np.zeros(n_features)
        self.variance = np.zeros(n_features)
        self.inverse = np.zeros(n_features)
        self.components = np.zeros((min(rank, width // 4), width))
        self.lengths = np.zeros(len(self.components))
        self.folded = np.zeros(width)
        self.level = np.zeros(LEVEL_SIZE)
        self.onset = 0
        self._test = np.array(FRESH_TEST)
        folding = _folding(n_features, width, seed)
        self._inputs = (self.mean, self.variance, self.inverse, *folding)
        self._subspace = (self.folded, np.zeros(width), self.components, self.lengths)

    def update(self, x: Vector) -> str:
        """Take one row (NaN: missing) and return "stable", "warning" or "drift".

        After "drift" the statistics adapt quickly, and no alarm follows within 100 rows.
        """
        return self.update_rows(np.asarray(x, dtype=np.float64)[None]).states[0]

    def update_rows(self, X: Float64) -> TestedRows:
        """Take rows in order, (n, n_features): the same as `update` for each."""
        states, onsets, folded = self.observe_rows(X)
        names = [_STATES[state] for state in states.tolist()]
        return TestedRows(names, onsets.tolist(), folded)

    def observe_rows(self, X: Float64) -> tuple[Counts, Counts, Vector]:
        """Do the same, and return arrays: states (0 is "stable"), onsets, standardised rows."""
        n = len(X)
        states = np.zeros(n, np.int64)
        onsets = np.zeros(n, np.int64)
        folded = np.zeros((n, len(self.folded)))
        self.onset = observe(
            np.ascontiguousarray(X, dtype=np.float64),
            self._inputs,
            self._subspace,
            self.level,
            self._test,
            self.threshold,
            self.onset,
            (states, onsets, folded),
        )
        return states, onsets, folded

    def restart(self) -> None:
        """Adapt quickly and delay the next alarm: other inputs begin."""
        self.level[:5] = 0.0
        self.level[5] = min(self.level[5], RESTART)
        self._test[...] = FRESH_TEST

    @property
    def _changing(self) -> tuple[Vector, ...]:
        """The arrays that a row changes."""
        inputs = (self.mean, self.variance, self.inverse)
        subspace = (self.components, self.lengths, self.folded)
        return (*inputs, *subspace, self.level, self._test)

    def snapshot(self) -> DetectorSnapshot:
        """Return the state for `restore_snapshot`, in a third of the time of `export_state`."""
        return DetectorSnapshot(self.onset, [array.copy() for array in self._changing])

    def restore_snapshot(self, before: DetectorSnapshot) -> None:
        """Undo the updates since `snapshot`."""
        self.onset = before.onset
        for array, saved in zip(self._changing, before.arrays, strict=True):
            array[...] = saved

    def export_state(self) -> dict[str, Vector]:
        """Return the state as arrays."""
        return {
            "test": self._test.copy(),
            "onset": np.array([self.onset]),
            **{name: getattr(self, name).copy() for name in _ARRAYS},
        }

    def restore_state(self, arrays: Mapping[str, Vector]) -> None:
        """Continue from what `export_state` returned.

        Raises
        ------
        CheckpointError
            The arrays are incomplete or have other shapes.
        """
        for name in _ARRAYS:
            target = getattr(self, name)
            saved = arrays.get(name)
            if saved is None or saved.shape != target.shape:
                raise CheckpointError(
                    f"the saved state of the input detector lacks {name} or has another shape of it"
                )
            target[...] = saved
        if arrays["test"].shape != self._test.shape:
            raise CheckpointError("the saved state of the input detector has another test")
        self._test[...] = arrays["test"]
        self.onset = int(arrays["onset"][0])


def _folding(n_features: int, width: int, seed: int) -> tuple[Int64, Vector]:
    """Return a dimension and a sign for each feature; nothing for inputs that are not folded."""
    n = n_features if n_features > width else 0
    words = philox2x32(np.uint64(derive_key(seed, _PURPOSE)), np.arange(n, dtype=np.uint64))
    buckets = (words % np.uint64(width)).astype(np.int64)
    return buckets, np.where(words >> np.uint64(63), 1.0, -1.0)
