"""The regressor."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream.errors import InputError
from loco_stream.estimators._sequences import SequenceEstimator
from loco_stream.estimators.inputs.slots import require_mapping
from loco_stream.estimators.inputs.tables import frame_columns, table, targets
from loco_stream.estimators.tickets import Ticket
from loco_stream.numbers import require_number, shown
from loco_stream.options import COVERAGES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCORegressor"]


class LOCORegressor(SequenceEstimator, base.MiniBatchRegressor):
    """The same network for a number.

    Readouts of one output, in units of the target's running scale.

    Predictions stay within the target's range so far and a quarter of it beyond. A target further
    from its prediction than three times the 99 % quantile of the last 500 residuals, and than one
    standard deviation of the target, is learned as if it lay there: an outlier moves a model no
    more than a large residual does. Parameters are those of `LOCOClassifier`, and so is what holds
    for threads.

    Examples
    --------
    >>> from river import datasets, metrics
    >>> from loco_stream import LOCORegressor
    >>> model, error = LOCORegressor(seed=1), metrics.MAE()
    >>> for x, y in datasets.TrumpApproval():
    ...     error.update(y, model.predict_one(x))
    ...     model.learn_one(x, y)
    >>> error.get() < 1.0
    True
    """

    _regression = True

    def learn_one(self, x: dict[Any, Any] | Ticket, y: float, t: float | None = None) -> None:
        """Learn one sample, or the ticket of one.

        Raises `InputError` if y is not a finite number of at most 1e30.

        See `LOCOClassifier.learn_one`.
        """
        if isinstance(x, Ticket):
            self._learn_ticket(x, y)
            return
        require_mapping(x)
        value = require_number("y", y)
        moment = self._moment(t)
        with self._lock:
            if self._state is None or not self._slots.knows(tuple(x)):
                self._admit(x)
            self._learn_row(x, 0, value, moment)

    def predict_one(self, x: dict[Any, Any], t: float | None = None) -> float:
        """Return the predicted value at time `t`; 0.0 before the first sample. Changes nothing."""
        with self._lock:
            answer = self._predict_row(x, t)
            return 0.0 if self._state is None else answer

    def predict_interval_one(
        self, x: dict[Any, Any], coverage: float = 0.9, t: float | None = None
    ) -> tuple[float, float]:
        """Return the interval around `predict_one` that holds the value with that probability.

        It is made of the last 500 residuals (conformal prediction on a window, Lei et al. 2018) and
        adapts to what it misses (Gibbs & Candes 2021), so that a share `coverage` of a stream's
        values lies inside, drifting or not. It is as wide for every x.

        Parameters
        ----------
        x
            The sample.
        coverage
            0.5, 0.8, 0.9, 0.95 or 0.99: each is adapted apart.

        Returns
        -------
        tuple
            Lowest and highest value; infinite before 9 residuals (coverage 0.9; 99 for 0.99).

        Raises
        ------
        InputError
            The coverage is another one.

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
        level = _level(coverage)
        radii = np.full((1, len(COVERAGES)), np.inf)
        with self._lock:
            value = self._predict_row(x, t, radii)
        return value - radii.item(level), value + radii.item(level)

    def predict_interval_array(
        self,
        X: ArrayLike,
        coverage: float = 0.9,
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Return the interval of each row, (n, 2); see `predict_interval_one`."""
        level = _level(coverage)
        with self._lock:
            answers, radii = self._predict_rows(X, features, t, sequence)
            if self._state is None:
                answers, radii = (
                    np.zeros(len(answers)),
                    np.full((len(answers), len(COVERAGES)), np.inf),
                )
        return _bounds(answers, radii[:, level])

    def learn_predict_interval_array(
        self,
        X: ArrayLike,
        y: Iterable[float],
        coverage: float = 0.9,
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Test, then train on each row.

        Return values (n,) and intervals (n, 2), both predicted before learning.
        """
        level = _level(coverage)
        answers, radii = self._learn_rows(
            X, y, features, t, sequence, predict_first=True, wants_radii=True
        )
        return answers, _bounds(answers, radii[:, level])

    def learn_array(
        self,
        X: ArrayLike,
        y: Iterable[float],
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> None:
        """Learn rows in order in one compiled loop; see `LOCOClassifier.learn_array`."""
        self._learn_rows(X, y, features, t, sequence, predict_first=False)

    def learn_predict_array(
        self,
        X: ArrayLike,
        y: Iterable[float],
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Test, then train on each row; return the values predicted before learning, (n,)."""
        return self._learn_rows(X, y, features, t, sequence, predict_first=True)[0]

    def predict_array(
        self,
        X: ArrayLike,
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Return the predicted value of each row, (n,)."""
        with self._lock:
            answers = self._predict_rows(X, features, t, sequence)[0]
            return np.zeros(len(answers)) if self._state is None else answers

    def predict_sequence(
        self, X: ArrayLike, t: ArrayLike | None = None, features: Iterable[Hashable] | None = None
    ) -> float:
        """Return the value of the event that the rows are of: the mean of what is said at them.

        Changes nothing.
        """
        with self._lock:
            answers = self._sequence_rows(X, t, features)[0]
            return 0.0 if self._state is None else float(answers.mean())

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, y, features=frame_columns(X))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted value of each row of a frame."""
        import pandas as pd

        return pd.Series(self.predict_array(X, features=frame_columns(X)), index=X.index)

    def _learn_rows(
        self,
        X: ArrayLike,
        y: Iterable[float],
        features: Iterable[Hashable] | None,
        t: ArrayLike | None,
        sequence: Iterable[Any] | None,
        *,
        predict_first: bool,
        wants_radii: bool = False,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return answers (n,) and half widths of intervals, (n, coverages) if they are wanted."""
        given = table(X)
        values = targets(y, len(given.numbers))
        with self._lock:
            names = self._names(given.numbers.shape[1], features)
            moments, last = self._moments(t, sequence, len(values))
            self._admit(names)
            self._sequence = last
            slots = np.zeros(len(values), np.int64)
            radii = np.full((len(values) if wants_radii else 0, len(COVERAGES)), np.inf)
            return self._learn_table(
                given, names, slots, values, predict_first, moments, radii
            ), radii


def _level(coverage: float) -> int:
    if coverage not in COVERAGES:
        raise InputError(
            f"coverage is {shown(coverage)}; allowed are {', '.join(map(str, COVERAGES))}"
        )
    return COVERAGES.index(coverage)


def _bounds(values: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lowest and highest value of each interval, (n, 2)."""
    return np.stack([values - radii, values + radii], axis=1)
