"""Rows in order: each is scored, and then learned."""

from __future__ import annotations

import math

from loco_stream._compiler.jit import entry, kernel
from loco_stream.novelty.alarms import learn_alarm, raises_alarm, row_score
from loco_stream.novelty.columns import is_ready, learn_cell, score_cell
from loco_stream.novelty.state import BAND, KEPT_ROWS, N_KINDS, ROWS, WARMUP

__all__ = ["run"]


@kernel
def _is_scored(state, c):
    """Return whether a column has had enough cells to be scored."""
    if is_ready(state.figures, c):
        return True
    total = 0.0
    for k in range(N_KINDS):
        total += state.kinds[c, 0, k]
    return total >= WARMUP


@entry
def run(state, every, rows, kinds, forecasts, times, learns, scratch, is_scored, scores, columns):
    """Score rows in order, each before it is learned.

    Parameters
    ----------
    state
        `State`.
    every
        float64: rows per false alarm.
    rows
        (n, columns) float64 numbers; anything where the cell holds none.
    kinds
        (n, columns) int64, see `state.MISSING`.
    forecasts
        (n, columns) float64.
    times
        (n,) float64.
    learns
        bool: whether the rows are learned.
    scratch
        (columns, 9) float64, working memory: distances and scores.
    is_scored
        (columns,) bool, working memory.
    scores
        (n, 3) float64, written: onset, state, and 1 where there is an alarm.
    columns
        (n, 2, columns) float64, written: onset score, and half width of the expected band.
    """
    n_columns = rows.shape[1]
    for i in range(rows.shape[0]):
        for c in range(n_columns):
            residual = rows[i, c] - forecasts[i, c]
            score_cell(state, c, kinds[i, c], rows[i, c], residual, scratch[c, :7], scratch[c, 7:])
            is_scored[c] = _is_scored(state, c)
            columns[i, 0, c] = scratch[c, 7]
            columns[i, 1, c] = state.figures[c, BAND] if is_ready(state.figures, c) else math.inf
        scores[i, 0] = row_score(scratch[:, 7], is_scored, n_columns)
        scores[i, 1] = row_score(scratch[:, 8], is_scored, n_columns)
        alarm = raises_alarm(state, scores[i, 0])
        scores[i, 2] = 1.0 if alarm else 0.0
        if learns:
            for c in range(n_columns):
                residual = rows[i, c] - forecasts[i, c]
                learn_cell(
                    state, c, kinds[i, c], rows[i, c], residual, scratch[c, :7], scratch[c, 7:]
                )
            slot = int(state.rows[ROWS]) % KEPT_ROWS
            state.kept_times[slot] = times[i]
            state.kept_alarms[slot] = scores[i, 2]
            learn_alarm(state, scores[i, 0], alarm, every)
            state.rows[ROWS] += 1.0
