"""Sequences: rows of one event that share one label."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loco_stream.errors import InputError
from loco_stream.estimators._context import ContextualEstimator
from loco_stream.estimators.inputs.categories import text_columns
from loco_stream.estimators.inputs.row_times import moments_at
from loco_stream.estimators.inputs.slots import plain_label
from loco_stream.estimators.inputs.tables import Table, table
from loco_stream.learner.arrays.state import N_CLASSES, N_FEATURES
from loco_stream.learner.delayed_labels.pending import ticket_size
from loco_stream.numbers import require_number

__all__ = ["SequenceEstimator", "pooled"]

_LEAST = 1e-6  # probability that every row grants to every class


class SequenceEstimator(ContextualEstimator):
    """What both estimators do with events of many rows and one label."""

    def learn_sequence(
        self,
        X: ArrayLike,
        y: Any,
        t: ArrayLike | None = None,
        features: Iterable[Hashable] | None = None,
    ) -> None:
        """Learn the rows of one event, which share one label.

        All rows are observed before the first is learned, so that no part of the readout is trusted
        for having just seen the event. Every row teaches the readout; the hidden layers make one
        step a label, an equal share of it at each row. The memory starts from nothing.

        Parameters
        ----------
        X
            (n, n_features) numbers, the rows in order; at least one.
        y
            Label or value of the event.
        t
            Time of each row, as in `learn_array`.
        features
            Names of the columns, as in `learn_array`.

        Raises
        ------
        InputError
            X has no rows or is not two-dimensional, y cannot be a label, or t is not one number a
            row.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=16, memory=(0.3, 50.0))
        >>> for _ in range(10):
        ...     model.learn_sequence([[0.0], [1.0], [2.0]], "rises")
        ...     model.learn_sequence([[2.0], [1.0], [0.0]], "falls")
        >>> model.predict_sequence([[0.1], [0.9], [2.1]])
        'rises'
        """
        given = table(X)
        n = len(given.numbers)
        label = () if self._regression else (plain_label(y),)
        value = require_number("y", y) if self._regression else 0.0
        if n == 0:
            raise InputError("X has 0 rows; allowed is 1 or more, the rows of one event")
        with self._lock:
            names = self._names(given.numbers.shape[1], features)
            moments, _ = self._moments(t, [object()] * n, n)
            (slot,) = self._admit(names, label) or (0,)
            rows = self._admitted(given, names)
            said = self._observed(rows, moments)
            shares = moments_at(np.full(n, np.nan), share=1.0 / n)
            self._run(
                rows,
                np.full(n, slot),
                np.full(n, value),
                predicts=False,
                moments=shares,
                tickets=said,
            )
            self._sequence = None
            self._judge()

    def _admitted(self, given: Table, names: Sequence[Hashable]) -> NDArray[np.float64]:
        """Return rows in slot order once their texts have slots."""
        columns = text_columns(names, given.texts)
        n = len(given.numbers)
        self._admit(
            (), texts=[(column.key, column.text(row)) for row in range(n) for column in columns]
        )
        return self._with_texts(given, names, columns, 0, n)

    def _observed(
        self, rows: NDArray[np.float64], moments: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Observe rows in slot order; return their tickets."""
        assert self._settings is not None
        assert self._state is not None
        counts = self._state.counts[[N_CLASSES, N_FEATURES]]
        said = np.zeros((len(rows), ticket_size(self._settings, *counts)))
        self._run(rows, predicts=False, learns=False, moments=moments, tickets=said)
        return said

    def _sequence_rows(
        self, X: ArrayLike, t: ArrayLike | None, features: Iterable[Hashable] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return answers and probabilities of the rows of one event."""
        n = len(table(X).numbers)
        if n == 0:
            raise InputError("X has 0 rows; allowed is 1 or more, the rows of one event")
        return self._predict_rows(X, features, t, [object()] * n)


def pooled(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normalised geometric mean of rows of probabilities, (classes,)."""
    logs = np.log(np.maximum(proba, _LEAST)).mean(axis=0)
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum())
