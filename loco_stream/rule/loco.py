"""The fused rule of one layer: trace projected, weights changed, directions learned.

No layer reads what another wrote in the same step, so layers may be updated in any order or at
once; the longest chain of an update does not grow with depth.
"""

from __future__ import annotations

from numba import njit

from loco_stream.state import N_CLUSTERS, NORM_FACTOR, NORM_LIMIT, THRESHOLD
from loco_stream.rule.project import SLOWEST, learn_directions, project, refresh
from loco_stream.rule.update import adapt_thresholds, update_weights

__all__ = ["change_layer", "refresh_layer"]


@njit(cache=True)
def refresh_layer(settings, state, layer, column):  # type: ignore[no-untyped-def]
    """Invert the Gram matrix of the directions in use at a layer; `column` is where its traces start."""
    n_rows = state.counts[N_CLUSTERS] * settings.rank
    refresh(state.layout[0, layer], column, state.directions, n_rows, settings.ridge, state.inverse_gram[layer])


@njit(cache=True)
def change_layer(settings, state, layer, column, trace, cluster, room, coefficients, credit, squares, fired):  # type: ignore[no-untyped-def]
    """Project a layer's input trace, change its weights by the credit, learn its directions and thresholds.

    `trace` is (n_pre,); `cluster` the input cluster, -1 without projection; `credit`, `squares`,
    `fired` belong to the layer's neurons; `room` is (2, >= n_pre), `coefficients` (3, rows).
    """
    n_pre, n_post, offset, start = state.layout[:, layer]
    neurons = state.neurons
    if cluster >= 0:
        n_rows = state.counts[N_CLUSTERS] * settings.rank
        inverse = state.inverse_gram[layer]
        project(trace, n_pre, column, state.directions, settings.rank, n_rows, inverse, cluster, coefficients, room[0])
    else:
        room[0, :n_pre] = trace[:n_pre]
    limit, factor = neurons[NORM_LIMIT, start : start + n_post], neurons[NORM_FACTOR, start : start + n_post]
    update_weights(
        state.weights, offset, n_pre, n_post, room[0], credit, settings.learning_rate, limit, factor, squares
    )
    if cluster >= 0:
        rate = max(SLOWEST, 1.0 / state.cluster_counts[cluster])
        learn_directions(trace, n_pre, column, state.directions, settings.rank, cluster, rate, room[1])
    if settings.homeostasis > 0.0:
        adapt_thresholds(fired, n_post, settings.homeostasis, neurons[THRESHOLD, start : start + n_post])
