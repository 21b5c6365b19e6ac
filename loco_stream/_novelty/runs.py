"""Runs: how often a column repeats a value, and which run is too long.

A number that repeats for longer than any before it is stuck. In a column with few values, as of a
valve or an alarm contact, a run of the rare value would be far shorter than the runs of the usual
one. So each value of such a column is also compared with its own runs. Texts have only this second
comparison. Missing
cells neither end a run nor continue it.
"""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._novelty.state import (
    CURRENT,
    HELD_KIND,
    HELD_LONGEST,
    HELD_ROWS,
    HELD_RUNS,
    HELD_SAME,
    HELD_VALUE,
    IS_REPORTED,
    LAST,
    LONGEST,
    N_HELD,
    N_SAME,
    N_VALUES,
    NUMBER,
    RUN,
    STAY,
    VALUES_HELD,
)
from loco_stream._novelty.tails import MOST

STUCK_SCORE = 8.0  # at which a run is reported
LEAST_RUNS = 5.0  # of a value, before a further run is compared with them
TIMES_LONGEST = 2.0  # a run is too long beyond this multiple of the value's longest one


@kernel
def stuck_score(state, c, kind, x):
    """Return -log10 of the probability of a run as long as the one that this cell continues.

    Parameters
    ----------
    state
        `State`.
    c, kind
        int64: the column, and what the cell is.
    x
        float64: the number; anything for other kinds.

    Returns
    -------
    float
        0 for a run that is no longer than earlier ones, and for a column that never changed.
    """
    score = _own_score(state, c, kind, x)
    if kind == NUMBER:
        score = max(score, _score_among_all(state.figures, c, x))
    return score


@kernel
def _score_among_all(figures, c, x):
    """Compare the run of a number with the runs of all numbers of its column."""
    run = figures[c, RUN] + 1.0
    if x != figures[c, LAST] or run <= figures[c, LONGEST] or figures[c, N_VALUES] <= run:
        return 0.0
    share = (figures[c, N_SAME] + 1.0) / (figures[c, N_VALUES] - figures[c, RUN] + 2.0)
    return min(-run * math.log10(min(share, 1.0)), MOST)


@kernel
def _own_score(state, c, kind, x):
    """Compare the run of a value with earlier runs of the same value."""
    figures = state.figures
    if not 0.0 < figures[c, N_HELD] <= VALUES_HELD:
        return 0.0
    held = state.held[c, int(figures[c, CURRENT])]
    run = figures[c, STAY] + 1.0
    if not _is_value(held, kind, x) or held[HELD_RUNS] < LEAST_RUNS:
        return 0.0
    if run <= TIMES_LONGEST * held[HELD_LONGEST]:
        return 0.0
    share = (held[HELD_SAME] + 1.0) / (held[HELD_ROWS] + 2.0)
    return min(-run * math.log10(share), MOST)


@kernel
def _is_value(held, kind, x):
    """Return whether a cell has this value."""
    return held[HELD_KIND] == kind and (kind != NUMBER or held[HELD_VALUE] == x)


@kernel
def learn_run(state, c, kind, x, is_ready):
    """Count how often the value of a cell has repeated.

    Parameters
    ----------
    state, c, kind, x
        See `stuck_score`; the cell is not missing.
    is_ready
        bool: whether the column is past its warm-up, so that its runs are reported.
    """
    figures = state.figures
    stuck = stuck_score(state, c, kind, x)
    if kind == NUMBER:
        _learn_among_all(figures, c, x)
    if figures[c, N_HELD] <= VALUES_HELD:
        _learn_own(state, c, kind, x)
    if is_ready and stuck >= STUCK_SCORE:
        figures[c, IS_REPORTED] = 1.0


@kernel
def _learn_among_all(figures, c, x):
    if figures[c, N_VALUES] > 0.0 and x == figures[c, LAST]:
        figures[c, RUN] += 1.0
        return
    figures[c, LONGEST] = max(figures[c, LONGEST], figures[c, RUN])
    figures[c, N_SAME] += figures[c, RUN]
    figures[c, RUN] = 0.0
    figures[c, IS_REPORTED] = 0.0
    figures[c, LAST] = x


@kernel
def _learn_own(state, c, kind, x):
    figures = state.figures
    n = int(figures[c, N_HELD])
    current = int(figures[c, CURRENT])
    if n > 0:
        held = state.held[c, current]
        if _is_value(held, kind, x):
            figures[c, STAY] += 1.0
            return
        held[HELD_ROWS] += figures[c, STAY] + 1.0
        held[HELD_SAME] += figures[c, STAY]
        held[HELD_LONGEST] = max(held[HELD_LONGEST], figures[c, STAY])
        held[HELD_RUNS] += 1.0
    figures[c, STAY] = 0.0
    figures[c, IS_REPORTED] = 0.0
    for j in range(n):
        if _is_value(state.held[c, j], kind, x):
            figures[c, CURRENT] = j
            return
    figures[c, N_HELD] += 1.0  # one more than there is room for: the column has many values
    if n < VALUES_HELD:
        figures[c, CURRENT] = n
        state.held[c, n, HELD_KIND] = kind
        state.held[c, n, HELD_VALUE] = x if kind == NUMBER else 0.0
