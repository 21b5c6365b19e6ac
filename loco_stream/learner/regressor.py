"""The regressor."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream.learner.base import LOCOEstimator
from loco_stream.learner.features import require_mapping
from loco_stream.learner.inputs import frame_columns, table, targets
from loco_stream.numbers import require_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCORegressor"]


class LOCORegressor(LOCOEstimator, base.MiniBatchRegressor):
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

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn one sample; raises `InputError` if y is not a finite number of at most 1e30."""
        require_mapping(x)
        value = require_number("y", y)
        with self._lock:
            if self._state is None or not self._slots.knows(tuple(x)):
                self._admit(x)
            self._learn_row(x, 0, value)

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the predicted value; 0.0 before the first sample."""
        with self._lock:
            answer = self._predict_row(x)
            return 0.0 if self._state is None else answer

    def learn_array(self, X: ArrayLike, y: Iterable[float], features: Iterable[Hashable] | None = None) -> None:
        """Learn rows in order in one compiled loop; see `LOCOClassifier.learn_array`."""
        self._learn_rows(X, y, features, predict_first=False)

    def learn_predict_array(
        self, X: ArrayLike, y: Iterable[float], features: Iterable[Hashable] | None = None
    ) -> NDArray[np.float64]:
        """Test, then train on each row; return the values predicted before learning, (n,)."""
        return self._learn_rows(X, y, features, predict_first=True)

    def predict_array(self, X: ArrayLike, features: Iterable[Hashable] | None = None) -> NDArray[np.float64]:
        """Return the predicted value of each row, (n,)."""
        with self._lock:
            answers = self._predict_rows(X, features)[0]
            return np.zeros(len(answers)) if self._state is None else answers

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, y, features=frame_columns(X))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted value of each row of a frame."""
        import pandas as pd

        return pd.Series(self.predict_array(X, features=frame_columns(X)), index=X.index)

    def _learn_rows(
        self, X: ArrayLike, y: Iterable[float], features: Iterable[Hashable] | None, *, predict_first: bool
    ) -> NDArray[np.float64]:
        given = table(X)
        values = targets(y, len(given.numbers))
        with self._lock:
            names = self._names(given.numbers.shape[1], features)
            self._admit(names)
            return self._learn_table(given, names, np.zeros(len(values), np.int64), values, predict_first)
