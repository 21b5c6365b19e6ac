"""The regressor."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from loco_stream.learner.base import LOCOEstimator, finite_target, matrix
from loco_stream.learner.features import require_mapping

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LOCORegressor"]


class LOCORegressor(LOCOEstimator, base.MiniBatchRegressor):
    """The same network for a number: readouts of one output, in units of the target's running scale.

    Predictions stay within the target's range so far and a quarter of it beyond. Parameters are
    those of `LOCOClassifier`.

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
        """Learn one sample; raises `InputError` if y is not a finite number."""
        require_mapping(x)
        self._learn_row(x, 0, finite_target(y))

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the predicted value; 0.0 before the first sample."""
        answer = self._predict_row(x)
        return 0.0 if self._state is None else answer

    def learn_array(self, X: ArrayLike, y: Sequence[float], features: Sequence[Hashable] | None = None) -> None:
        """Learn rows in order in one compiled loop; see `LOCOClassifier.learn_array`."""
        values = np.array([finite_target(value) for value in y], np.float64)
        self._learn_rows(
            self._matched(X, y, features), np.zeros(len(values), np.int64), values, features, predict_first=False
        )

    def learn_predict_array(
        self, X: ArrayLike, y: Sequence[float], features: Sequence[Hashable] | None = None
    ) -> NDArray[np.float64]:
        """Test, then train on each row; return the values predicted before learning, (n,)."""
        values = np.array([finite_target(value) for value in y], np.float64)
        return self._learn_rows(
            self._matched(X, y, features), np.zeros(len(values), np.int64), values, features, predict_first=True
        )

    def predict_array(self, X: ArrayLike, features: Sequence[Hashable] | None = None) -> NDArray[np.float64]:
        """Return the predicted value of each row, (n,)."""
        if self._state is None:
            return np.zeros(matrix(X).shape[0])
        return self._predict_rows(X, features)[0]

    def learn_many(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Learn the rows of a frame in order."""
        self.learn_array(X, list(y), features=tuple(X.columns))

    def predict_many(self, X: pd.DataFrame) -> pd.Series:
        """Return the predicted value of each row of a frame."""
        import pandas as pd

        return pd.Series(self.predict_array(X, features=tuple(X.columns)), index=X.index)
