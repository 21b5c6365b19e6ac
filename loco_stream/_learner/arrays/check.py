"""Checks of a restored model: compiled code counts and indexes by these numbers and checks none.

Here are the bounds that depend on other numbers; all others are declared with the arrays.
"""

from __future__ import annotations

from loco_stream._learner import texts
from loco_stream._learner.arrays.state import State
from loco_stream._learner.readout import domains
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.snapshots import EVAL_ROWS
from loco_stream._learner.settings import Settings


def check_state(settings: Settings, state: State, n_features: int, n_classes: int) -> None:
    """Raise ValueError if a count or an index is out of the bounds that other numbers give.

    `n_features` and `n_classes` are how many have a name.
    """
    n_outputs = max(n_classes, 1) if settings.regression else n_classes
    capacity = len(state.statistics.n_values), len(state.classes.n_rows)
    if n_features > capacity[0] or n_outputs > capacity[1]:
        raise ValueError(
            f"its arrays must have room for {n_features} features and {n_outputs} outputs, "
            f"got {capacity[0]} and {capacity[1]}"
        )
    _check_counts(settings, state, n_features, n_outputs)
    texts.check(state.texts, n_features)
    if not 0.5 <= state.snapshots.posterior.sum() <= 2.0:
        raise ValueError("array 'snapshots.posterior' must be a distribution")
    if state.context.clock.median_gap < 0.0:
        raise ValueError("`median_gap` of 'context.clock' must not be negative")
    domains.check(state.domains)
    for expert in EXPERTS:
        expert.check(settings, state, n_classes)


def _check_counts(settings: Settings, state: State, n_features: int, n_outputs: int) -> None:
    counts = state.counts
    snapshots = state.snapshots.counters
    for name, value, low, high in (
        ("n_features", counts.n_features, n_features, n_features),
        ("n_classes", counts.n_classes, 0, n_outputs),
        ("n_clusters", counts.n_clusters, 0, settings.n_clusters),
        ("last_label", counts.last_label, -1, n_outputs - 1),
        ("slot", snapshots.slot, 0, max(settings.n_snapshots - 1, 0)),
        ("eval_rows", snapshots.eval_rows, 0, EVAL_ROWS),
    ):
        if not low <= value <= high:
            raise ValueError(f"`{name}` must be {low} to {high}, got {value}")
