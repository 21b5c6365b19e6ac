"""Events: rows that share one label."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from loco_stream.errors import InputError
from loco_stream.estimators._core import Float64, ModelCore
from loco_stream.estimators._observed import new_tickets
from loco_stream.estimators.inputs.categories import text_columns
from loco_stream.estimators.inputs.row_times import row_times, row_times_at
from loco_stream.estimators.inputs.slots import plain_label
from loco_stream.estimators.inputs.tables import Table, table
from loco_stream.numbers import require_number

__all__ = ["learn", "pooled", "predict"]

_MIN_PROBABILITY = 1e-6  # that every row grants to every class


def learn(
    core: ModelCore,
    X: ArrayLike,
    y: Any,
    t: ArrayLike | None,
    features: Iterable[Hashable] | None,
) -> None:
    """Learn the rows of one event."""
    given = _event(X)
    n = len(given.numbers)
    labels = () if core.regression else (plain_label(y),)
    value = require_number("y", y) if core.regression else 0.0
    with core.lock:
        names = core.names(given, features)
        times, _ = row_times(t, [object()] * n, n, core.sequence, remembers=core.options.remembers)
        (slot,) = core.admit(names, labels) or (0,)
        rows = _admitted(core, given, names)
        tickets = new_tickets(core, n)
        core.run(rows, predicts=False, learns=False, times=times, tickets=tickets)
        core.run(
            rows,
            np.full(n, slot),
            np.full(n, value),
            predicts=False,
            times=row_times_at(np.full(n, np.nan), share=1.0 / n),
            tickets=tickets,
        )
        core.sequence = None
        core.warn_of_columns()


def predict(
    core: ModelCore,
    X: ArrayLike,
    t: ArrayLike | None,
    features: Iterable[Hashable] | None,
    columns: int,
) -> tuple[Float64, Float64]:
    """Return answers and probabilities, (n, columns), of the rows of one event."""
    given = _event(X)
    n = len(given.numbers)
    remembers = core.options.remembers
    times, _ = row_times(t, [object()] * n, n, core.sequence, remembers=remembers)
    return core.predict_table(given, features, times, columns)


def _event(X: ArrayLike) -> Table:
    given = table(X)
    if len(given.numbers) == 0:
        raise InputError("`X` must have 1 row or more, the rows of one event, got 0")
    return given


def _admitted(core: ModelCore, given: Table, names: Sequence[Hashable]) -> Float64:
    """Return rows in slot order once their texts have slots."""
    columns = text_columns(names, given.texts)
    n = len(given.numbers)
    texts = [(column.key, column.text(row)) for row in range(n) for column in columns]
    core.admit((), texts=texts)
    return core.with_texts(given, names, columns, slice(0, n))


def pooled(proba: Float64) -> Float64:
    """Return the normalised geometric mean of rows of probabilities, (classes,)."""
    logs = np.log(np.maximum(proba, _MIN_PROBABILITY)).mean(axis=0)
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum())
