"""One column: its views, what is unusual about a cell, and what is learned from it.

A number is seen in five views: by itself; by ratio, sign(x) log(1 + |x|/s) with the standard
deviation s of the warm-up; on a plane together with the residual of its forecast; by its change
from the number before; and by its residual over the usual size of residuals. The last two count as
far as the column is smooth: there, a usual value may be unusual at its place, while the changes of
a noisy column tell no more than its values. The onset score learns a row at once; the state score
learns it `LAG` rows later, in the first three views, and has the z-score over all rows as a fourth
one. A value that repeats for too long is stuck, see `runs`. Missing cells, numbers and texts are
kinds, scored by how rare they are.
"""

import math

from loco_stream._compiler.jit import kernel
from loco_stream._novelty.covers import (
    learn_line,
    learn_plane,
    nearest_on_line,
    nearest_on_plane,
)
from loco_stream._novelty.runs import STUCK_SCORE, learn_run, stuck_score
from loco_stream._novelty.state import (
    BAND,
    CHANGE,
    CHANGES,
    ERROR,
    IS_REPORTED,
    KEPT_ONSET,
    KEPT_ROWS,
    KEPT_STATE,
    KEPT_VALUE,
    LAG,
    LAST,
    LATE_PLANE,
    LATE_RATIO,
    LATE_VALUE,
    MEAN,
    MISSING,
    N_COVERS,
    N_KINDS,
    N_LINES,
    N_ROWS,
    N_VALUES,
    NUMBER,
    PLANE,
    RATIO,
    RING_DISTANCES,
    RING_KIND,
    RING_PLANE,
    RING_VALUE,
    SCALE,
    SQUARES,
    USUAL_ERROR,
    VALUE,
    WARMUP,
    WEIGHT,
    Z_SCORE,
)
from loco_stream._novelty.tails import learn_distance, tail_score

RESIDUAL_WEIGHT = 0.1  # of a residual of typical size beside the value, on the plane
FIRST_RESIDUAL = WARMUP // 3  # the forecast has learned something by then
CONFIRMED_SCORE = 10.0  # of a value within a confirmed mark
COVERAGE = 0.99  # of the expected band
BAND_RATE = 0.05
ERROR_RATE = 0.02  # of the usual residual
LEAST_SMOOTH = 0.8  # autocorrelation from which changes and residuals begin to count
LATE_VIEWS = (LATE_VALUE, LATE_RATIO, LATE_PLANE)


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
def _smoothness(figures, c):
    """Return how smooth a column is, from 0 to 1, by the autocorrelation of successive values."""
    if figures[c, SQUARES] <= 0.0:
        return 0.0
    autocorrelation = 1.0 - 0.5 * figures[c, CHANGES] / figures[c, SQUARES]
    return max((autocorrelation - LEAST_SMOOTH) / (1.0 - LEAST_SMOOTH), 0.0)


@kernel
def _place(state, c, x, last, residual, point):
    """Write where a number lies on the line of each view, and its height on the plane.

    Parameters
    ----------
    state
        `State`.
    c
        int64: the column.
    x, last, residual
        float64: the number, the one before, and its forecast subtracted from it.
    point
        (N_LINES + 1,) float64, written.
    """
    figures = state.figures
    scale = figures[c, SCALE]
    ratio = _ratio(x, scale)
    point[VALUE] = x
    point[RATIO] = ratio
    point[LATE_VALUE] = x
    point[LATE_RATIO] = ratio
    point[CHANGE] = x - last
    point[ERROR] = residual / max(figures[c, USUAL_ERROR], 1e-6 * scale)
    point[PLANE] = figures[c, WEIGHT] * residual


@kernel
def _distance(state, c, view, point):
    """Return the distance of a placed number to the cover of a view."""
    size = state.sizes[c, view]
    if view >= N_LINES:
        return nearest_on_plane(state.planes[c, view - N_LINES], size, point[VALUE], point[PLANE])
    return nearest_on_line(state.lines[c, view], size, point[view])


@kernel
def _learn_point(state, c, view, point, distance):
    """Learn a placed number that lies `distance` from the cover of a view."""
    size = state.sizes[c, view]
    radius = state.radii[c, view]
    if view >= N_LINES:
        plane = state.planes[c, view - N_LINES]
        x = point[VALUE]
        size = learn_plane(plane, size, radius, x, point[PLANE], distance, state.gaps)
    else:
        line = state.lines[c, view]
        size = learn_line(line, size, radius, point[view], distance, state.gaps)
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
def _knows_runs(figures, c, kind):
    """Return whether a column has had enough cells of its kind for a run to be reported."""
    return is_ready(figures, c) if kind == NUMBER else figures[c, N_ROWS] >= WARMUP


