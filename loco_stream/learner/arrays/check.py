"""What a restored model must hold.

Compiled code counts and indexes by these numbers and checks none of them.
"""

from __future__ import annotations

import numpy as np

from loco_stream.learner.arrays.spec import flatten
from loco_stream.learner.arrays.state import (
    CLASS_ROWS,
    DRIVE_POWER,
    GAIN,
    INPUT_POWER,
    MASKED,
    MEDIAN_GAP,
    N_CLASSES,
    N_CLUSTERS,
    N_FEATURES,
    N_SEEN,
    ROUND,
    SKIPPED,
    State,
)
from loco_stream.learner.hidden import HIGHEST_GAIN
from loco_stream.learner.readout.snapshots import AGE, HEARD, HEARING, N_KEPT, SLOT
from loco_stream.options import LARGEST, SPACING, Settings

__all__ = ["check_state"]

_HIGHEST = 1e6  # of traces
_STEEPEST = 1e10  # of an inverse whose ridge is at least 1e-9
_OPEN = {
    "neighbors.ranges",
    "statistics",
    "target",
}  # whose ranges hold nothing at first: from inf to -inf
_LONGEST = 2**53  # of a count: a float64 beside it still tells one from the next


def check_state(settings: Settings, state: State, n_features: int, n_classes: int) -> None:
    """Raise ValueError if a count or an index is out of its bounds, or a number is not finite.

    `n_features` and `n_classes` are how many have a name.
    """
    counts = state.counts
    clock = state.recall.clock
    outputs = 1 if settings.regression else n_classes
    if n_features > state.statistics.shape[1] or outputs > state.classes.shape[1]:
        raise ValueError(f"there is no room for {n_features} features and {outputs} outputs")
    for name, value, low, high in (
        ("samples seen", counts[N_SEEN], 0, _LONGEST),
        ("features", counts[N_FEATURES], n_features, n_features),
        ("classes", counts[N_CLASSES], 0, outputs),
        ("clusters", counts[N_CLUSTERS], 0, settings.n_clusters),
        ("skipped updates", counts[SKIPPED], 0, _LONGEST),
        ("masked values", counts[MASKED], 0, _LONGEST),
        ("perturbations", counts[ROUND], 0, _LONGEST),
        ("next snapshot", clock[SLOT], 0, max(settings.n_snapshots - 1, 0)),
        ("age of the copy", clock[AGE], -SPACING, _LONGEST),
        ("snapshots kept", clock[N_KEPT], 0, _LONGEST),
        ("rows that snapshots are heard for", clock[HEARING], 0, HEARD),
        ("residuals", state.spread.n[0], 0, _LONGEST),
        ("centroids", state.centroids.n[0], 0, settings.n_centroids),
        ("rows for neighbours", state.neighbors.n[0], 0, _LONGEST),
    ):
        if not low <= value <= high:
            raise ValueError(f"the number of {name} is {value}; allowed is {low} to {high}")
    for name, array, highest in (
        ("a trace in 'clusters.directions'", state.clusters.directions, _HIGHEST),
        ("a number in 'clusters.inverse_gram'", state.clusters.inverse_gram, _STEEPEST),
    ):
        if not (np.abs(array) <= highest).all():
            raise ValueError(f"{name} is NaN or beyond {highest:g}")
    _check_divisors(state)
    _check_neighbors(settings, state, n_classes)
    if (
        not (state.spread.residuals >= 0.0).all()
        or not ((state.spread.risks >= 0.0) & (state.spread.risks <= 1.0)).all()
    ):
        raise ValueError(
            "a residual in array 'spread.residuals' is below 0, or one of 'spread.risks' no share"
        )
    for name, array in flatten(state).items():
        if not (~np.isnan(array) if name in _OPEN else np.isfinite(array)).all():
            raise ValueError(f"array {name!r} holds NaN or an infinite number")


def _check_neighbors(settings: Settings, state: State, n_classes: int) -> None:
    """Raise ValueError if an answer is no class, which compiled code would take for a place in memory."""
    answers, (origin, low, high) = (
        state.neighbors.answers[: state.neighbors.n[0]],
        state.neighbors.ranges,
    )
    if settings.regression:
        sound = np.abs(answers) <= LARGEST
    else:
        sound = (answers >= 0) & (answers < n_classes) & (answers == np.floor(answers))
    if not sound.all():
        raise ValueError(
            "a number in array 'neighbors.answers' is no class or target of this model"
        )
    if not (np.isfinite(origin).all() and (np.isfinite(low) == np.isfinite(high)).all()):
        raise ValueError("a range in array 'neighbors.ranges' is not finite")


def _check_divisors(state: State) -> None:
    """Raise ValueError if a number that compiled code divides by may be zero, or drive a neuron beyond all sense."""
    gains = state.net.gains
    speakers = state.recall.speakers
    if not ((gains[GAIN] > 0.0) & (gains[GAIN] <= HIGHEST_GAIN)).all():
        raise ValueError(f"a gain in array 'net.gains' is not above 0 and at most {HIGHEST_GAIN:g}")
    if not (
        (gains[[DRIVE_POWER, INPUT_POWER]] >= 0.0) & (gains[[DRIVE_POWER, INPUT_POWER]] < np.inf)
    ).all():
        raise ValueError("a mean square in array 'net.gains' is below 0 or not finite")
    if not (speakers >= 0.0).all() or not 0.5 <= speakers.sum() <= 2.0:
        raise ValueError("array 'recall.speakers' is not a distribution")
    if not np.isfinite(state.memory.clock).all() or state.memory.clock[MEDIAN_GAP] < 0.0:
        raise ValueError(
            "a number in array 'memory.clock' is not finite, or its median gap is below 0"
        )
    if (
        not ((state.memory.ring >= 0.0) & (state.memory.ring <= 1.0)).all()
        or not np.isfinite(state.memory.steps).all()
    ):
        raise ValueError(
            "a line in array 'memory.ring' is not from 0 to 1, or a number in 'memory.steps' not finite"
        )
    if not (state.centroids.counts >= 0.0).all() or not (state.centroids.rows >= 0.0).all():
        raise ValueError("a number in array 'centroids.counts' or 'centroids.rows' is below 0")
    if not (state.bank.log_stack[1] >= 0.0).all():
        raise ValueError("a mean square in array 'bank.log_stack' is below 0")
    if (
        not (state.gaussians.squares >= 0.0).all()
        or not (state.gaussians.moments[CLASS_ROWS] >= 0.0).all()
    ):
        raise ValueError(
            "a number in 'gaussians.squares', or a number of rows in 'gaussians.moments', is below 0"
        )
