"""One sample: the only place that joins the stages, in one written order.

Predict: scale and encode -> clean pass -> member outputs -> stack -> gate.
Learn: the same (or what predict left for this very sample), then perturbed passes -> credit ->
projection and weight change of every layer -> readout -> stack -> statistics.
Everything learned is in `State`; `Scratch` is room. Stages are handed only the groups of arrays
they use, which also keeps compilation short.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from loco_stream import gate, readout
from loco_stream.encode import COUNT, HIGHEST, LOWEST, MEAN, SQUARES, encode_fields, encode_lines, scale, update_statistics
from loco_stream.kernels.simulate import lif_layer
from loco_stream.rule.credit import credit_learned, credit_perturbation, learn_feedback
from loco_stream.rule.loco import change_layer
from loco_stream.rule.perturb import draw_noise
from loco_stream.rule.project import REFRESH, choose_cluster, refresh
from loco_stream.state import (
    CHANGE,
    CLEAN_FOR,
    CREDIT,
    ERROR,
    GAINS_FOR,
    LAST_SEEN,
    LINEAR_LEAKS,
    LINEAR_PRIORS,
    MASKED,
    MEMBRANE,
    N_CLASSES,
    N_CLUSTERS,
    N_FEATURES,
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
    SHARPNESS,
    SKIPPED,
    STACK_PRIOR,
    TARGET,
    THRESHOLD,
)

# Stages are only ever called from compiled code: without wrappers for Python they compile in half the time.
_stage = njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)

__all__ = ["learn", "learn_block", "predict", "predict_block"]

SLOPE = 2.0  # how fast sensitivity falls with the distance between peak and threshold
TARGET_CLIP = 8.0  # standardised targets beyond are clipped
RANGE_MARGIN = 0.25  # of the target's range: how far beyond it a prediction may go


@_stage
def _trace_spikes(times, indices, n, window, tau, traces):  # type: ignore[no-untyped-def]
    """Add exp(-(window - t) / tau) for each spike; equal times share one exponential."""
    last, weight = np.float32(-1.0), np.float32(0.0)
    for k in range(n):
        if times[k] != last:
            last = times[k]
            weight = np.float32(math.exp((np.float64(last) - window) / tau))
        traces[indices[k]] += weight


@_stage
def _run_layers(net, thresholds, spikes, n_in, neurons, window, tau, tau_trace, traces, counts):  # type: ignore[no-untyped-def]
    """Run the hidden layers on the encoded spikes; write all hidden neurons' traces and the layers' spike counts."""
    times, indices, n = spikes.in_times, spikes.in_lines, n_in
    membrane, peak = neurons[MEMBRANE], neurons[PEAK]
    for layer in range(net.layout.shape[1]):
        n_post, offset, start = net.layout[1, layer], net.layout[2, layer], net.layout[3, layer]
        stop = start + n_post
        out_times, out_indices = spikes.times[layer & 1], spikes.indices[layer & 1]
        n = lif_layer(
            times, indices, n, net.weights, offset, n_post, tau, thresholds[start:stop], False,
            membrane[start:stop], peak[start:stop], out_times, out_indices,
        )  # fmt: skip
        times, indices = out_times, out_indices
        for i in range(start, stop):
            traces[i] = np.float32(0.0)
        _trace_spikes(times, indices, n, window, tau_trace, traces[start:stop])
        counts[layer] = n


@_stage
def _is_cached(x, row, n, cached_for, n_seen):  # type: ignore[no-untyped-def]
    """Return whether scratch holds the pass of this very row under these very weights."""
    if cached_for != n_seen:
        return False
    for f in range(n):
        a, b = x[f], row[f]
        if not (a == b or (a != a and b != b)):
            return False
    return True


@_stage
def _encode(settings, statistics, spikes, x, n_features, row, scaled):  # type: ignore[no-untyped-def]
    """Scale and encode a row, remembering it; return the number of input spikes."""
    for f in range(n_features):
        row[f] = x[f]
    scale(x, n_features, statistics, scaled)
    if settings.n_fields > 1:
        return encode_fields(
            x, scaled, n_features, settings.n_fields, settings.window,
            spikes.line_of, spikes.slot_of, spikes.in_times, spikes.in_lines,
        )  # fmt: skip
    return encode_lines(
        x, statistics, n_features, settings.line_threshold, settings.window,
        spikes.line_of, spikes.slot_of, spikes.in_times, spikes.in_lines,
    )  # fmt: skip


@_stage
def _span(all_layers, n_hidden, n_last, n_features):  # type: ignore[no-untyped-def]
    """Return where the readout's inputs start in the feature vector, and their number."""
    if all_layers:
        return 0, n_hidden + 1 + n_features
    return n_hidden - n_last, n_last + 1


