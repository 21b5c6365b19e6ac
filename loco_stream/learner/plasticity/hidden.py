"""How the hidden layers learn: perturbed passes, credit, projection, weight change."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.config import NEURON_CLUSTER
from loco_stream.learner.drive import span
from loco_stream.learner.plasticity import prototypes
from loco_stream.learner.plasticity.credit import broadcast_error, credit_change, learn_feedback
from loco_stream.learner.plasticity.perturb import draw_noise
from loco_stream.learner.plasticity.project import change_blocks, project
from loco_stream.learner.readout.log_loss import loss_of, weighted
from loco_stream.learner.spikes import nonzero, run_hidden
from loco_stream.learner.state import (
    BASELINE,
    CHANGE,
    CREDIT,
    ERROR,
    GAIN,
    INPUT_POWER,
    N_CLASSES,
    N_CLUSTERS,
    N_FEATURES,
    N_IN,
    N_POST,
    N_SEEN,
    NOISE,
    ROOM,
    ROUND,
    SCORES,
    START,
    TARGET,
)
from loco_stream.simd.ops import weigh_rows

__all__ = ["assign_credit", "change_hidden"]

FEEDBACK_RATE = 0.03  # of the regression of output changes on noise
ALWAYS_UNTIL = 500  # rows; learned feedback is good enough then to perturb
EVERY = 4  # only one row in so many
POWER_ROWS = 300.0  # over which a layer's mean square input is averaged
BASELINE_FADE = 0.01  # of the mean change of the loss, which is no neuron's doing


@kernel
def _output_change(settings, bank, noisy, clean, answers, n_classes, capacity, rows, change):
    """Write what the perturbation changed in the combined output; `noisy` is overwritten by the traces' change."""
    first, _ = span(settings, 0)
    n_traces = settings.n_hidden - first
    for i in range(first, settings.n_hidden):
        noisy[i] -= clean[i]
    n_rows = nonzero(noisy, first, n_traces, rows)
    n_columns = bank.traces.shape[1]
    weigh_rows(answers.change, bank.traces, n_columns, noisy, first, rows, n_rows)
    weighted(answers.change, answers.weights, n_columns // capacity, capacity, n_classes, change)


@kernel
def _perturb(settings, state, scratch, sign):
    """One perturbed pass of the same row; write what it changed in the combined output."""
    run, net, capacity = scratch.run, state.net, state.classes.shape[1]
    run_hidden(
        settings, net.sizes, net.weights, net.deep_weights, net.gains, scratch.code, scratch.flags[N_IN],
        run.neurons[NOISE], np.float32(sign), run, run.drives[1], run.noisy, run.spikes[1],
    )  # fmt: skip
    _output_change(
        settings, state.bank, run.noisy, scratch.features, scratch.answers, state.counts[N_CLASSES], capacity,
        run.rows, scratch.vectors[CHANGE],
    )  # fmt: skip


@kernel
def _credit_one_pass(settings, state, scratch, sign, passes):
    """Add the paper's credit: what a pass changed in the loss, beyond the average change, times its noise."""
    vectors, n_classes, neurons = scratch.vectors, state.counts[N_CLASSES], scratch.run.neurons
    before = loss_of(settings.regression, vectors[SCORES], vectors[TARGET], n_classes)
    for c in range(n_classes):
        vectors[ROOM, c] = vectors[SCORES, c] + vectors[CHANGE, c]
    rise = loss_of(settings.regression, vectors[ROOM], vectors[TARGET], n_classes) - before
    baseline = state.net.gains[BASELINE, 0]
    if math.isfinite(rise):  # else the step is refused, and must not harm those to come
        state.net.gains[BASELINE, 0] += BASELINE_FADE * (rise - baseline)
    credit_change(
        sign * (rise - baseline) / passes, neurons[NOISE], settings.noise, scratch.features, settings.n_hidden,
        neurons[CREDIT],
    )  # fmt: skip


@kernel
def _draw(settings, net, round_, noise):
    """Draw one perturbation of every layer."""
    for layer in range(settings.n_layers):
        start, n_post = net.sizes[START, layer], net.sizes[N_POST, layer]
        key = settings.seed_key + layer
        draw_noise(key, round_, n_post, NEURON_CLUSTER, settings.noise, noise[start : start + n_post])


@kernel
def _perturb_all(settings, state, scratch, n_learned):
    """Run the perturbed passes of a row, each turned into better feedback of the first neurons, or into credit."""
    neurons, counts = scratch.run.neurons, state.counts
    passes = settings.n_perturbations * (2 if settings.antithetic else 1)
    for _ in range(settings.n_perturbations):
        _draw(settings, state.net, counts[ROUND], neurons[NOISE])
        counts[ROUND] += 1
        sign = 1.0
        for _ in range(2 if settings.antithetic else 1):
            _perturb(settings, state, scratch, sign)
            if n_learned > 0:
                learn_feedback(
                    scratch.vectors[CHANGE], counts[N_CLASSES], sign, neurons[NOISE], scratch.features, settings.noise,
                    settings.n_hidden, n_learned, FEEDBACK_RATE, state.net.feedback,
                )  # fmt: skip
            else:
                _credit_one_pass(settings, state, scratch, sign, passes)
            sign = -sign


@kernel
def _n_learned(settings):
    """Return how many neurons learn their feedback by perturbation: with mirrored credit those that are not read."""
    first, _ = span(settings, 0)
    return settings.n_hidden if settings.learned_credit else first if settings.mirrored_credit else 0


@kernel
def assign_credit(settings, state, scratch):
    """Write the credit of every hidden neuron, after the perturbed passes that its credit rule needs."""
    neurons, n_seen, hidden = scratch.run.neurons, state.counts[N_SEEN], settings.n_hidden
    for i in range(hidden):
        neurons[CREDIT, i] = np.float32(0.0)
    if not (settings.learned_credit or settings.mirrored_credit):
        _perturb_all(settings, state, scratch, 0)
        return
    n_learned = _n_learned(settings)
    if n_learned > 0 and (n_seen < ALWAYS_UNTIL or n_seen % EVERY == 0):
        _perturb_all(settings, state, scratch, n_learned)
    broadcast_error(
        scratch.vectors[ERROR], state.counts[N_CLASSES], state.net.feedback, scratch.features, hidden, neurons[CREDIT]
    )


@kernel
def _input_cluster(settings, counts, clusters, features, lines, n_lines):
    """Choose the row's prototype, founding it if need be; keep the Gram inverses fresh. -1: none for a silent row."""
    rank, used, column = settings.rank, counts[N_CLUSTERS], settings.n_hidden - settings.n_last
    cluster = prototypes.choose_cluster(lines, n_lines, column, clusters.directions, rank, used, settings.n_clusters)
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
    """Write the input less its part in the other prototypes, and learn its own; return (x' x, x' h)."""
    counts, clusters = state.counts, state.clusters
    x = inputs[first : first + n_inputs]
    for j in range(n_inputs):
        run.projected[j] = x[j]
    n_rows, inverse = counts[N_CLUSTERS] * settings.rank, clusters.inverse_gram[layer]
    if cluster >= 0:
        if clusters.sizes[cluster] == 1.0 or counts[N_SEEN] % prototypes.REFRESH == 0:
            prototypes.refresh(n_inputs, column, clusters.directions, n_rows, settings.ridge, inverse)
        prototypes.project(
            x, n_inputs, column, clusters.directions, settings.rank, n_rows, inverse, cluster, run.coefficients,
            run.projected,
        )  # fmt: skip
    square, energy = 0.0, 0.0
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
    settings, state, layer, weights, projector, column, inputs, first, n_inputs, rows, n_rows, cluster, run
):
    """Project a layer's input and change its weights and its projector."""
    net, n_seen = state.net, state.counts[N_SEEN]
    start, n_post, gains = net.sizes[START, layer], net.sizes[N_POST, layer], net.gains
    frozen = n_post - math.ceil(settings.plastic * n_post)
    recursive = settings.projects and settings.n_clusters == 0
    if settings.projects and not recursive:
        square, energy = _project_away(settings, state, layer, column, inputs, first, n_inputs, cluster, run)
    else:
        square, energy = project(recursive, projector, inputs, first, n_inputs, rows, n_rows, run.projected)
    gains[INPUT_POWER, layer] += (square - gains[INPUT_POWER, layer]) / min(n_seen + 1.0, POWER_ROWS)
    power = gains[INPUT_POWER, layer]
    if power + energy <= 0.0:
        return
    step = settings.learning_rate / (gains[GAIN, layer] * (power + energy))
    leak, orthogonality = settings.projector_leak if layer == 0 else 0.0, settings.orthogonality
    change_blocks(
        weights, frozen, n_post - frozen, recursive, projector, inputs, first, n_inputs, rows, n_rows,
        run.projected, run.neurons[CREDIT, start + frozen : start + n_post], step, power, orthogonality, leak,
    )  # fmt: skip


@kernel
def change_hidden(settings, state, scratch):
    """Change every layer's weights; no layer reads what another wrote in the same step, so their order is free."""
    net, run, features = state.net, scratch.run, scratch.features
    n_lines, cluster = state.counts[N_FEATURES] * settings.n_fields, -1
    if settings.projects and settings.n_clusters > 0:
        cluster = _input_cluster(settings, state.counts, state.clusters, features, scratch.code.lines, n_lines)
    _change_layer(
        settings, state, 0, net.weights, net.projector, settings.n_hidden - settings.n_last, scratch.code.lines, 0,
        n_lines, scratch.code.rows, scratch.flags[N_IN], cluster, run,
    )  # fmt: skip
    for layer in range(1, settings.n_layers):
        below, n_pre = net.sizes[START, layer - 1], net.sizes[N_POST, layer - 1]
        n_rows = nonzero(features, below, n_pre, run.rows)
        _change_layer(
            settings, state, layer, net.deep_weights[layer - 1], net.deep_projectors[layer - 1], below, features, below,
            n_pre, run.rows, n_rows, cluster, run,
        )  # fmt: skip