@kernel
def _marked(state, c, which, x):
    """Return whether a value lies within a mark; `which` is 0 for confirmed, 1 for dismissed."""
    marks = state.marks[c, which]
    for j in range(state.n_marks[c, which]):
        if abs(x - marks[j, 0]) <= marks[j, 1]:
            return True
    return False


@kernel
def score_cell(state, c, kind, x, residual, point, distances, scores):
    """Write the onset and the state score of a cell.

    Parameters
    ----------
    state
        `State`.
    c, kind
        int64: the column, and what the cell is.
    x, residual
        float64: the number, and its forecast subtracted from it; anything for other kinds.
    point
        (N_LINES + 1,) float64, written: see `_place`.
    distances
        (N_VIEWS,) float64, written: of a number from the cover of each view, and its z-score.
    scores
        (2,) float64, written.
    """
    figures = state.figures
    scores[0] = _kind_score(state.kinds[c, 0], kind)
    scores[1] = _kind_score(state.kinds[c, 1], kind)
    stuck = stuck_score(state, c, kind, x) if _knows_runs(figures, c, kind) else 0.0
    begins = stuck >= STUCK_SCORE and figures[c, IS_REPORTED] == 0.0
    reported = stuck if begins else 0.0
    if kind != NUMBER:
        scores[0] = max(scores[0], reported)
        scores[1] = max(scores[1], stuck)
        return
    if not is_ready(figures, c):
        return
    _place(state, c, x, figures[c, LAST], residual, point)
    for view in range(N_COVERS):
        distances[view] = _distance(state, c, view, point)
    distances[Z_SCORE] = _z_distance(state, c, x)
    onset = max(_onset_score(state, c, distances), reported)
    late = max(_state_score(state.tails[c], distances), stuck)
    if _marked(state, c, 0, x):
        onset = CONFIRMED_SCORE
        late = CONFIRMED_SCORE
    elif _marked(state, c, 1, x):
        onset = 0.0
        late = 0.0
    scores[0] = max(scores[0], onset)
    scores[1] = max(scores[1], late)


@kernel
def _onset_score(state, c, distances):
    """Return the mean score of five views, where two have the weight of the smoothness."""
    tails = state.tails[c]
    total = tail_score(tails[VALUE], distances[VALUE])
    total += tail_score(tails[RATIO], distances[RATIO])
    total += tail_score(tails[PLANE], distances[PLANE])
    weight = _smoothness(state.figures, c)
    if weight > 0.0:
        at_its_place = tail_score(tails[CHANGE], distances[CHANGE])
        at_its_place += tail_score(tails[ERROR], distances[ERROR])
        total += weight * at_its_place
    return total / (3.0 + 2.0 * weight)


@kernel
def _state_score(tails, distances):
    """Return the mean of the score of the late views and that of the z-score."""
    late = 0.0
    for view in LATE_VIEWS:
        late += tail_score(tails[view], distances[view])
    return 0.5 * (late / 3.0 + tail_score(tails[Z_SCORE], distances[Z_SCORE]))


@kernel
def _begin(state, c, point):
    """Set the scales of a column by its warm-up, and learn the rows of the warm-up.

    `point` is working memory, see `_place`.
    """
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
    usual_error = 0.0
    band = 0.0
    for i in range(WARMUP):
        squares += (rows[i, 0] - mean) ** 2
        if i >= FIRST_RESIDUAL:
            residual_squares += (rows[i, 1] - mean_residual) ** 2
            usual_error += abs(rows[i, 1]) / n_residuals
            band = max(band, abs(rows[i, 1]))
    scale = max(math.sqrt(squares / WARMUP), 1e-6 * (1.0 + largest))
    spread = max(math.sqrt(residual_squares / n_residuals), 1e-9 * scale)
    figures[c, SCALE] = scale
    figures[c, WEIGHT] = RESIDUAL_WEIGHT * scale / spread
    figures[c, BAND] = max(band, 1e-6 * scale)
    figures[c, USUAL_ERROR] = usual_error
    for i in range(WARMUP):
        x = rows[i, 0]
        _place(state, c, x, rows[max(i - 1, 0), 0], rows[i, 1], point)
        for view in range(N_COVERS):
            if view == ERROR and i < FIRST_RESIDUAL:
                continue
            distance = _distance(state, c, view, point)
            if view in LATE_VIEWS and i >= WARMUP // 2:
                learn_distance(state.largest[c, view], state.tails[c, view], distance)
            _learn_point(state, c, view, point, distance)
        if i >= WARMUP // 2:
            z = abs(x - mean) / scale
            learn_distance(state.largest[c, Z_SCORE], state.tails[c, Z_SCORE], z)


