"""The regressor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from river import base

from loco_stream._arrays import Float64
from loco_stream._learner.readout.intervals import COVERAGES
from loco_stream._options import DEFAULTS, AdvancedOptions
from loco_stream.estimators._inputs.tables import (
    Names,
    SequenceIds,
    TimeLike,
    TimesLike,
)
from loco_stream.estimators._intervals import IntervalEstimator, coverage_level, interval_bounds
from loco_stream.estimators._parameters import explains_parameters, parameter_names


class LOCORegressor(IntervalEstimator[float], base.MiniBatchRegressor):
    """Spiking network that learns to predict a number row by row; see `LOCOClassifier`.

    The target is standardised by its running mean and deviation. Predictions stay within the range
    of the targets so far, extended by a quarter on each side. Outliers are bounded: a target
    further from its prediction than three times the 99 % quantile of the last 500 residuals, and
    than one standard deviation of the target, is learned as if it lay at that distance.

    Parameters
    ----------
    hidden_sizes, rule, learning_rate, memory, max_delay, categories, neuron, seed, advanced
        As in `LOCOClassifier`.
    neighbors
        As in `LOCOClassifier`; the outputs are the mean targets of the 7 nearest rows, among all
        kept rows and among the most recent fifth.
    centroids
        None or 0: a regressor has no classes to count.

    Raises
    ------
    ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> from river import datasets, metrics
    >>> from loco_stream import LOCORegressor
    >>> model = LOCORegressor(seed=1)
    >>> error = metrics.MAE()
    >>> for x, y in datasets.TrumpApproval():
    ...     error.update(y, model.predict_one(x))
    ...     model.learn_one(x, y)
    >>> error.get() < 1.0
    True
    """

    @explains_parameters
    def __init__(
        self,
        hidden_sizes: int | Sequence[int] | None = DEFAULTS.hidden_sizes,
        rule: str = DEFAULTS.rule,
        learning_rate: float | None = DEFAULTS.learning_rate,
        memory: Sequence[float] | None = DEFAULTS.memory,
        max_delay: int = DEFAULTS.max_delay,
        *,
        neighbors: int = DEFAULTS.neighbors,
        centroids: int | None = DEFAULTS.centroids,
        categories: int = DEFAULTS.categories,
        neuron: str = DEFAULTS.neuron,
        seed: int | None = DEFAULTS.seed,
        advanced: AdvancedOptions | None = None,
    ) -> None:
        self._construct(locals())

    _parameters = parameter_names(__init__)
    _estimator_type = "regressor"

    def predict_interval_one(
        self,
        x: dict[Any, Any],
        coverage: float = 0.9,
        t: TimeLike = None,
        in_stream: bool | None = None,
    ) -> tuple[float, float]:
        """Return the interval around `predict_one` that holds the value with a given probability.

        It is computed from the last 500 residuals (conformal prediction on a window, Lei et al.
        2018) and adapts to its misses (Gibbs & Candes 2021), so that a share `coverage` of the
        stream's values lies inside, also under drift. Its width is the same for every x.

        Parameters
        ----------
        x
            The row.
        coverage
            0.5, 0.8, 0.9, 0.95 or 0.99; each is adapted separately.
        t
            Time of the row.
        in_stream
            As in `predict_one`. The width is that of the stream's next row.

        Returns
        -------
        tuple
            Lowest and highest value; infinite until there are enough residuals: 9 for a coverage of
            0.9, 99 for 0.99.

        Raises
        ------
        InputError
            `coverage` is none of these.

        Examples
        --------
        >>> from loco_stream import LOCORegressor
        >>> model = LOCORegressor(hidden_sizes=(8,), seed=1)
        >>> for i in range(100):
        ...     model.learn_one({"a": i % 10}, 2.0 * (i % 10))
        >>> low, high = model.predict_interval_one({"a": 4})
        >>> low < 8.0 < high
        True
        """
        core = self._core
        level = coverage_level(coverage)
        times = core.time_of(t)
        radii = np.full((1, len(COVERAGES)), np.inf)
        with core.lock:
            value = float(core.predict_row(x, times, in_stream, radii)[0])
        return value - radii.item(level), value + radii.item(level)

    def learn_predict_interval_array(
        self,
        X: ArrayLike,
        y: Iterable[float],
        coverage: float = 0.9,
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
        held_out: Iterable[int] = (),
    ) -> tuple[Float64, Float64]:
        """Test, then train on each row; return values (n,) and intervals (n, 2).

        Both are predicted before the row is learned. An interval is its lower and its upper bound,
        infinite until there are enough residuals. `coverage` is 0.5, 0.8, 0.9, 0.95 or 0.99; other
        parameters are those of `learn_predict_array`.
        """
        level = coverage_level(coverage)
        answers, radii = self._learn_rows(
            X,
            y,
            features,
            t,
            sequence,
            predict_first=True,
            in_detail=True,
            held_out=held_out,
        )
        return answers, interval_bounds(answers, radii, level)

    def _details(self) -> int:
        return len(COVERAGES)
