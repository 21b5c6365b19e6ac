"""How the hidden layers learn: perturbed passes, credit, projection, weight change."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel
from loco_stream.learner.drive import run_layers, span, trace_spikes
from loco_stream.learner.plasticity.credit import credit_learned, credit_perturbation, learn_feedback
from loco_stream.learner.plasticity.layer import change_layer
from loco_stream.learner.plasticity.perturb import draw_noise
from loco_stream.learner.plasticity.project import REFRESH, choose_cluster, refresh
from loco_stream.learner.state import (
    CHANGE,
    CREDIT,
    ERROR,
    N_CLASSES,
    N_CLUSTERS,
    N_IN,
    N_SEEN,
    NOISE,
    NOISY_THRESHOLD,
    NOISY_TRACE,
    PEAK,
    PROBA,
    ROUND,
    SCORES,
    SENSITIVITY,
    TARGET,
    THRESHOLD,
)

__all__ = ["assign_credit", "change_hidden", "loss_and_error"]

SLOPE = 2.0  # how fast sensitivity falls with the distance between peak and threshold


@kernel
def loss_and_error(squared, scores, target, n_classes, error):
    """Return the loss and write its slope: half the squared error, or softmax cross-entropy."""
    loss = 0.0
    if squared:
        for c in range(n_classes):
            error[c] = scores[c] - target[c]
            loss += 0.5 * error[c] * error[c]
        return loss
    top, total, hit = -math.inf, 0.0, 0.0
    for c in range(n_classes):
        top = max(top, scores[c])
    for c in range(n_classes):
        error[c] = math.exp(scores[c] - top)
        total += error[c]
        hit += target[c] * scores[c]
    for c in range(n_classes):
        error[c] = error[c] / total - target[c]
    return top + math.log(total) - hit


@kernel
def _output_change(bank, recursive, noisy, clean, first, hidden, n_classes, capacity, change):
    """Write what the perturbation changed in the combined output."""
    for c in range(n_classes):
        change[c] = 0.0
    members = bank.traces.shape[1] // capacity
    for i in range(first, hidden):
        moved = np.float64(noisy[i]) - np.float64(clean[i])
        if moved != 0.0:
            row = bank.traces[i - first]
            for m in range(members):
                coefficient = moved * (bank.stack[m] if recursive else 1.0)
                for c in range(n_classes):
                    change[c] += coefficient * np.float64(row[m * capacity + c])


@kernel
def _perturb(settings, state, scratch, loss, sign, counts):
    """One perturbed pass of the same spikes: feedback learned, or the loss change turned into credit."""
    hidden, n_classes, capacity = settings.n_hidden, state.counts[N_CLASSES], state.classes.shape[1]
    neurons, vectors, net = scratch.workspace.neurons, scratch.vectors, state.net
    for i in range(hidden):
        neurons[NOISY_THRESHOLD, i] = net.neurons[THRESHOLD, i] - np.float32(sign) * neurons[NOISE, i]
    run_layers(
        settings, net, neurons[NOISY_THRESHOLD], scratch.spikes, scratch.flags[N_IN], scratch.workspace,
        neurons[NOISY_TRACE], counts,
    )  # fmt: skip
    first, _ = span(settings.all_layers, hidden, settings.n_last, 0)
    change = vectors[CHANGE]
    _output_change(
        state.bank, settings.recursive, neurons[NOISY_TRACE], scratch.features, first, hidden, n_classes, capacity,
        change,
    )  # fmt: skip
    if settings.learned_credit:
        learn_feedback(
            change, n_classes, sign, neurons[NOISE], neurons[SENSITIVITY], settings.noise, hidden,
            settings.feedback_rate, net.feedback,
        )  # fmt: skip
        return
    for c in range(n_classes):
        vectors[PROBA, c] = vectors[SCORES, c] + change[c]
    squared = settings.recursive or settings.regression
    moved = loss_and_error(squared, vectors[PROBA], vectors[TARGET], n_classes, change) - loss
    passes = settings.n_perturbations * (2 if settings.antithetic else 1)
    credit_perturbation(sign * moved / passes, neurons[NOISE], settings.noise, hidden, neurons[CREDIT])


@kernel
def _sense(net, hidden, neurons):
    """Write each neuron's sensitivity, large where the membrane's peak came near the threshold; clear the credit."""
    for i in range(hidden):
        distance = 1.0 + SLOPE * abs(np.float64(neurons[PEAK, i]) - np.float64(net.neurons[THRESHOLD, i]))
        neurons[SENSITIVITY, i] = np.float32(1.0 / (distance * distance))
        neurons[CREDIT, i] = np.float32(0.0)


@kernel
def _draw(settings, net, round_, noise):
    """Draw one perturbation of every layer."""
    for layer in range(settings.n_layers):
        n_post, start = net.layout[1, layer], net.layout[3, layer]
        key = settings.seed_key + layer
        draw_noise(key, round_, n_post, settings.cluster_size, settings.noise, noise[start : start + n_post])


@kernel
def assign_credit(settings, state, scratch, loss):
    """Run the perturbed passes and write the credit of every hidden neuron."""
    neurons, hidden, counts = scratch.workspace.neurons, settings.n_hidden, scratch.spikes.noisy_counts
    _sense(state.net, hidden, neurons)
    for _ in range(settings.n_perturbations):
        _draw(settings, state.net, state.counts[ROUND], neurons[NOISE])
        state.counts[ROUND] += 1
        sign = 1.0
        for _ in range(2 if settings.antithetic else 1):
            _perturb(settings, state, scratch, loss, sign, counts)
            sign = -sign
    if settings.learned_credit:
        n_classes, feedback = state.counts[N_CLASSES], state.net.feedback
        credit_learned(scratch.vectors[ERROR], n_classes, neurons[SENSITIVITY], feedback, hidden, neurons[CREDIT])


@kernel
def _input_cluster(settings, counts, net, clusters, features, trace):
    """Choose the sample's input cluster, founding it if need be; keep the Gram inverses fresh."""
    rank, used = settings.rank, counts[N_CLUSTERS]
    n_pre, column = net.layout[0, 0], settings.n_hidden - settings.n_last
    cluster = choose_cluster(trace, n_pre, column, clusters.directions, rank, used, settings.n_clusters)
    if cluster < 0:
        return -1
    if cluster == used:
        counts[N_CLUSTERS] += 1
        mean = clusters.directions[cluster * rank]
        for j in range(column):
            mean[j] = features[j]
        for j in range(n_pre):
            mean[column + j] = trace[j]
    clusters.sizes[cluster] += 1.0
    if cluster == used or counts[N_SEEN] % REFRESH == 0:
        n_rows = counts[N_CLUSTERS] * rank
        for layer in range(settings.n_layers):
            start = column if layer == 0 else net.layout[3, layer - 1]
            refresh(
                net.layout[0, layer], start, clusters.directions, n_rows, settings.ridge, clusters.inverse_gram[layer]
            )
    return cluster


@kernel
def change_hidden(settings, counts, net, clusters, features, spikes, n_in, workspace):
    """Change every layer's weights; the order of the layers does not matter."""
    trace = workspace.input_trace
    for j in range(net.layout[0, 0]):
        trace[j] = np.float32(0.0)
    trace_spikes(spikes.in_times, spikes.in_lines, n_in, settings.window, settings.tau_trace, trace)
    cluster = _input_cluster(settings, counts, net, clusters, features, trace) if settings.projects else -1
    n_rows = counts[N_CLUSTERS] * settings.rank
    for layer in range(settings.n_layers):
        column = settings.n_hidden - settings.n_last if layer == 0 else net.layout[3, layer - 1]
        before = trace if layer == 0 else features[column:]
        behind = features[net.layout[3, layer] :]
        change_layer(
            net, layer, column, before, behind, clusters, cluster, n_rows, settings.rank, workspace,
            settings.learning_rate, settings.homeostasis,
        )  # fmt: skip
