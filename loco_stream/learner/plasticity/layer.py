"""The fused rule of one layer: trace projected, weights changed, directions learned.

No layer reads what another wrote in the same step, so layers may be updated in any order or at
once; the longest chain of an update does not grow with depth.
"""

from __future__ import annotations

from loco_stream.jit import kernel
from loco_stream.learner.plasticity.project import SLOWEST, learn_directions, project
from loco_stream.learner.plasticity.weights import adapt_thresholds, update_weights
from loco_stream.learner.state import CREDIT, MEMBRANE, NORM_FACTOR, NORM_LIMIT, THRESHOLD

__all__ = ["change_layer"]


@kernel
def change_layer(
    net, layer, column, trace, fired, clusters, cluster, n_rows, rank, workspace, learning_rate, homeostasis
):
    """Project a layer's input trace, change its weights by the credit, learn its directions and thresholds.

    `trace` (n_pre,) and `fired` (n_post,) are the traces before and behind the layer; `column` is
    where its directions start; `cluster` the input cluster, -1 without projection, of those in
    the first `n_rows` rows.
    """
    n_pre, n_post, start = net.layout[0, layer], net.layout[1, layer], net.layout[3, layer]
    stop = start + n_post
    projected, neurons = workspace.projected[0], net.neurons
    for j in range(n_pre):
        projected[j] = trace[j]
    if cluster >= 0:
        project(
            trace, n_pre, column, clusters.directions, rank, n_rows, clusters.inverse_gram[layer], cluster,
            workspace.coefficients, projected,
        )  # fmt: skip
    update_weights(
        net.weights, net.layout[2, layer], n_pre, n_post, projected, workspace.neurons[CREDIT, start:stop],
        learning_rate,
        neurons[NORM_LIMIT, start:stop], neurons[NORM_FACTOR, start:stop], workspace.neurons[MEMBRANE, start:stop],
    )  # fmt: skip
    if cluster >= 0:
        rate = max(SLOWEST, 1.0 / clusters.sizes[cluster])
        learn_directions(trace, n_pre, column, clusters.directions, rank, cluster, rate, workspace.projected[1])
    if homeostasis > 0.0:
        adapt_thresholds(fired, n_post, homeostasis, neurons[THRESHOLD, start:stop])
