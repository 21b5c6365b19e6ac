"""One column: its views, what is unusual about a cell, and what is learned from it.

A number is seen in three views: by itself; by ratio, sign(x) log(1 + |x|/s) with the standard
deviation s of the warm-up; and on a plane together with the residual of its forecast. The onset
score learns a row at once; the state score learns it `LAG` rows later, and has the z-score over all
rows as a fourth view. A number that repeats longer than ever before is stuck. Missing cells,
numbers and texts are kinds, scored by how rare they are.
"""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._novelty.covers import (
    learn_line,
    learn_plane,
    nearest_on_line,
    nearest_on_plane,
)
from loco_stream._novelty.state import (
    BAND,
    IS_REPORTED,
    KEPT_ONSET,
    KEPT_ROWS,
    KEPT_STATE,
    KEPT_VALUE,
    LAG,
    LAST,
    LONGEST,
    MEAN,
    N_KINDS,
    N_ROWS,
    N_SAME,
    N_VALUES,
    NUMBER,
    RING_DISTANCES,
    RING_KIND,
    RING_PLANE,
    RING_VALUE,
    RUN,
    SCALE,
    SQUARES,
    WARMUP,
    WEIGHT,
)
from loco_stream._novelty.tails import MOST, learn_distance, tail_score

RESIDUAL_WEIGHT = 0.1  # of a residual of typical size beside the value, on the plane
FIRST_RESIDUAL = WARMUP // 3  # the forecast has learned something by then
STUCK_SCORE = 8.0  # at which a run is reported
CONFIRMED_SCORE = 10.0  # of a value within a confirmed mark
COVERAGE = 0.99  # of the expected band
BAND_RATE = 0.05
PLANE = 2  # of the views of onset, and of state
Z_SCORE = 6


@kernel
def is_ready(figures, c):
    """Return whether a column is past its warm-up."""
    return figures[c, N_VALUES] >= WARMUP


@kernel
def _ratio(x, scale):
    """Return the value as a ratio to the scale, on a logarithmic axis through 0."""
    ratio = math.log1p(abs(x) / scale)
    return -ratio if x < 0.0 else ratio


