"""Everything the detector has learned, in one tuple of arrays.

Every array but those of whole rows has one entry per column first, so that columns may be added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Float64, Int64
from loco_stream._novelty.tails import N_FIGURES

WARMUP = 100  # values of a column that set its scales
CAPACITY = 200  # points of a cover, and distances of a tail
LAG = 300  # rows after which the state score takes a row for known
RECENT = 50  # rows whose scores an alarm must exceed
KEPT_ROWS = 1000  # rows that can be confirmed or dismissed
COLUMNS_BAR = 1.5  # by which tenfold as many columns raise the first bar
VALUES_HELD = 8  # most values of a column whose runs are counted value by value
N_MARKS = 32  # confirmed, and dismissed, values of a column
N_TEXTS = 64
N_KINDS = 2 + N_TEXTS
MISSING = 0  # kinds of a cell; texts follow
NUMBER = 1

# how a number is compared with those before it: on a line, on a plane, by z-score
VALUE = 0
RATIO = 1
LATE_VALUE = 2  # late ones are for the state score
LATE_RATIO = 3
CHANGE = 4
ERROR = 5
PLANE = 6
LATE_PLANE = 7
Z_SCORE = 8
N_LINES = 6
N_COVERS = 8
N_VIEWS = 9

# working memory of a cell: where it lies, its distances, its two scores
CELL_DISTANCES = N_LINES + 1  # where the distances begin
CELL_SCORES = CELL_DISTANCES + N_VIEWS  # where the scores begin
N_CELL = CELL_SCORES + 2

# figures of a column
SCALE = 0  # standard deviation in the warm-up
WEIGHT = 1  # factor of the residual in the plane
BAND = 2  # half width of the expected band
N_VALUES = 3
LAST = 4
RUN = 5  # repetitions of the last value
LONGEST = 6  # longest run before this one
N_SAME = 7  # values equal to their predecessor, in runs that have ended
IS_REPORTED = 8  # whether this run has raised its onset score
MEAN = 9
SQUARES = 10
N_ROWS = 11  # rows since the column appeared
CHANGES = 12  # sum of the squared differences of successive values
USUAL_ERROR = 13  # fading mean of the absolute residual
N_HELD = 14  # different values so far, at most one more than there is room for
CURRENT = 15  # which of them the last cell had
STAY = 16  # its repetitions
N_COLUMN_FIGURES = 17

# one of the values of a column with few of them
HELD_KIND = 0
HELD_VALUE = 1
HELD_ROWS = 2  # in runs that have ended
HELD_SAME = 3  # of these, equal to their predecessor
HELD_LONGEST = 4  # repetitions
HELD_RUNS = 5  # that have ended
N_HELD_FIGURES = 6

# fields of a delayed row
RING_KIND = 0
RING_VALUE = 1
RING_PLANE = 2
RING_DISTANCES = 3  # of the late views and the z-score
N_RING = 7

# fields of a kept row
KEPT_VALUE = 0
KEPT_ONSET = 1
KEPT_STATE = 2
N_KEPT = 3

# figures of the rows
ROWS = 0
BAR = 1
N_ALARMS = 2
QUIET = 3  # rows since the last alarm
N_ROW_FIGURES = 4


class State(NamedTuple):
    """The arrays of a detector; see `SHAPES` for their axes.

    figures: scales, band, runs and moments of each column
    warmup: values and residuals of the warm-up
    lines, planes: covers of the views; sizes, radii: of the covers
    largest, tails: the largest distances of each view, and the fit to them
    ring: rows that the state score has not learned yet
    held: the values of a column with few of them, and their runs
    kinds: how often a cell was missing, a number, or each text; for onset and state
    kept: value and scores of the last rows
    marks, n_marks: values confirmed as anomalous and dismissed as normal, and their radii
    kept_times, kept_alarms: of the last rows
    recent: scores of the last rows
    rows: number of rows and alarms, and the bar
    gaps: working memory
    """

    figures: Float64
    warmup: Float64
    lines: Float64
    planes: Float64
    sizes: Int64
    radii: Float64
    largest: Float64
    tails: Float64
    ring: Float64
    held: Float64
    kinds: Float64
    kept: Float64
    marks: Float64
    n_marks: Int64
    kept_times: Float64
    kept_alarms: Float64
    recent: Float64
    rows: Float64
    gaps: Float64


SHAPES: Mapping[str, tuple[int | str, ...]] = {
    "figures": ("columns", N_COLUMN_FIGURES),
    "warmup": ("columns", WARMUP, 2),
    "lines": ("columns", N_LINES, CAPACITY),
    "planes": ("columns", N_COVERS - N_LINES, 2, CAPACITY),
    "sizes": ("columns", N_COVERS),
    "radii": ("columns", N_COVERS, 1),
    "largest": ("columns", N_VIEWS, CAPACITY),
    "tails": ("columns", N_VIEWS, N_FIGURES),
    "ring": ("columns", LAG, N_RING),
    "held": ("columns", VALUES_HELD, N_HELD_FIGURES),
    "kinds": ("columns", 2, N_KINDS),
    "kept": ("columns", KEPT_ROWS, N_KEPT),
    "marks": ("columns", 2, N_MARKS, 2),
    "n_marks": ("columns", 2),
    "kept_times": (KEPT_ROWS,),
    "kept_alarms": (KEPT_ROWS,),
    "recent": (RECENT,),
    "rows": (N_ROW_FIGURES,),
    "gaps": (CAPACITY,),
}
_INTEGERS = frozenset({"sizes", "n_marks"})


def allocate(n_columns: int) -> State:
    """Return the state of a detector that has seen nothing."""
    arrays: dict[str, Any] = {}
    for name, axes in SHAPES.items():
        shape = [n_columns if axis == "columns" else axis for axis in axes]
        arrays[name] = np.zeros(shape, np.int64 if name in _INTEGERS else np.float64)
    return State(**arrays)


def grow(state: State, n_columns: int) -> State:
    """Return the same state with room for further columns."""
    grown = allocate(n_columns)
    for name, axes in SHAPES.items():
        old = getattr(state, name)
        part = slice(0, len(old)) if axes[0] == "columns" else slice(None)
        getattr(grown, name)[part] = old
    # the more columns, the more often one of them is new in the first thousands of rows
    grown.rows[BAR] += COLUMNS_BAR * math.log10(n_columns / max(len(state.figures), 1))
    return grown


def check(state: State, n_columns: int) -> None:
    """Raise ValueError for arrays that compiled code would misread."""
    _check_shapes(state, allocate(n_columns))
    _require_within("sizes", state.sizes, CAPACITY)
    _require_within("n_marks", state.n_marks, N_MARKS)
    _require_within("tails", state.tails[:, :, 0], CAPACITY)
    _require_within("ring", state.ring[:, :, RING_KIND] + 1, N_KINDS)
    if state.rows[0] < 0:
        raise ValueError("`rows` must not be negative")
    for counter in (N_VALUES, RUN, LONGEST, N_SAME, N_ROWS, STAY):
        _require_within("figures", state.figures[:, counter], 2**53)
    _require_within("figures", state.figures[:, N_HELD], VALUES_HELD + 1)
    _require_within("figures", state.figures[:, CURRENT], VALUES_HELD - 1)


def _check_shapes(state: State, expected: State) -> None:
    for name in SHAPES:
        array = getattr(state, name)
        own = getattr(expected, name)
        if array.shape != own.shape or array.dtype != own.dtype:
            raise ValueError(f"`{name}` must have shape {own.shape}, got {array.shape}")
        if not np.isfinite(array).all() and name != "kept":
            raise ValueError(f"`{name}` must be finite")


def _require_within(name: str, values: NDArray[np.generic], largest: int) -> None:
    """Raise ValueError unless all values are integers from 0 to `largest`."""
    numbers = np.asarray(values, np.float64)
    if ((numbers < 0) | (numbers > largest) | (numbers != np.floor(numbers))).any():
        raise ValueError(f"`{name}` must hold integers from 0 to {largest}")