@_stage
def _speak(bank, features, first, n_inputs, hidden, n_features, answers):  # type: ignore[no-untyped-def]
    """Write the outputs of every member."""
    readout.outputs(bank.traces, n_inputs, bank.traces.shape[1], features, first, answers.outputs)
    columns = bank.linear.shape[1]
    if columns > 0:
        readout.outputs(bank.linear, n_features + 1, columns, features, hidden, answers.linear_outputs)


@_stage
def _clean_pass(settings, state, scratch, x):  # type: ignore[no-untyped-def]
    """Encode `x`, run the net and the readout's members, unless scratch holds just that already."""
    n_features, n_seen = state.counts[N_FEATURES], state.counts[N_SEEN]
    flags, z, hidden = scratch.flags, scratch.features, settings.n_hidden
    if _is_cached(x, scratch.row, n_features, flags[CLEAN_FOR], n_seen):
        return
    flags[GAINS_FOR] = -1
    flags[N_IN] = _encode(settings, state.statistics, scratch.spikes, x, n_features, scratch.row, scratch.scaled)
    _run_layers(
        state.net, state.net.neurons[THRESHOLD], scratch.spikes, flags[N_IN], scratch.room.neurons,
        settings.window, settings.tau, settings.tau_trace, z, scratch.spikes.counts,
    )  # fmt: skip
    z[hidden] = np.float32(1.0)
    for f in range(n_features):
        z[hidden + 1 + f] = scratch.scaled[f]
    first, n_inputs = _span(settings.all_layers, hidden, settings.n_last, n_features)
    _speak(state.bank, z, first, n_inputs, hidden, n_features, scratch.answers)
    flags[CLEAN_FOR] = n_seen


@_stage
def _gains(bank, features, first, n_inputs, hidden, n_features, answers):  # type: ignore[no-untyped-def]
    """Write every recursive member's gain and what it says of the input's novelty."""
    shares, n_trace = answers.shares, bank.projectors.shape[0]
    for m in range(n_trace):
        q, square = readout.gain(bank.projectors[m], n_inputs, features, first, answers.gains[m])
        shares[0, m] = q
        shares[1, m] = q / (bank.members[1, m] * square)
    for m in range(bank.linear_projectors.shape[0]):
        q, _ = readout.gain(bank.linear_projectors[m], n_features + 1, features, hidden, answers.linear_gains[m])
        shares[0, n_trace + m] = q


