"""Marks: values that the user declared anomalous or normal.

A mark is a value and a radius, half the distance to the nearest value that was not unusual. A later
value within a confirmed mark is unusual, and one within a dismissed mark is not.
"""

from __future__ import annotations

import numpy as np

from loco_stream._arrays import Int64
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
    State,
)

UNUSUAL = 1.0  # score from which a value of a declared row is marked
CONFIRMED = 0
DISMISSED = 1


def declare(state: State, n_rows: int, t0: float, t1: float, *, anomalous: bool) -> int:
    """Mark the unusual values of the kept rows from `t0` to `t1`; return the number of rows.

    Confirmed rows that the state score has not learned yet are never learned by it, and the bar
    falls by what their alarms raised it. Dismissed rows mark their values as normal.
    """
    kept = np.arange(max(n_rows - KEPT_ROWS, 0), n_rows)
    times = state.kept_times[kept % KEPT_ROWS]
    rows = kept[(times >= t0) & (times <= t1)]
    if len(rows) == 0:
        return 0
    for c in range(len(state.figures)):
        _declare_column(state, c, n_rows, rows, CONFIRMED if anomalous else DISMISSED)
    if anomalous:
        n_alarms = state.kept_alarms[rows % KEPT_ROWS].sum()
        state.rows[BAR] = max(state.rows[BAR] - STEP * n_alarms, LOWEST)
    return len(rows)


def _declare_column(state: State, c: int, n_rows: int, rows: Int64, which: int) -> None:
    """Mark the unusual values of one column in these rows of the detector."""
    late = n_rows - int(state.figures[c, N_ROWS])  # the row at which the column appeared
    own = np.arange(max(late, n_rows - KEPT_ROWS), n_rows) - late
    declared = np.isin(own + late, rows)
    table = state.kept[c, own % KEPT_ROWS]
    values = table[:, KEPT_VALUE]
    unusual = np.maximum(table[:, KEPT_ONSET], table[:, KEPT_STATE]) >= UNUSUAL
    normal = values[~declared & ~unusual & ~np.isnan(values)]
    for value in values[declared & unusual & ~np.isnan(values)]:
        radius = 0.5 * float(np.abs(normal - value).min()) if len(normal) else 0.0
        _add_mark(state, c, which, float(value), radius)
    if which == CONFIRMED:
        delayed = own[declared & (own >= own[-1] + 1 - LAG)]
        state.ring[c, delayed % LAG, RING_KIND] = -1.0


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
