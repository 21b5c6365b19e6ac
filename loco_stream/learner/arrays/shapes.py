"""The length of every axis of a model's arrays, by name."""

from __future__ import annotations

from loco_stream.learner.arrays.spec import Plan
from loco_stream.options import COVERAGES, N_OTHERS, NOISES, POWERS, WINDOW, Layout, Settings

__all__ = ["plan_of"]


def plan_of(layout: Layout, settings: Settings, n_features: int, n_classes: int) -> Plan:
    """Name the length of every axis."""
    sizes = layout.hidden_sizes
    hidden = settings.n_hidden
    lines = n_features * settings.n_fields
    deep = settings.n_layers - 1
    members = settings.n_trace + settings.n_linear
    below = max(1, *sizes[:-1], 1)
    above = max(1, *sizes[1:], 1)
    logistic = settings.n_linear > 0 and not settings.regression
    projects = settings.n_clusters == 0
    speaks = settings.recursive and not settings.regression
    inputs = _n_inputs(settings, n_features)
    remembered = hidden if settings.longest > 0.0 else 0
    late_stacked = settings.n_blocks if settings.regression and settings.recursive else 0
    capacities = {
        "features": n_features,
        "classes": n_classes,
        "lines": lines,
        "layers": settings.n_layers,
        "deep_layers": deep,
        "first_layer": sizes[0],
        "below": below,
        "above": above,
        "hidden": hidden,
        "projected_lines": lines if projects else 0,
        "block": min(settings.block, lines) if projects else 1,
        "projected_layers": deep if projects else 0,
        "projected_below": below,
        "deep_block": min(settings.block, below),
        "longest": max(lines, below),
        "clusters": settings.n_clusters,
        "rank": settings.rank,
        "traces_before": hidden - settings.n_last + lines if settings.n_clusters else 0,
        "all_inputs": hidden + 1 + n_features,
        "inputs": inputs,
        "projected_inputs": inputs if settings.recursive else 1,
        "linear_inputs": n_features + 1 if settings.n_linear else 1,
        "logistic_inputs": n_features + 1 if logistic else 0,
        "described": n_features if logistic else 0,
        "trace_members": settings.n_trace,
        "linear_members": settings.n_linear,
        "members": members,
        "losses": settings.n_losses,
        "blocks": settings.n_blocks,
        "stacked": settings.n_blocks if settings.regression else members,
        "late_stacked": late_stacked,
        "late_experts": late_stacked + N_OTHERS if late_stacked else 0,
        "centroids": settings.n_centroids,
        "neighbors": settings.n_neighbors,
        "searched": max(settings.n_centroids, settings.n_neighbors),
        "shares": members + 1,
        "experts": 2 + members + 2 * logistic if speaks else 0,
        "powers": len(POWERS) if speaks else 0,
        "noises": len(NOISES),
        "snapshots": settings.n_snapshots,
        "speakers": 2 + settings.n_snapshots,
        "remembered": remembered,
        "delays": settings.max_delay,
        "delayed_lines": lines if settings.max_delay else 0,
        "taps": settings.max_delay + 1 if settings.max_delay else 0,
        "context": remembered + 7 + settings.max_delay * lines if settings.remembers else 0,
        "residuals": WINDOW if settings.regression else 0,
        "coverages": len(COVERAGES) if settings.regression else 0,
    }
    return Plan(layout, settings, capacities)


def _n_inputs(settings: Settings, n_features: int) -> int:
    """Return how many inputs the readout has."""
    if settings.last_layer:
        return settings.n_last + 1
    return settings.n_hidden + 1 + (n_features if settings.raw_inputs else 0)