@_stage
def _ensure_gains(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Make sure that the gains for the sample in scratch are there."""
    n_features, n_seen = state.counts[N_FEATURES], state.counts[N_SEEN]
    if settings.recursive and scratch.flags[GAINS_FOR] != n_seen:
        hidden = settings.n_hidden
        first, n_inputs = _span(settings.all_layers, hidden, settings.n_last, n_features)
        _gains(state.bank, scratch.features, first, n_inputs, hidden, n_features, scratch.answers)
        scratch.flags[GAINS_FOR] = n_seen


@_stage
def _combine(bank, answers, recursive, n_classes, capacity, scores):  # type: ignore[no-untyped-def]
    """Write the combined output of each class, before gate and calibration."""
    if recursive:
        readout.stacked(
            answers.outputs, answers.linear_outputs, bank.projectors.shape[0], bank.linear_projectors.shape[0],
            capacity, n_classes, bank.stack, scores,
        )  # fmt: skip
        return
    for c in range(n_classes):
        scores[c] = np.float64(answers.outputs[c])


@_stage
def _value(target, score):  # type: ignore[no-untyped-def]
    """Return a regression output in the target's units, bounded by its range and a margin."""
    if target[COUNT, 0] == 0.0:
        return 0.0
    spread = math.sqrt(target[SQUARES, 0] / target[COUNT, 0])
    margin = RANGE_MARGIN * (target[HIGHEST, 0] - target[LOWEST, 0])
    value = target[MEAN, 0] + spread * score
    if not math.isfinite(value):
        return target[MEAN, 0]
    return min(max(value, target[LOWEST, 0] - margin), target[HIGHEST, 0] + margin)


@_stage
def _is_guarded(settings, state):  # type: ignore[no-untyped-def]
    """Return whether memory is to be guarded: a known class is dormant, and its readout must neither be outvoted nor
    go stale because the hidden layers move."""
    if not settings.recursive or settings.regression or settings.retention == 0.0:
        return False
    return gate.any_dormant(state.classes, state.counts[N_CLASSES], state.counts[N_SEEN])


@njit(cache=True)
def predict(settings, state, scratch, x):  # type: ignore[no-untyped-def]
    """Predict one row: probabilities in `scratch.vectors[PROBA]`; return the best slot (-1: none known) or the value."""
    _clean_pass(settings, state, scratch, x)
    n_classes, capacity = state.counts[N_CLASSES], state.classes.shape[1]
    scores, proba = scratch.vectors[SCORES], scratch.vectors[PROBA]
    if settings.regression:
        _combine(state.bank, scratch.answers, settings.recursive, 1, capacity, scores)
        return _value(state.target, scores[0])
    if n_classes == 0:
        return -1.0
    _combine(state.bank, scratch.answers, settings.recursive, n_classes, capacity, scores)
    sharpness = state.scalars[SHARPNESS] if settings.recursive else 1.0
    if _is_guarded(settings, state):
        _ensure_gains(settings, state, scratch)
        newness = gate.novelty(scratch.answers.shares, state.bank.members, state.novelty)
        gate.blend(
            scores, scratch.answers.outputs, n_classes, state.classes, state.counts[N_SEEN], newness, settings.retention
        )
    gate.to_proba(scores, sharpness, n_classes, proba)
    best = 0
    for c in range(1, n_classes):
        if proba[c] > proba[best]:
            best = c
    return float(best)


@njit(cache=True)
def predict_block(settings, state, scratch, rows, answers, proba):  # type: ignore[no-untyped-def]
    """Predict rows (n, features); `answers` (n,) gets slots or values, `proba` (n, >= classes) probabilities."""
    for i in range(rows.shape[0]):
        answers[i] = predict(settings, state, scratch, rows[i])
        if not settings.regression:
            for c in range(state.counts[N_CLASSES]):
                proba[i, c] = scratch.vectors[PROBA, c]


@_stage
def _set_target(regression, statistics, label, value, n_classes, target):  # type: ignore[no-untyped-def]
    """Write the target of each output: one-hot, or the standardised value."""
    for c in range(n_classes):
        target[c] = 0.0
    if not regression:
        target[label] = 1.0
        return
    spread = math.sqrt(statistics[SQUARES, 0] / max(statistics[COUNT, 0], 1.0))
    z = (value - statistics[MEAN, 0]) / spread if spread > 0.0 else 0.0
    target[0] = min(max(z, -TARGET_CLIP), TARGET_CLIP)


@_stage
def _loss_and_error(squared, scores, target, n_classes, error):  # type: ignore[no-untyped-def]
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


@_stage
def _output_change(bank, recursive, noisy, clean, first, hidden, n_classes, capacity, change):  # type: ignore[no-untyped-def]
    """Write what the perturbation changed in the combined output."""
    for c in range(n_classes):
        change[c] = 0.0
    members = bank.traces.shape[1] // capacity
    for i in range(first, hidden):
        moved = np.float64(noisy[i]) - np.float64(clean[i])
        if moved != 0.0:
            row = bank.traces[i - first]
            for m in range(members):
                lead = moved * (bank.stack[m] if recursive else 1.0)
                for c in range(n_classes):
                    change[c] += lead * np.float64(row[m * capacity + c])


@_stage
def _perturb(settings, state, scratch, loss, sign, counts):  # type: ignore[no-untyped-def]
    """One perturbed pass of the same spikes: feedback learned, or the loss change turned into credit."""
    hidden, n_classes, capacity = settings.n_hidden, state.counts[N_CLASSES], state.classes.shape[1]
    neurons, vectors, net = scratch.room.neurons, scratch.vectors, state.net
    for i in range(hidden):
        neurons[NOISY_THRESHOLD, i] = net.neurons[THRESHOLD, i] - np.float32(sign) * neurons[NOISE, i]
    _run_layers(
        net, neurons[NOISY_THRESHOLD], scratch.spikes, scratch.flags[N_IN], neurons,
        settings.window, settings.tau, settings.tau_trace, neurons[NOISY_TRACE], counts,
    )  # fmt: skip
    first, _ = _span(settings.all_layers, hidden, settings.n_last, 0)
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
    moved = _loss_and_error(squared, vectors[PROBA], vectors[TARGET], n_classes, change) - loss
    passes = settings.n_perturbations * (2 if settings.antithetic else 1)
    credit_perturbation(sign * moved / passes, neurons[NOISE], settings.noise, hidden, neurons[CREDIT])


@_stage
def _sense(net, hidden, neurons):  # type: ignore[no-untyped-def]
    """Write each neuron's sensitivity, large where the membrane's peak came near the threshold; clear the credit."""
    for i in range(hidden):
        distance = 1.0 + SLOPE * abs(np.float64(neurons[PEAK, i]) - np.float64(net.neurons[THRESHOLD, i]))
        neurons[SENSITIVITY, i] = np.float32(1.0 / (distance * distance))
        neurons[CREDIT, i] = np.float32(0.0)


@_stage
def _draw(settings, net, round_, noise):  # type: ignore[no-untyped-def]
    """Draw one perturbation of every layer."""
    for layer in range(settings.n_layers):
        n_post, start = net.layout[1, layer], net.layout[3, layer]
        key = settings.seed_key + layer
        draw_noise(key, round_, n_post, settings.cluster_size, settings.noise, noise[start : start + n_post])


@_stage
def _assign_credit(settings, state, scratch, loss):  # type: ignore[no-untyped-def]
    """Run the perturbed passes and write the credit of every hidden neuron."""
    neurons, hidden, counts = scratch.room.neurons, settings.n_hidden, scratch.spikes.noisy_counts
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


@_stage
def _input_cluster(settings, counts, net, clusters, features, trace):  # type: ignore[no-untyped-def]
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
            refresh(net.layout[0, layer], start, clusters.directions, n_rows, settings.ridge, clusters.inverse_gram[layer])
    return cluster


@_stage
def _change_hidden(settings, counts, net, clusters, features, spikes, n_in, room):  # type: ignore[no-untyped-def]
    """Change every layer's weights; the order of the layers does not matter."""
    trace = room.input_trace
    for j in range(net.layout[0, 0]):
        trace[j] = np.float32(0.0)
    _trace_spikes(spikes.in_times, spikes.in_lines, n_in, settings.window, settings.tau_trace, trace)
    cluster = _input_cluster(settings, counts, net, clusters, features, trace) if settings.projects else -1
    n_rows = counts[N_CLUSTERS] * settings.rank
    for layer in range(settings.n_layers):
        column = settings.n_hidden - settings.n_last if layer == 0 else net.layout[3, layer - 1]
        before = trace if layer == 0 else features[column:]
        behind = features[net.layout[3, layer] :]
        change_layer(
            net, layer, column, before, behind, clusters, cluster, n_rows, settings.rank, room,
            settings.learning_rate, settings.homeostasis,
        )  # fmt: skip


@_stage
def _open_classes(classes, n_classes, n_seen, leak, regression, open_):  # type: ignore[no-untyped-def]
    """Write which classes' weights a member may change: a leaky one leaves absent classes alone."""
    for c in range(n_classes):
        absent = n_seen - classes[LAST_SEEN, c]
        open_[c] = 1.0 if regression or leak == 0.0 or absent < readout.RECENT_SAMPLES else 0.0


@_stage
def _change_bank(bank, answers, target, classes, n_classes, n_seen, n_inputs, n_features, regression):  # type: ignore[no-untyped-def]
    """Update every member of the recursive readout, then the stack."""
    capacity, open_ = classes.shape[1], answers.open_classes
    n_trace, n_linear = bank.projectors.shape[0], bank.linear_projectors.shape[0]
    for m in range(n_trace):
        leak, prior = bank.members[0, m], bank.members[1, m]
        _open_classes(classes, n_classes, n_seen, leak, regression, open_)
        readout.recursive_update(
            bank.projectors[m], bank.traces, m * capacity, n_inputs, answers.gains[m], answers.shares[0, m],
            leak, prior, answers.outputs, target, open_, n_classes,
        )  # fmt: skip
    for m in range(n_linear):
        _open_classes(classes, n_classes, n_seen, LINEAR_LEAKS[m], regression, open_)
        readout.recursive_update(
            bank.linear_projectors[m], bank.linear, m * capacity, n_features + 1, answers.linear_gains[m],
            answers.shares[0, n_trace + m], LINEAR_LEAKS[m], LINEAR_PRIORS[m], answers.linear_outputs, target, open_,
            n_classes,
        )  # fmt: skip
    readout.stack_update(
        answers.outputs, answers.linear_outputs, n_trace, n_linear, capacity, target, n_classes,
        bank.stack, bank.stack_projector, answers.stack_gain, STACK_PRIOR,
    )  # fmt: skip


@_stage
def _is_sound(error, n_classes, shares, credit):  # type: ignore[no-untyped-def]
    """Return whether the numbers of this step may reach a weight."""
    total = 0.0
    for c in range(n_classes):
        total += abs(error[c])
    for m in range(shares.shape[1]):
        if shares[0, m] < 0.0:
            return False
        total += shares[0, m]
    for i in range(credit.shape[0]):
        total += abs(np.float64(credit[i]))
    return math.isfinite(total)


@_stage
def _change_readout(settings, state, scratch, label):  # type: ignore[no-untyped-def]
    """Update the readout and what the gate knows."""
    n_features, n_classes, n_seen = state.counts[N_FEATURES], state.counts[N_CLASSES], state.counts[N_SEEN]
    vectors, answers, bank = scratch.vectors, scratch.answers, state.bank
    first, n_inputs = _span(settings.all_layers, settings.n_hidden, settings.n_last, n_features)
    if not settings.recursive:
        readout.delta_update(
            bank.traces, n_inputs, scratch.features, first, vectors[ERROR], n_classes, settings.readout_rate
        )
        return
    _change_bank(
        bank, answers, vectors[TARGET], state.classes, n_classes, n_seen, n_inputs, n_features, settings.regression
    )
    gate.learn_novelty(answers.shares, state.novelty, n_seen)
    if not settings.regression:
        state.scalars[SHARPNESS] = gate.learn_sharpness(vectors[SCORES], n_classes, label, state.scalars[SHARPNESS])


@njit(cache=True)
def learn(settings, state, scratch, x, label, value):  # type: ignore[no-untyped-def]
    """Learn one row: `label` is the class's slot (classification), `value` the target (regression)."""
    _clean_pass(settings, state, scratch, x)
    counts, vectors = state.counts, scratch.vectors
    counts[N_CLASSES] = 1 if settings.regression else max(counts[N_CLASSES], label + 1)
    n_classes, capacity = counts[N_CLASSES], state.classes.shape[1]
    _set_target(settings.regression, state.target, label, value, n_classes, vectors[TARGET])
    if not settings.regression:
        gate.learn_classes(state.classes, n_classes, label, counts[N_SEEN])
    _combine(state.bank, scratch.answers, settings.recursive, n_classes, capacity, vectors[SCORES])
    squared = settings.recursive or settings.regression
    loss = _loss_and_error(squared, vectors[SCORES], vectors[TARGET], n_classes, vectors[ERROR])
    _ensure_gains(settings, state, scratch)
    plastic = settings.learns and not _is_guarded(settings, state)
    if plastic:
        _assign_credit(settings, state, scratch, loss)
    if _is_sound(vectors[ERROR], n_classes, scratch.answers.shares, scratch.room.neurons[CREDIT]):
        if plastic:
            n_in = scratch.flags[N_IN]
            _change_hidden(
                settings, counts, state.net, state.clusters, scratch.features, scratch.spikes, n_in, scratch.room
            )
        _change_readout(settings, state, scratch, label)
    else:
        counts[SKIPPED] += 1
    counts[MASKED] += update_statistics(x, counts[N_FEATURES], state.statistics, scratch.scaled)
    if settings.regression:
        _learn_target(vectors, value, state.target)
    counts[N_SEEN] += 1


@_stage
def _learn_target(vectors, value, statistics):  # type: ignore[no-untyped-def]
    """Take a target into its own running statistics."""
    vectors[CHANGE, 0] = value
    update_statistics(vectors[CHANGE], 1, statistics, vectors[TARGET])


@njit(cache=True)
def learn_block(settings, state, scratch, rows, labels, values, predict_first, answers):  # type: ignore[no-untyped-def]
    """Learn rows in order, each predicted first into `answers` if asked: the same bytes as one by one."""
    for i in range(rows.shape[0]):
        if predict_first:
            answers[i] = predict(settings, state, scratch, rows[i])
        learn(settings, state, scratch, rows[i], labels[i], values[i])
