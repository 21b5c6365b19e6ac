"""How the hidden layers change.

Each projects its input, its weights follow the credit and are kept within bounds.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, nonzero
from loco_stream.learner.arrays.scratch import CREDIT, N_IN
from loco_stream.learner.arrays.state import (
    GAIN,
    INPUT_POWER,
    N_CLUSTERS,
    N_FEATURES,
    N_POST,
    N_SEEN,
    START,
)
from loco_stream.learner.plasticity import prototypes
from loco_stream.learner.plasticity.delayed import POWER_ROWS, change_delayed
from loco_stream.learner.plasticity.project import change_blocks, project
from loco_stream.learner.plasticity.weight_bounds import bounded_step, restrain

__all__ = ["change_hidden"]


@kernel
def _input_cluster(settings, counts, clusters, features, lines, n_lines):
    """Return the row's prototype, founded if need be; -1 for a silent row."""
    rank = settings.rank
    used = counts[N_CLUSTERS]
    column = settings.n_hidden - settings.n_last
    cluster = prototypes.choose_cluster(
        lines, n_lines, column, clusters.directions, rank, used, settings.n_clusters
    )
    if cluster < 0:
        return -1
    if cluster == used:
        counts[N_CLUSTERS] += 1
        mean = clusters.directions[cluster * rank]
        for j in range(column):
            mean[j] = features[j]
        for j in range(n_lines):
            mean[column + j] = lines[j]
    clusters.sizes[cluster] += 1.0
    return cluster


@kernel
def _project_away(settings, state, layer, column, inputs, first, n_inputs, cluster, run):
    """Write the input less its part in the other prototypes, and learn its own.

    Return (x' x, x' h).
    """
    counts = state.counts
    clusters = state.clusters
    x = inputs[first : first + n_inputs]
    for j in range(n_inputs):
        run.projected[j] = x[j]
    n_rows = counts[N_CLUSTERS] * settings.rank
    inverse = clusters.inverse_gram[layer]
    if cluster >= 0:
        if clusters.sizes[cluster] == 1.0 or counts[N_SEEN] % prototypes.REFRESH == 0:
            prototypes.refresh(
                n_inputs, column, clusters.directions, n_rows, settings.ridge, inverse
            )
        prototypes.project(
            x,
            n_inputs,
            column,
            clusters.directions,
            settings.rank,
            n_rows,
            inverse,
            cluster,
            run.coefficients,
            run.projected,
        )
    square = 0.0
    energy = 0.0
    for j in range(n_inputs):
        square += np.float64(x[j]) * np.float64(x[j])
        energy += np.float64(x[j]) * np.float64(run.projected[j])
    if cluster >= 0:
        rate = max(prototypes.SLOWEST, 1.0 / clusters.sizes[cluster])
        prototypes.learn_directions(
            x, n_inputs, column, clusters.directions, settings.rank, cluster, rate, run.residual
        )
    return square, energy


@kernel
def _change_layer(
    settings,
    state,
    layer,
    weights,
    projector,
    column,
    inputs,
    first,
    n_inputs,
    rows,
    n_rows,
    cluster,
    run,
    share,
):
    """Project a layer's input and change its weights and its projector."""
    net = state.net
    n_seen = state.counts[N_SEEN]
    start = net.sizes[START, layer]
    n_post = net.sizes[N_POST, layer]
    gains = net.gains
    frozen = n_post - math.ceil(settings.plastic * n_post)
    recursive = settings.projects and settings.n_clusters == 0
    if settings.projects and settings.n_clusters > 0:
        square, energy = _project_away(
            settings, state, layer, column, inputs, first, n_inputs, cluster, run
        )
    else:
        square, energy = project(
            recursive, projector, inputs, first, n_inputs, rows, n_rows, run.projected
        )
    gains[INPUT_POWER, layer] += (square - gains[INPUT_POWER, layer]) / min(
        n_seen + 1.0, POWER_ROWS
    )
    power = gains[INPUT_POWER, layer]
    if power + energy <= 0.0:
        return
    credit = run.neurons[CREDIT, start + frozen : start + n_post]
    step = share * settings.learning_rate / (gains[GAIN, layer] * (power + energy))
    step = bounded_step(
        step, gains[GAIN, layer], energy, credit, layer == 0 and settings.n_fields == 1
    )
    if (
        settings.projects and settings.n_clusters > 0
    ):  # what prototypes leave of an input is nowhere 0
        add_outer(
            weights,
            n_inputs,
            frozen,
            n_post - frozen,
            run.projected,
            np.float32(-step),
            credit,
            np.float32(1.0),
        )
        return
    leak = settings.projector_leak if layer == 0 else 0.0
    orthogonality = settings.orthogonality
    change_blocks(
        weights,
        frozen,
        n_post - frozen,
        recursive,
        projector,
        inputs,
        first,
        n_inputs,
        rows,
        n_rows,
        run.projected,
        credit,
        step,
        power,
        orthogonality,
        leak,
    )


@kernel
def _restrain_layer(settings, state, layer, weights, n_inputs):
    """Keep the neuron of a layer whose turn it is within bounds."""
    n_post = state.net.sizes[N_POST, layer]
    restrain(
        weights,
        n_inputs,
        n_post - math.ceil(settings.plastic * n_post),
        n_post,
        state.counts[N_SEEN],
    )


@kernel
def change_hidden(settings, state, scratch, share):
    """Change every layer's weights by `share` of a step, and keep one neuron of each within bounds.

    No layer reads what another wrote in the same step, so their order is free.
    """
    net = state.net
    run = scratch.run
    features = scratch.features
    n_lines = state.counts[N_FEATURES] * settings.n_fields
    cluster = -1
    if settings.projects and settings.n_clusters > 0:
        cluster = _input_cluster(
            settings, state.counts, state.clusters, features, scratch.code.lines, n_lines
        )
    if settings.max_delay > 0:
        change_delayed(settings, state, scratch, share)
    else:
        _change_layer(
            settings,
            state,
            0,
            net.weights,
            net.projector,
            settings.n_hidden - settings.n_last,
            scratch.code.lines,
            0,
            n_lines,
            scratch.code.rows,
            scratch.flags[N_IN],
            cluster,
            run,
            share,
        )
    _restrain_layer(settings, state, 0, net.weights, n_lines)
    for layer in range(1, settings.n_layers):
        below = net.sizes[START, layer - 1]
        n_pre = net.sizes[N_POST, layer - 1]
        n_rows = nonzero(features, below, n_pre, run.rows)
        projector = (
            net.deep_projectors[layer - 1] if settings.n_clusters == 0 else net.projector
        )  # which is empty
        _change_layer(
            settings,
            state,
            layer,
            net.deep_weights[layer - 1],
            projector,
            below,
            features,
            below,
            n_pre,
            run.rows,
            n_rows,
            cluster,
            run,
            share,
        )
        _restrain_layer(settings, state, layer, net.deep_weights[layer - 1], n_pre)
