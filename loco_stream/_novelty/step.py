"""Rows in order: each is scored, and then learned."""

from __future__ import annotations

import math
from typing import NamedTuple

from loco_stream._arrays import Bool, Float64, Int64
from loco_stream._compiler.jit import entry, kernel
from loco_stream._novelty.alarms import learn_alarm, raises_alarm, row_score
from loco_stream._novelty.columns import is_ready, learn_cell, score_cell
from loco_stream._novelty.state import (
    BAND,
    CELL_DISTANCES,
    CELL_SCORES,
    KEPT_ROWS,
    N_KINDS,
    ROWS,
    WARMUP,
)


@kernel
def _is_scored(state, c):
    """Return whether a column has had enough cells to be scored."""
    if is_ready(state.figures, c):
        return True
    total = 0.0
    for k in range(N_KINDS):
        total += state.kinds[c, 0, k]
    return total >= WARMUP


class Rows(NamedTuple):
    """Rows to score.

    numbers: (n, columns) float64; anything where the cell holds none
    kinds: (n, columns) int64, see `state.MISSING`
    forecasts: (n, columns) float64
    times: (n,) float64
    """

    numbers: Float64
    kinds: Int64
    forecasts: Float64
    times: Float64


class Found(NamedTuple):
    """What is found in rows, and working memory.

    scores: (n, 3) float64: onset, state, and 1 where there is an alarm
    columns: (n, 2, columns) float64: onset score, and half width of the expected band
    cells: (columns, N_CELL) float64, working memory: point, distances and scores
    is_scored: (columns,) bool, working memory
    """

    scores: Float64
    columns: Float64
    cells: Float64
    is_scored: Bool


@entry
def run(state, every, rows, learns, found):
    """Score rows in order, each before it is learned.

    Parameters
    ----------
    state
        `State`.
    every
        float64: rows per false alarm.
    rows
        `Rows`.
    learns
        bool: whether the rows are learned.
    found
        `Found`, written.
    """
    n_columns = rows.numbers.shape[1]
    scores = found.scores
    cells = found.cells
    for i in range(len(rows.numbers)):
        _score_row(state, rows, i, found)
        scores[i, 0] = row_score(cells[:, CELL_SCORES], found.is_scored, n_columns)
        scores[i, 1] = row_score(cells[:, CELL_SCORES + 1], found.is_scored, n_columns)
        alarm = raises_alarm(state, scores[i, 0])
        scores[i, 2] = 1.0 if alarm else 0.0
        if learns:
            for c in range(n_columns):
                learn_cell(state, c, *_cell(rows, i, c, cells))
            slot = int(state.rows[ROWS]) % KEPT_ROWS
            state.kept_times[slot] = rows.times[i]
            state.kept_alarms[slot] = scores[i, 2]
            learn_alarm(state, scores[i, 0], alarm, every)
            state.rows[ROWS] += 1.0


@kernel
def _cell(rows, i, c, cells):
    """Return what `score_cell` and `learn_cell` take for cell `c` of row `i`."""
    x = rows.numbers[i, c]
    point = cells[c, :CELL_DISTANCES]
    distances = cells[c, CELL_DISTANCES:CELL_SCORES]
    residual = x - rows.forecasts[i, c]
    return rows.kinds[i, c], x, residual, point, distances, cells[c, CELL_SCORES:]


@kernel
def _score_row(state, rows, i, found):
    """Score the cells of row `i`."""
    cells = found.cells
    for c in range(rows.numbers.shape[1]):
        score_cell(state, c, *_cell(rows, i, c, cells))
        found.is_scored[c] = _is_scored(state, c)
        found.columns[i, 0, c] = cells[c, CELL_SCORES]
        found.columns[i, 1, c] = state.figures[c, BAND] if is_ready(state.figures, c) else math.inf
