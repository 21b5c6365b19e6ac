"""Marks: values that the user declared anomalous or normal.

A mark is a value and a radius, half the distance to the nearest value that was not unusual. A later
value within a confirmed mark is unusual, and one within a dismissed mark is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Bool, Float64, Int64
from loco_stream._novelty.alarms import LOWEST, STEP
from loco_stream._novelty.state import (
    BAR,
    KEPT_ONSET,
    KEPT_ROWS,
    KEPT_STATE,
    KEPT_VALUE,
    LAG,
    N_MARKS,
    N_ROWS,
    RING_KIND,
    SCALE,
    State,
)

UNUSUAL = 1.0  # score from which a value of a declared row is marked
SURELY = 3.0  # score that suffices for a value to be confirmed
SAME = 0.01  # of the scale of a column: values this near are one
CONFIRMED = 0
DISMISSED = 1


class _Kept(NamedTuple):
    """The kept rows of one column.

    numbers: (n,) int64: the rows, counted from the one at which the column appeared
    declared: (n,) bool
    values: (n,) float64, NaN where the cell holds no number
    scores: (n,) float64, the higher of onset and state
    """

    numbers: Int64
    declared: Bool
    values: Float64
    scores: Float64


def declare(state: State, n_rows: int, t0: float, t1: float, *, anomalous: bool) -> int:
    """Mark the unusual values of the kept rows from `t0` to `t1`; return the number of rows.

    Confirmed rows that the state score has not learned yet are never learned by it, and the bar
    falls by what their alarms raised it. Dismissed rows mark their values as normal.
    """
    rows = _rows_between(state, n_rows, t0, t1)
    if len(rows) == 0:
        return 0
    columns = [_kept_rows(state, c, n_rows, rows) for c in range(len(state.figures))]
    if anomalous:
        _confirm(state, columns)
        n_alarms = state.kept_alarms[rows % KEPT_ROWS].sum()
        state.rows[BAR] = max(state.rows[BAR] - STEP * n_alarms, LOWEST)
    else:
        for c, column in enumerate(columns):
            _mark(state, c, DISMISSED, column, UNUSUAL)
    return len(rows)


def _rows_between(state: State, n_rows: int, t0: float, t1: float) -> Int64:
    """Return the kept rows from `t0` to `t1`."""
    kept = np.arange(max(n_rows - KEPT_ROWS, 0), n_rows)
    times = state.kept_times[kept % KEPT_ROWS]
    return kept[(times >= t0) & (times <= t1)]


def _kept_rows(state: State, c: int, n_rows: int, rows: Int64) -> _Kept:
    """Return what is kept of a column, where these rows of the detector are declared."""
    late = n_rows - int(state.figures[c, N_ROWS])  # the row at which the column appeared
    numbers = np.arange(max(late, n_rows - KEPT_ROWS), n_rows) - late
    table = state.kept[c, numbers % KEPT_ROWS]
    scores = np.maximum(table[:, KEPT_ONSET], table[:, KEPT_STATE])
    return _Kept(numbers, np.isin(numbers + late, rows), table[:, KEPT_VALUE], scores)


def _confirm(state: State, columns: Sequence[_Kept]) -> None:
    """Mark the values that make the declared rows anomalous.

    Ordinary values often reach `UNUSUAL`, also in columns in which nothing happened. So a value has
    to score half as high as the highest one, or `SURELY`.
    """
    tops = [column.scores[column.declared].max(initial=0.0) for column in columns]
    level = min(max(0.5 * max(tops, default=0.0), UNUSUAL), SURELY)
    for c, column in enumerate(columns):
        _mark(state, c, CONFIRMED, column, level)
        late = column.declared & (column.numbers >= column.numbers[-1] + 1 - LAG)
        state.ring[c, column.numbers[late] % LAG, RING_KIND] = -1.0


def _mark(state: State, c: int, which: int, column: _Kept, level: float) -> None:
    """Mark the declared values of a column that score at least `level`.

    A value as near to that of another row as `SAME` is not confirmed: it is usual, and only stuck
    or out of turn.
    """
    values = column.values
    unusual = column.scores >= level
    is_number = ~np.isnan(values)
    normal = values[is_number & ~column.declared & ~unusual]
    nearest = SAME * state.figures[c, SCALE] if which == CONFIRMED else 0.0
    for value in values[is_number & column.declared & unusual]:
        gap = float(np.abs(normal - value).min(initial=math.inf))
        if gap >= nearest:
            _add_mark(state, c, which, float(value), 0.5 * gap if gap < math.inf else 0.0)


def _add_mark(state: State, c: int, which: int, value: float, radius: float) -> None:
    """Add a mark; where there is no room, the nearest one is widened."""
    n = int(state.n_marks[c, which])
    marks = state.marks[c, which]
    gaps = np.abs(marks[:n, 0] - value)
    if n and (gaps <= marks[:n, 1]).any():
        return
    if n == N_MARKS:
        nearest = int(gaps.argmin())
        marks[nearest, 1] = max(marks[nearest, 1], gaps[nearest])
        return
    marks[n] = value, radius
    state.n_marks[c, which] = n + 1
