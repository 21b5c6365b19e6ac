"""Input drift without labels: rows that the recent past does not explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream.drift.detectors.page_hinkley import PAGE_HINKLEY
from loco_stream.drift.subspace import LEVEL_SIZE, RESTART, WARM_UP, observe
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.rng import derive_key, philox2x32

__all__ = ["InputDetector"]

Vector: TypeAlias = NDArray[np.float64]

# Wider inputs are folded to this width, which bounds the cost of an update to a few microseconds.
_WIDTH = 64
_PURPOSE = 7  # of the random key of the folding
# Pace of all statistics while a change is suspected: young ones would absorb it too soon.
_SUSPICION_PACE = 0.1
_ARRAYS = ("mean", "variance", "inverse", "lengths", "level", "components", "folded")


class InputDetector:
    """Page-Hinkley test for a rise of the input energy outside a running principal subspace.

    Each feature is standardised by its running mean and variance. Candid covariance-free
    incremental PCA (Weng et al., PAMI 2003) follows the `rank` strongest directions. The logarithm
    of the energy outside is standardised by its running mean and deviation, and its correlation
    with the row before is removed: repeated readings of a sensor are no change. Inputs of more than
    64 features are folded to 64 sums with random signs, which preserves distances (count sketch;
    Charikar et al., 2002).

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

    def __init__(
        self, n_features: int, rank: int = 8, threshold: float = 15.0, seed: int = 0
    ) -> None:
        if n_features < 1:
            raise ConfigError(f"`n_features` must be at least 1, got {n_features}")
        if not threshold > 0.0:
            raise ConfigError(f"`threshold` must be above 0 standard deviations, got {threshold}")
        self.n_features = n_features
        self.threshold = threshold
        width = min(n_features, _WIDTH)
        self._buckets, self._signs = _folding(n_features, width, seed)
        self.mean = np.zeros(n_features)
        self.variance = np.zeros(n_features)
        self.inverse = np.zeros(n_features)
        self.components = np.zeros((max(0, min(rank, width // 4)), width))
        self.lengths = np.zeros(len(self.components))
        self.folded = np.zeros(width)
        self.level = np.zeros(LEVEL_SIZE)
        self.onset = 0
        self._rest = np.zeros(width)
        self._test = self._new_test()

    def update(self, x: Vector) -> str:
        """Take one row (NaN: missing) and return "stable", "warning" or "drift".

        After "drift" the statistics adapt quickly, and no alarm follows within 100 rows.
        """
        innovation = observe(
            x,
            self.mean,
            self.variance,
            self.inverse,
            self._buckets,
            self._signs,
            self.folded,
            self._rest,
            self.components,
            self.lengths,
            self.level,
            _SUSPICION_PACE if self._rise > self.threshold / 3.0 else 1.0,
        )
        if self.level[0] <= WARM_UP:
            return "stable"
        return self._test_rise(innovation)

    def _test_rise(self, innovation: float) -> str:
        self._test.update(innovation)
        rise = self._rise
        self.onset = self.onset + 1 if rise > 0.0 else 0
        if self._test.drift_detected:
            self.restart()
            return "drift"
        return "warning" if rise > self.threshold / 2.0 else "stable"

    @property
    def _rise(self) -> float:
        """Distance of the test's sum from its minimum; the test fires at the threshold."""
        rise: float = self._test._sum_increase - self._test._min_increase
        return rise

    def restart(self) -> None:
        """Adapt quickly and delay the next alarm: other inputs begin."""
        self.level[:5] = 0.0
        self.level[5] = min(self.level[5], RESTART)
        self._test = self._new_test()

    def _new_test(self) -> Any:
        """Return a test for a rise of the mean with a slack of half a deviation.

        With `alpha` below 1 the sum would be pulled towards 0 and lose its slack in the long run.
        """
        return PAGE_HINKLEY.make(
            {"min_instances": 1, "delta": 0.5, "alpha": 1.0, "threshold": self.threshold}
        )

    def export_state(self) -> dict[str, Vector]:
        """Return the state as arrays."""
        return {
            "test": PAGE_HINKLEY.export_state(self._test),
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
        PAGE_HINKLEY.restore_state(self._test, arrays["test"])
        self.onset = int(arrays["onset"][0])


def _folding(n_features: int, width: int, seed: int) -> tuple[NDArray[np.int64], Vector]:
    """Return a dimension and a sign for each feature; nothing for inputs that are not folded."""
    key = derive_key(seed, _PURPOSE)
    words = [int(philox2x32(key, j)) for j in range(n_features if n_features > width else 0)]
    buckets = np.array([word % width for word in words], dtype=np.int64)
    return buckets, np.array([1.0 if word >> 63 else -1.0 for word in words])
