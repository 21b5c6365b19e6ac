"""Checks of a restored model: compiled code counts and indexes by these numbers and checks none."""

from __future__ import annotations

from typing import Any

import numpy as np

from loco_stream._learner.arrays.spec import array_of, flatten
from loco_stream._learner.arrays.state import State
from loco_stream._learner.hidden import MAX_GAIN
from loco_stream._learner.readout import domains
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.snapshots import EVAL_ROWS, SPACING
from loco_stream._learner.settings import Settings

_MAX_TRACE = 1e6
_MAX_INVERSE = 1e10  # whose ridge is at least 1e-9
MAX_COUNT = 2**53  # a float64 beside it still tells one from the next
_OPEN = ("lowest", "highest", "low", "high")  # ranges start from infinity


def check_state(settings: Settings, state: State, n_features: int, n_classes: int) -> None:
    """Raise ValueError if a count or an index is out of bounds, or a number is not finite.

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
    clusters = state.projections.clusters
    _require_within("projections.clusters.directions", clusters.directions, _MAX_TRACE)
    _require_within("projections.clusters.inverse_gram", clusters.inverse_gram, _MAX_INVERSE)
    _check_divisors(state)
    if not ((state.scale_guard.n_recent >= 0.0) & (state.scale_guard.n_recent <= MAX_COUNT)).all():
        raise ValueError("array 'scale_guard.n_recent' must hold counts")
    _check_context(state)
    _check_residuals(state)
    _check_recent_values(state)
    domains.check(state.domains)
    for expert in EXPERTS:
        expert.check(settings, state, n_classes)
    _check_finite(state)


def _check_finite(state: State) -> None:
    """Raise ValueError for NaN, and for an infinite number where no range may be open."""
    for name, array in flatten(state).items():
        open_range = name.rpartition(".")[2] in _OPEN
        if not (~np.isnan(array) if open_range else np.isfinite(array)).all():
            raise ValueError(f"array {name!r} must be finite")


def _check_counts(settings: Settings, state: State, n_features: int, n_outputs: int) -> None:
    counts = state.counts
    snapshots = state.snapshots.counters
    for name, value, low, high in (
        ("n_seen", counts.n_seen, 0, MAX_COUNT),
        ("n_features", counts.n_features, n_features, n_features),
        ("n_classes", counts.n_classes, 0, n_outputs),
        ("n_clusters", counts.n_clusters, 0, settings.n_clusters),
        ("n_skipped", counts.n_skipped, 0, MAX_COUNT),
        ("n_masked", counts.n_masked, 0, MAX_COUNT),
        ("noise_round", counts.noise_round, 0, MAX_COUNT),
        ("last_label", counts.last_label, -1, n_outputs - 1),
        ("slot", snapshots.slot, 0, max(settings.n_snapshots - 1, 0)),
        ("age", snapshots.age, -SPACING, MAX_COUNT),
        ("n_kept", snapshots.n_kept, 0, MAX_COUNT),
        ("eval_rows", snapshots.eval_rows, 0, EVAL_ROWS),
        ("n_residuals", state.residuals.counters.n_residuals, 0, MAX_COUNT),
        ("n_rows", state.experts.neighbors.counters.n_rows, 0, MAX_COUNT),
    ):
        if not low <= value <= high:
            raise ValueError(f"`{name}` must be {low} to {high}, got {value}")


def _require_within(name: str, array: Any, highest: float) -> None:
    if not (np.abs(array) <= highest).all():
        raise ValueError(f"array {name!r} must be finite and within {highest:g} of 0")


def _check_divisors(state: State) -> None:
    """Raise ValueError if a divisor may be 0, or a gain is beyond all reason."""
    net = state.net
    posterior = state.snapshots.posterior
    if not ((net.gain > 0.0) & (net.gain <= MAX_GAIN)).all():
        raise ValueError(f"array 'net.gain' must be above 0 and at most {MAX_GAIN:g}")
    for name in ("drive_power", "input_power"):
        power = getattr(net, name)
        if not ((power >= 0.0) & (power < np.inf)).all():
            raise ValueError(f"array 'net.{name}' must be finite and not negative")
    if not (posterior >= 0.0).all() or not 0.5 <= posterior.sum() <= 2.0:
        raise ValueError("array 'snapshots.posterior' must be a distribution")
    for name, powers in (
        ("statistics.squares", state.statistics.squares),
        ("target.squares", state.target.squares),
        ("kept_scales.squares", state.kept_scales.squares),
        ("stacks.log_powers", state.stacks.log_powers),
        ("next_row.powers", state.next_row.powers),
        ("fixed.norms", state.fixed.norms),
        ("fixed.n_values", state.fixed.n_values),
    ):
        if not (powers >= 0.0).all():
            raise ValueError(f"array {name!r} must not be negative")
    if not state.fixed.power[0] > 0.0 or not state.fixed.n_rows[0] > 0.0:
        raise ValueError("arrays 'fixed.power' and 'fixed.n_rows' must be above 0")


def _check_context(state: State) -> None:
    context = state.context
    if not np.isfinite(array_of(context.clock)).all() or context.clock.median_gap < 0.0:
        raise ValueError("'context.clock' must be finite, with a median gap of 0 or more")
    if not np.isfinite(array_of(context.run)).all():
        raise ValueError("'context.run' must be finite")
    if not ((context.ring >= 0.0) & (context.ring <= 1.0)).all():
        raise ValueError("array 'context.ring' must be 0 to 1")


def _check_recent_values(state: State) -> None:
    own = state.next_value
    counts = array_of(own.counters)
    if not ((counts >= 0) & (counts <= MAX_COUNT)).all():
        raise ValueError("array 'next_value.counters' must hold counts")
    if not (own.errors >= 0.0).all():
        raise ValueError("array 'next_value.errors' must not be negative")


def _check_residuals(state: State) -> None:
    residuals = state.residuals
    for name in ("recent", "ordered"):
        if not (getattr(residuals, name) >= 0.0).all():
            raise ValueError(f"array 'residuals.{name}' must not be negative")
    if not ((residuals.risks >= 0.0) & (residuals.risks <= 1.0)).all():
        raise ValueError("array 'residuals.risks' must be 0 to 1")
