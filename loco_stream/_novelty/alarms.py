"""Alarms: one per event, and about one in `every` rows of a stream in which nothing changes.

A row raises an alarm if its score exceeds the scores of the last `RECENT` rows, and the bar. In the
first `NEAR` rows after an alarm it has to exceed twice their highest one: the rows behind the first
row of an event are often more unusual than it. Each alarm raises the bar, and every row lowers it,
the more the longer there was no alarm.
"""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._novelty.state import BAR, N_ALARMS, QUIET, RECENT, ROWS

FIRST_BAR = 2.0
STEP = 0.1  # of the bar per alarm
LOWEST = -1.0
NEAR = 10  # rows after an alarm
SECOND = 2.0  # times the highest recent score: what an alarm near another has to exceed


@kernel
def row_score(scores, is_scored, n_columns):
    """Return log10 of the mean of 10 ** score over the columns that are scored.

    Parameters
    ----------
    scores
        (columns,) float64.
    is_scored
        (columns,) bool.
    n_columns
        int64.
    """
    most = 0.0
    n = 0
    for c in range(n_columns):
        if is_scored[c]:
            most = max(most, scores[c])
            n += 1
    if n == 0:
        return 0.0
    total = 0.0
    for c in range(n_columns):
        if is_scored[c]:
            total += math.exp(math.log(10.0) * (scores[c] - most))
    return max(most + math.log10(total / n), 0.0)


@kernel
def raises_alarm(state, score):
    """Return whether a row with this score raises an alarm."""
    if score <= FIRST_BAR + state.rows[BAR]:
        return False
    highest = 0.0
    for j in range(RECENT):
        highest = max(highest, state.recent[j])
    if state.rows[QUIET] < NEAR:
        highest *= SECOND
    return score > highest


@kernel
def learn_alarm(state, score, alarm, every):
    """Learn the score of a row, and whether it raised an alarm.

    Parameters
    ----------
    state
        `State`.
    score, every
        float64.
    alarm
        bool.
    """
    rows = state.rows
    state.recent[int(rows[ROWS]) % RECENT] = score
    rows[QUIET] += 1.0
    rows[BAR] -= STEP / every * max(rows[QUIET] / every, 1.0)
    if alarm:
        rows[BAR] += STEP
        rows[N_ALARMS] += 1.0
        rows[QUIET] = 0.0
    rows[BAR] = max(rows[BAR], LOWEST)
