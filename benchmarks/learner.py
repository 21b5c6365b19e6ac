"""The interface of every contender: the array methods of this package's estimators.

`RiverLearner` adapts river estimators and `CompiledLearner` numba loops over rows. Every table
shows the two baselines, `Majority` and `NoChange`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "WIDE",
    "CompiledLearner",
    "Learner",
    "Majority",
    "NoChange",
    "RiverLearner",
    "correct",
    "prequential_accuracy",
    "warm",
]


_FEW = 20
WIDE = 256  # rows with more features are taken for images


class Learner(Protocol):
    """Learn and predict blocks of rows.

    `learn_predict_array` predicts each row before learning it.
    """

    def learn_array(self, X: NDArray[Any], y: Any) -> None:
        """Learn the rows in order."""
        ...

    def predict_array(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return one label or value per row without changing the model."""
        ...

    def learn_predict_array(self, X: NDArray[Any], y: Any) -> NDArray[Any]:
        """Predict each row, then learn it, in order; return the predictions."""
        ...


class RiverLearner:
    """Array methods for a river estimator (`learn_one` and `predict_one` of dicts).

    Parameters
    ----------
    model
        Any river classifier, regressor or pipeline.
    as_array
        Pass each row as `{"row": array}` instead of with one key per feature.
    """

    def __init__(self, model: Any, as_array: bool = False) -> None:
        self.model = model
        self._dicts = _boxes if as_array else _dicts

    def learn_array(self, X: NDArray[Any], y: Any) -> None:
        """Learn the rows in order."""
        for x, target in zip(self._dicts(X), np.asarray(y).tolist(), strict=True):
            self.model.learn_one(x, target)

    def predict_array(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return one prediction per row without changing the model."""
        return _column([self.model.predict_one(x) for x in self._dicts(X)])

    def learn_predict_array(self, X: NDArray[Any], y: Any) -> NDArray[Any]:
        """Predict each row, then learn it."""
        predictions = []
        for x, target in zip(self._dicts(X), np.asarray(y).tolist(), strict=True):
            predictions.append(self.model.predict_one(x))
            self.model.learn_one(x, target)
        return _column(predictions)


class CompiledLearner(ABC):
    """Array methods for a compiled loop, which a subclass defines in `_run`.

    Labels are codes 0..n_classes-1. A learner of values sets `unknown` to NaN.
    """

    unknown: ClassVar[float] = -1  # prediction before the first label; its type is that of `y`

    @abstractmethod
    def _run(
        self,
        X: NDArray[np.float64],
        y: NDArray[Any],
        predict: bool,
        learn: bool,
        result: NDArray[Any],
    ) -> None:
        """Predict and learn each row in order; store predictions in `result`."""

    def _pass(self, X: NDArray[Any], y: Any, predict: bool, learn: bool) -> NDArray[Any]:
        result = np.full(len(X), self.unknown)
        rows = np.ascontiguousarray(X, dtype=np.float64)
        self._run(rows, np.ascontiguousarray(y, dtype=result.dtype), predict, learn, result)
        return result

    def learn_array(self, X: NDArray[Any], y: Any) -> None:
        """Learn the rows in order."""
        self._pass(X, y, predict=False, learn=True)

    def predict_array(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return one prediction per row without changing the model."""
        return self._pass(X, (), predict=True, learn=False)

    def learn_predict_array(self, X: NDArray[Any], y: Any) -> NDArray[Any]:
        """Predict each row, then learn it."""
        return self._pass(X, y, predict=True, learn=True)


class NoChange:
    """Repeat the last label seen."""

    def __init__(self) -> None:
        self.last: Any = None

    def learn_array(self, X: NDArray[Any], y: Any) -> None:
        """Learn the rows in order."""
        if len(y):
            self.last = np.asarray(y).tolist()[-1]

    def predict_array(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return one prediction per row without changing the model."""
        return _column([self.last] * len(X))

    def learn_predict_array(self, X: NDArray[Any], y: Any) -> NDArray[Any]:
        """Predict each row, then learn it."""
        labels = np.asarray(y).tolist()
        predictions = [self.last, *labels[:-1]]
        self.learn_array(X, y)
        return _column(predictions)


class Majority:
    """Predict the label seen most often."""

    def __init__(self) -> None:
        self.counts: Counter[Any] = Counter()

    def _best(self) -> Any:
        return max(self.counts, key=self.counts.__getitem__) if self.counts else None

    def learn_array(self, X: NDArray[Any], y: Any) -> None:
        """Learn the rows in order."""
        self.counts.update(np.asarray(y).tolist())

    def predict_array(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return one prediction per row without changing the model."""
        return _column([self._best()] * len(X))

    def learn_predict_array(self, X: NDArray[Any], y: Any) -> NDArray[Any]:
        """Predict each row, then learn it."""
        predictions = []
        for label in np.asarray(y).tolist():
            predictions.append(self._best())
            self.counts[label] += 1
        return _column(predictions)


def warm(model: Learner, X: NDArray[Any], y: NDArray[Any]) -> None:
    """Let a temporary model learn a few rows, so that the timed one finds its kernels compiled."""
    model.learn_predict_array(X[:_FEW], y[:_FEW])
    model.predict_array(X[:_FEW])


def _dicts(X: NDArray[Any]) -> Any:
    """Yield rows as dicts with keys 0..n-1, of which only one is alive at a time."""
    columns = range(X.shape[1])
    return (dict(zip(columns, row, strict=True)) for row in X.tolist())


def _boxes(X: NDArray[Any]) -> Any:
    return ({"row": row} for row in X)


def _column(values: list[Any]) -> NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def correct(predictions: NDArray[Any], y: NDArray[Any]) -> tuple[int, int]:
    """Return the numbers of right predictions and of rows with a prediction.

    None and the code -1 are no predictions.
    """
    made = [
        (p, t)
        for p, t in zip(predictions.tolist(), y.tolist(), strict=True)
        if p is not None and p != -1
    ]
    return sum(p == t for p, t in made), len(made)


def prequential_accuracy(predictions: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the share of right predictions among the rows that had one.

    Examples
    --------
    >>> prequential_accuracy(np.array([None, 0, 1], dtype=object), np.array([0, 0, 0]))
    0.5
    """
    right, counted = correct(predictions, y)
    return right / counted if counted else 0.0