@kernel
def _distance(state, c, view, x, y):
    """Return the distance of a point to the cover of a view, 0 to 5.

    Y is its height on the plane.
    """
    size = state.sizes[c, view]
    if view % 3 == PLANE:
        return nearest_on_plane(state.planes[c, view // 3], size, x, y)
    line = state.lines[c, 2 * (view // 3) + view % 3]
    if view % 3 == 1:
        x = _ratio(x, state.figures[c, SCALE])
    return nearest_on_line(line, size, x)


@kernel
def _learn_point(state, c, view, x, y, distance):
    """Learn a point that lies `distance` from the cover of a view."""
    size = state.sizes[c, view]
    radius = state.radii[c, view]
    if view % 3 == PLANE:
        plane = state.planes[c, view // 3]
        size = learn_plane(plane, size, radius, x, y, distance, state.gaps)
    else:
        if view % 3 == 1:
            x = _ratio(x, state.figures[c, SCALE])
        line = state.lines[c, 2 * (view // 3) + view % 3]
        size = learn_line(line, size, radius, x, distance, state.gaps)
    state.sizes[c, view] = size


@kernel
def _z_distance(state, c, x):
    """Return the distance of a value from the mean of all, in standard deviations."""
    figures = state.figures
    variance = figures[c, SQUARES] / max(figures[c, N_VALUES], 1.0)
    return abs(x - figures[c, MEAN]) / max(math.sqrt(variance), 1e-9 * figures[c, SCALE])


@kernel
def _kind_score(counts, kind):
    """Return -log10 of the probability of a kind of cell as rare as this one.

    Parameters
    ----------
    counts
        (N_KINDS,) float64, how often each was there.
    kind
        int64.
    """
    total = 0.0
    rarer = 0.0
    distinct = 0.0
    for k in range(N_KINDS):
        total += counts[k]
        if counts[k] > 0.0:
            distinct += 1.0
            if counts[k] <= counts[kind]:
                rarer += counts[k]
    if total < WARMUP:
        return 0.0
    return -math.log10(min((rarer + max(distinct - 1.0, 1.0)) / (total + 1.0), 1.0))


@kernel
def _stuck_score(figures, c, x):
    """Return -log10 of the probability of a run as long as the one that `x` continues.

    It is 0 for a run that is no longer than an earlier one.
    """
    run = figures[c, RUN] + 1.0
    if x != figures[c, LAST] or run <= figures[c, LONGEST]:
        return 0.0
    share = (figures[c, N_SAME] + 1.0) / (figures[c, N_VALUES] - figures[c, RUN] + 2.0)
    return min(-run * math.log10(min(share, 1.0)), MOST)


@kernel
def _marked(state, c, which, x):
    """Return whether a value lies within a mark; `which` is 0 for confirmed, 1 for dismissed."""
    marks = state.marks[c, which]
    for j in range(state.n_marks[c, which]):
        if abs(x - marks[j, 0]) <= marks[j, 1]:
            return True
    return False


@kernel
def score_cell(state, c, kind, x, residual, distances, scores):
    """Write the onset and the state score of a cell.

    Parameters
    ----------
    state
        `State`.
    c, kind
        int64: the column, and what the cell is.
    x, residual
        float64: the number, and its forecast subtracted from it; anything for other kinds.
    distances
        (7,) float64, written: of a number from the cover of each view.
    scores
        (2,) float64, written.
    """
    figures = state.figures
    scores[0] = _kind_score(state.kinds[c, 0], kind)
    scores[1] = _kind_score(state.kinds[c, 1], kind)
    if kind != NUMBER or not is_ready(figures, c):
        return
    y = figures[c, WEIGHT] * residual
    for view in range(6):
        distances[view] = _distance(state, c, view, x, y)
    distances[Z_SCORE] = _z_distance(state, c, x)
    tails = state.tails[c]
    onset = 0.0
    late = 0.0
    for view in range(3):
        onset += tail_score(tails[view], distances[view])
        late += tail_score(tails[3 + view], distances[3 + view])
    onset /= 3.0
    late = 0.5 * (late / 3.0 + tail_score(tails[Z_SCORE], distances[Z_SCORE]))
    stuck = _stuck_score(figures, c, x)
    if stuck >= STUCK_SCORE and figures[c, IS_REPORTED] == 0.0:
        onset = max(onset, stuck)
    late = max(late, stuck)
    if _marked(state, c, 0, x):
        onset = CONFIRMED_SCORE
        late = CONFIRMED_SCORE
    elif _marked(state, c, 1, x):
        onset = 0.0
        late = 0.0
    scores[0] = max(scores[0], onset)
    scores[1] = max(scores[1], late)


@kernel
def _begin(state, c):
    """Set the scales of a column by its warm-up, and learn the rows of the warm-up."""
    figures = state.figures
    rows = state.warmup[c]
    largest = 0.0
    mean = 0.0
    mean_residual = 0.0
    n_residuals = float(WARMUP - FIRST_RESIDUAL)
    for i in range(WARMUP):
        largest = max(largest, abs(rows[i, 0]))
        mean += rows[i, 0] / WARMUP
        if i >= FIRST_RESIDUAL:
            mean_residual += rows[i, 1] / n_residuals
    squares = 0.0
    residual_squares = 0.0
    band = 0.0
    for i in range(WARMUP):
        squares += (rows[i, 0] - mean) ** 2
        if i >= FIRST_RESIDUAL:
            residual_squares += (rows[i, 1] - mean_residual) ** 2
            band = max(band, abs(rows[i, 1]))
    scale = max(math.sqrt(squares / WARMUP), 1e-6 * (1.0 + largest))
    spread = max(math.sqrt(residual_squares / n_residuals), 1e-9 * scale)
    figures[c, SCALE] = scale
    figures[c, WEIGHT] = RESIDUAL_WEIGHT * scale / spread
    figures[c, BAND] = max(band, 1e-6 * scale)
    for i in range(WARMUP):
        x = rows[i, 0]
        y = figures[c, WEIGHT] * rows[i, 1]
        for view in range(6):
            distance = _distance(state, c, view, x, y)
            if view >= 3 and i >= WARMUP // 2:
                learn_distance(state.largest[c, view], state.tails[c, view], distance)
            _learn_point(state, c, view, x, y, distance)
        if i >= WARMUP // 2:
            z = abs(x - mean) / scale
            learn_distance(state.largest[c, Z_SCORE], state.tails[c, Z_SCORE], z)


@kernel
def _learn_late(state, c, slot):
    """Learn the row that has been in the ring for `LAG` rows; -1 marks one not to be learned."""
    ring = state.ring[c, slot]
    kind = int(ring[RING_KIND])
    if kind < 0:
        return
    state.kinds[c, 1, kind] += 1.0
    if kind != NUMBER or not is_ready(state.figures, c):
        return
    x = ring[RING_VALUE]
    y = ring[RING_PLANE]
    for view in range(3, 6):
        distance = ring[RING_DISTANCES + view - 3]
        learn_distance(state.largest[c, view], state.tails[c, view], distance)
        _learn_point(state, c, view, x, y, _distance(state, c, view, x, y))
    learn_distance(state.largest[c, Z_SCORE], state.tails[c, Z_SCORE], ring[RING_DISTANCES + 3])
    ring[RING_KIND] = -1.0


@kernel
def _learn_run(figures, c, x):
    """Count how often the value has repeated."""
    if figures[c, N_VALUES] > 0.0 and x == figures[c, LAST]:
        stuck = _stuck_score(figures, c, x)
        if stuck >= STUCK_SCORE and is_ready(figures, c):
            figures[c, IS_REPORTED] = 1.0
        figures[c, RUN] += 1.0
        return
    figures[c, LONGEST] = max(figures[c, LONGEST], figures[c, RUN])
    figures[c, N_SAME] += figures[c, RUN]
    figures[c, RUN] = 0.0
    figures[c, IS_REPORTED] = 0.0
    figures[c, LAST] = x


@kernel
def _learn_number(state, c, x, residual, distances):
    """Learn a number whose distances `score_cell` has written."""
    figures = state.figures
    n = figures[c, N_VALUES]
    _learn_run(figures, c, x)
    if n < WARMUP:
        state.warmup[c, int(n), 0] = x
        state.warmup[c, int(n), 1] = residual
    else:
        y = figures[c, WEIGHT] * residual
        for view in range(3):
            learn_distance(state.largest[c, view], state.tails[c, view], distances[view])
            _learn_point(state, c, view, x, y, distances[view])
        miss = 1.0 if abs(residual) > figures[c, BAND] else 0.0
        figures[c, BAND] *= math.exp(BAND_RATE * (miss - (1.0 - COVERAGE)))
    figures[c, N_VALUES] += 1.0
    delta = x - figures[c, MEAN]
    figures[c, MEAN] += delta / figures[c, N_VALUES]
    figures[c, SQUARES] += delta * (x - figures[c, MEAN])
    if n == WARMUP - 1:
        _begin(state, c)


@kernel
def learn_cell(state, c, kind, x, residual, distances, scores):
    """Learn a cell that `score_cell` has scored; see there for the parameters."""
    figures = state.figures
    was_ready = is_ready(figures, c)
    state.kinds[c, 0, kind] += 1.0
    slot = int(figures[c, N_ROWS]) % LAG
    if figures[c, N_ROWS] >= LAG:
        _learn_late(state, c, slot)
    ring = state.ring[c, slot]
    ring[RING_KIND] = kind
    if kind == NUMBER:
        if was_ready:
            ring[RING_VALUE] = x
            ring[RING_PLANE] = figures[c, WEIGHT] * residual
            for view in range(4):
                ring[RING_DISTANCES + view] = distances[3 + view]
        _learn_number(state, c, x, residual, distances)
        if not was_ready:
            ring[RING_KIND] = -1.0
            state.kinds[c, 1, kind] += 1.0
    kept = state.kept[c, int(figures[c, N_ROWS]) % KEPT_ROWS]
    kept[KEPT_VALUE] = x if kind == NUMBER else math.nan
    kept[KEPT_ONSET] = scores[0]
    kept[KEPT_STATE] = scores[1]
    figures[c, N_ROWS] += 1.0