@kernel
def _learn_late(state, c, slot, point):
    """Learn the row that has been in the ring for `LAG` rows; -1 marks one not to be learned.

    `point` is working memory, see `_place`.
    """
    ring = state.ring[c, slot]
    kind = int(ring[RING_KIND])
    if kind < 0:
        return
    state.kinds[c, 1, kind] += 1.0
    if kind != NUMBER or not is_ready(state.figures, c):
        return
    x = ring[RING_VALUE]
    _place(state, c, x, x, 0.0, point)
    point[PLANE] = ring[RING_PLANE]
    for j, view in enumerate(LATE_VIEWS):
        distance = ring[RING_DISTANCES + j]
        learn_distance(state.largest[c, view], state.tails[c, view], distance)
        _learn_point(state, c, view, point, _distance(state, c, view, point))
    learn_distance(state.largest[c, Z_SCORE], state.tails[c, Z_SCORE], ring[RING_DISTANCES + 3])
    ring[RING_KIND] = -1.0


@kernel
def _learn_number(state, c, x, residual, point, distances):
    """Learn a number whose point and distances `score_cell` has written."""
    figures = state.figures
    n = figures[c, N_VALUES]
    if n > 0.0:
        figures[c, CHANGES] += (x - figures[c, LAST]) ** 2
    learn_run(state, c, NUMBER, x, is_ready(figures, c))
    if n < WARMUP:
        state.warmup[c, int(n), 0] = x
        state.warmup[c, int(n), 1] = residual
    else:
        for view in (VALUE, RATIO, PLANE, CHANGE, ERROR):
            learn_distance(state.largest[c, view], state.tails[c, view], distances[view])
            _learn_point(state, c, view, point, distances[view])
        miss = 1.0 if abs(residual) > figures[c, BAND] else 0.0
        figures[c, BAND] *= math.exp(BAND_RATE * (miss - (1.0 - COVERAGE)))
        figures[c, USUAL_ERROR] += ERROR_RATE * (abs(residual) - figures[c, USUAL_ERROR])
    figures[c, N_VALUES] += 1.0
    delta = x - figures[c, MEAN]
    figures[c, MEAN] += delta / figures[c, N_VALUES]
    figures[c, SQUARES] += delta * (x - figures[c, MEAN])
    if n == WARMUP - 1:
        _begin(state, c, point)


@kernel
def learn_cell(state, c, kind, x, residual, point, distances, scores):
    """Learn a cell that `score_cell` has scored; see there for the parameters."""
    figures = state.figures
    was_ready = is_ready(figures, c)
    state.kinds[c, 0, kind] += 1.0
    slot = int(figures[c, N_ROWS]) % LAG
    ring = state.ring[c, slot]
    if kind == NUMBER:
        _learn_number(state, c, x, residual, point, distances)
    elif kind != MISSING:
        learn_run(state, c, kind, x, _knows_runs(figures, c, kind))
    if figures[c, N_ROWS] >= LAG:
        _learn_late(state, c, slot, point)
    ring[RING_KIND] = kind
    if kind == NUMBER and was_ready:
        ring[RING_VALUE] = x
        ring[RING_PLANE] = figures[c, WEIGHT] * residual
        for j, view in enumerate(LATE_VIEWS):
            ring[RING_DISTANCES + j] = distances[view]
        ring[RING_DISTANCES + 3] = distances[Z_SCORE]
    elif kind == NUMBER:
        ring[RING_KIND] = -1.0
        state.kinds[c, 1, kind] += 1.0
    kept = state.kept[c, int(figures[c, N_ROWS]) % KEPT_ROWS]
    kept[KEPT_VALUE] = x if kind == NUMBER else math.nan
    kept[KEPT_ONSET] = scores[0]
    kept[KEPT_STATE] = scores[1]
    figures[c, N_ROWS] += 1.0
