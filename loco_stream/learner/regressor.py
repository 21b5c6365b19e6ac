"""The regressor."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream.learner.context import ContextualEstimator
from loco_stream.learner.features import require_mapping
from loco_stream.learner.inputs import frame_columns, table, targets
from loco_stream.learner.tickets import Ticket
from loco_stream.numbers import require_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCORegressor"]


class LOCORegressor(ContextualEstimator, base.MiniBatchRegressor):
    """The same network for a number: readouts of one output, in units of the target's running scale.

    Predictions stay within the target's range so far and a quarter of it beyond. Parameters are
    those of `LOCOClassifier`, and so is what holds for threads.

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
        """Learn one sample, or the ticket of one; raises `InputError` if y is not a finite number of at most 1e30.

        See `LOCOClassifier.learn_one`.
        """
        if isinstance(x, Ticket):
            self._learn_ticket(x, y)
            return
        require_mapping(x)
        value, moment = require_number("y", y), self._moment(t)
        with self._lock:
            if self._state is None or not self._slots.knows(tuple(x)):
                self._admit(x)
            self._learn_row(x, 0, value, moment)

    def predict_one(self, x: dict[Any, Any], t: float | None = None) -> float:
        """Return the predicted value at time `t`; 0.0 before the first sample. Changes nothing."""
        with self._lock:
            answer = self._predict_row(x, t)
            return 0.0 if self._state is None else answer

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
        return self._learn_rows(X, y, features, t, sequence, predict_first=True)

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
    ) -> NDArray[np.float64]:
        given = table(X)
        values = targets(y, len(given.numbers))
        with self._lock:
            names = self._names(given.numbers.shape[1], features)
            moments, last = self._moments(t, sequence, len(values))
            self._admit(names)
            self._sequence, slots = last, np.zeros(len(values), np.int64)
            return self._learn_table(given, names, slots, values, predict_first, moments)
