"""One sample: the only place that joins the stages, in one written order.

Predict: scale and encode -> clean pass -> member outputs -> stack -> gate.
Learn: the same (or what predict left for this very sample), then perturbed passes -> credit ->
projection and weight change of every layer -> readout -> stack -> statistics.
Everything learned is in `State`; `Scratch` is room.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from loco_stream import gate, readout
from loco_stream.encode import HIGHEST, LOWEST, MEAN, SQUARES, COUNT, encode_fields, encode_lines, scale, update_statistics
from loco_stream.kernels.simulate import lif_layer
from loco_stream.rule.credit import credit_learned, credit_perturbation, learn_feedback
from loco_stream.rule.loco import change_layer, refresh_layer
from loco_stream.rule.perturb import draw_noise
from loco_stream.rule.project import REFRESH, choose_cluster
from loco_stream.state import (
    CLEAN_FOR,
    CREDIT,
    GAINS_FOR,
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
    ROUND,
    SENSITIVITY,
    SHARPNESS,
    SKIPPED,
    STACK_PRIOR,
    THRESHOLD,
)

__all__ = ["learn", "learn_block", "predict", "predict_block"]

SLOPE = 2.0  # how fast sensitivity falls with the distance between peak and threshold
TARGET_CLIP = 8.0  # standardised targets beyond are clipped
RANGE_MARGIN = 0.25  # of the target's range: how far beyond it a prediction may go


@njit(cache=True)
def _trace_spikes(times, indices, n, window, tau, traces):  # type: ignore[no-untyped-def]
    """Add exp(-(window - t) / tau) for each spike; equal times share one exponential."""
    last, weight = np.float32(-1.0), np.float32(0.0)
    for k in range(n):
        if times[k] != last:
            last = times[k]
            weight = np.float32(math.exp((np.float64(last) - window) / tau))
        traces[indices[k]] += weight


@njit(cache=True)
def _run_layers(settings, state, scratch, thresholds, traces):  # type: ignore[no-untyped-def]
    """Run the hidden layers on the encoded spikes; write the traces of all hidden neurons."""
    times, indices, n = scratch.in_times, scratch.in_lines, scratch.flags[N_IN]
    membrane, peak = scratch.neurons[MEMBRANE], scratch.neurons[PEAK]
    for i in range(settings.n_hidden):
        traces[i] = np.float32(0.0)
    for layer in range(settings.n_layers):
        n_post, offset, start = state.layout[1, layer], state.layout[2, layer], state.layout[3, layer]
        stop = start + n_post
        out_times, out_indices = scratch.times[layer & 1], scratch.indices[layer & 1]
        n = lif_layer(
            times, indices, n, state.weights, offset, n_post, settings.tau, thresholds[start:stop], False,
            membrane[start:stop], peak[start:stop], out_times, out_indices,
        )  # fmt: skip
        times, indices = out_times, out_indices
        _trace_spikes(times, indices, n, settings.window, settings.tau_trace, traces[start:stop])
        scratch.spike_counts[layer] = n


@njit(cache=True)
def _same_row(x, row, n):  # type: ignore[no-untyped-def]
    for f in range(n):
        a, b = x[f], row[f]
        if not (a == b or (a != a and b != b)):
            return False
    return True


@njit(cache=True)
def _clean_pass(settings, state, scratch, x):  # type: ignore[no-untyped-def]
    """Encode `x`, run the net and the readout's members, unless scratch holds just that already."""
    n_features, n_seen = state.counts[N_FEATURES], state.counts[N_SEEN]
    if scratch.flags[CLEAN_FOR] == n_seen and _same_row(x, scratch.row, n_features):
        return
    scratch.flags[GAINS_FOR] = -1
    scratch.row[:n_features] = x[:n_features]
    scale(x, n_features, state.statistics, scratch.scaled)
    room = (scratch.line_of, scratch.slot_of, scratch.in_times, scratch.in_lines)
    if settings.n_fields > 1:
        n = encode_fields(x, scratch.scaled, n_features, settings.n_fields, settings.window, *room)
    else:
        n = encode_lines(x, state.statistics, n_features, settings.line_threshold, settings.window, *room)
    scratch.flags[N_IN] = n
    hidden = settings.n_hidden
    z = scratch.features
    _run_layers(settings, state, scratch, state.neurons[THRESHOLD], z)
    z[hidden] = np.float32(1.0)
    for f in range(n_features):
        z[hidden + 1 + f] = scratch.scaled[f]
    first, n_inputs = _readout_span(settings, n_features)
    columns = state.readout.shape[1]
    readout.outputs(state.readout, n_inputs, columns, z, first, scratch.outputs)
    if settings.n_linear > 0:
        readout.outputs(
            state.linear, n_features + 1, state.linear.shape[1], z, hidden, scratch.linear_outputs
        )
    scratch.flags[CLEAN_FOR] = n_seen


@njit(cache=True)
def _readout_span(settings, n_features):  # type: ignore[no-untyped-def]
    """Return where the readout's inputs start in the feature vector, and their number."""
    if settings.all_layers:
        return 0, settings.n_hidden + 1 + n_features
    return settings.n_hidden - settings.n_last, settings.n_last + 1


@njit(cache=True)
def _gains(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Make sure that the recursive members' gains for the sample in scratch are there."""
    if scratch.flags[GAINS_FOR] == state.counts[N_SEEN]:
        return
    n_features = state.counts[N_FEATURES]
    first, n_inputs = _readout_span(settings, n_features)
    shares = scratch.shares
    for m in range(settings.n_trace):
        q, square = readout.gain(state.projectors[m], n_inputs, scratch.features, first, scratch.gains[m])
        shares[0, m] = q
        shares[1, m] = q / (state.members[1, m] * square)
    for m in range(settings.n_linear):
        q, _ = readout.gain(
            state.linear_projectors[m], n_features + 1, scratch.features, settings.n_hidden, scratch.linear_gains[m]
        )
        shares[0, settings.n_trace + m] = q
    scratch.flags[GAINS_FOR] = state.counts[N_SEEN]


@njit(cache=True)
def _scores(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Write the combined output of each class, before gate and calibration."""
    n_classes, capacity = state.counts[N_CLASSES], state.classes.shape[1]
    if settings.recursive:
        readout.stacked(
            scratch.outputs, scratch.linear_outputs, settings.n_trace, settings.n_linear, capacity, n_classes,
            state.stack, scratch.scores,
        )  # fmt: skip
    else:
        for c in range(n_classes):
            scratch.scores[c] = np.float64(scratch.outputs[c])


@njit(cache=True)
def _proba(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Turn the scores in scratch into probabilities; the gate opens while a known class is dormant."""
    n_classes, n_seen = state.counts[N_CLASSES], state.counts[N_SEEN]
    scores, sharpness = scratch.scores, state.scalars[SHARPNESS]
    if settings.recursive:
        if settings.retention > 0.0 and gate.any_dormant(state.classes, n_classes, n_seen):
            _gains(settings, state, scratch)
            newness = gate.novelty(scratch.shares[1], state.members[0], state.novelty, settings.n_trace)
            gate.shape_scores(
                scores, scratch.outputs, n_classes, state.classes, n_seen, newness, settings.retention, sharpness
            )
        else:
            for c in range(n_classes):
                scores[c] *= sharpness
    gate.to_proba(scores, n_classes, scratch.proba)


@njit(cache=True)
def _value(state, score):  # type: ignore[no-untyped-def]
    """Return a regression output in the target's units, bounded by its range and a margin."""
    target = state.target
    if target[COUNT, 0] == 0.0:
        return 0.0
    spread = math.sqrt(target[SQUARES, 0] / target[COUNT, 0])
    margin = RANGE_MARGIN * (target[HIGHEST, 0] - target[LOWEST, 0])
    value = target[MEAN, 0] + spread * score
    if not math.isfinite(value):
        return target[MEAN, 0]
    return min(max(value, target[LOWEST, 0] - margin), target[HIGHEST, 0] + margin)


@njit(cache=True)
def predict(settings, state, scratch, x):  # type: ignore[no-untyped-def]
    """Predict one row: probabilities in `scratch.proba`; return the best class's slot (-1: none known) or the value."""
    _clean_pass(settings, state, scratch, x)
    if settings.regression:
        _scores(settings, state, scratch)
        return _value(state, scratch.scores[0])
    n_classes = state.counts[N_CLASSES]
    if n_classes == 0:
        return -1.0
    _scores(settings, state, scratch)
    _proba(settings, state, scratch)
    best = 0
    for c in range(1, n_classes):
        if scratch.proba[c] > scratch.proba[best]:
            best = c
    return float(best)


@njit(cache=True)
def predict_block(settings, state, scratch, rows, answers, proba):  # type: ignore[no-untyped-def]
    """Predict rows (n, features); `answers` (n,) gets slots or values, `proba` (n, >= classes) probabilities."""
    n_classes = state.counts[N_CLASSES]
    for i in range(rows.shape[0]):
        answers[i] = predict(settings, state, scratch, rows[i])
        if not settings.regression:
            proba[i, :n_classes] = scratch.proba[:n_classes]


@njit(cache=True)
def _set_target(settings, state, scratch, label, value):  # type: ignore[no-untyped-def]
    """Write the target of each output: one-hot, or the standardised value."""
    for c in range(state.counts[N_CLASSES]):
        scratch.target[c] = 0.0
    if not settings.regression:
        scratch.target[label] = 1.0
        return
    spread = math.sqrt(state.target[SQUARES, 0] / max(state.target[COUNT, 0], 1.0))
    z = (value - state.target[MEAN, 0]) / spread if spread > 0.0 else 0.0
    scratch.target[0] = min(max(z, -TARGET_CLIP), TARGET_CLIP)


@njit(cache=True)
def _loss_and_error(settings, scores, target, n_classes, error):  # type: ignore[no-untyped-def]
    """Return the loss and write its slope: softmax cross-entropy with the delta readout, else half squared error."""
    if settings.recursive or settings.regression:
        loss = 0.0
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


@njit(cache=True)
def _output_change(settings, state, scratch, change):  # type: ignore[no-untyped-def]
    """Write what the perturbation changed in the combined output."""
    n_classes, capacity = state.counts[N_CLASSES], state.classes.shape[1]
    first, _ = _readout_span(settings, 0)
    noisy, clean = scratch.neurons[NOISY_TRACE], scratch.features
    for c in range(n_classes):
        change[c] = 0.0
    for i in range(first, settings.n_hidden):
        moved = np.float64(noisy[i]) - np.float64(clean[i])
        if moved != 0.0:
            row = state.readout[i - first]
            for m in range(settings.n_trace):
                lead = moved * (state.stack[m] if settings.recursive else 1.0)
                for c in range(n_classes):
                    change[c] += lead * np.float64(row[m * capacity + c])


@njit(cache=True)
def _perturb(settings, state, scratch, loss, sign):  # type: ignore[no-untyped-def]
    """One perturbed pass of the same spikes: feedback learned, or the loss change turned into credit."""
    hidden, n_classes = settings.n_hidden, state.counts[N_CLASSES]
    room = scratch.neurons
    for i in range(hidden):
        room[NOISY_THRESHOLD, i] = state.neurons[THRESHOLD, i] - np.float32(sign) * room[NOISE, i]
    _run_layers(settings, state, scratch, room[NOISY_THRESHOLD], room[NOISY_TRACE])
    _output_change(settings, state, scratch, scratch.change)
    if settings.learned_credit:
        for c in range(n_classes):
            scratch.change[c] *= sign
        learn_feedback(
            scratch.change, n_classes, room[NOISE], room[SENSITIVITY], settings.noise, hidden, state.feedback
        )
        return
    for c in range(n_classes):
        scratch.proba[c] = scratch.scores[c] + scratch.change[c]
    moved = _loss_and_error(settings, scratch.proba, scratch.target, n_classes, scratch.change) - loss
    passes = settings.n_perturbations * (2 if settings.antithetic else 1)
    credit_perturbation(sign * moved / passes, room[NOISE], settings.noise, hidden, room[CREDIT])


@njit(cache=True)
def _assign_credit(settings, state, scratch, loss):  # type: ignore[no-untyped-def]
    """Run the perturbed passes and write the credit of every hidden neuron."""
    hidden, room = settings.n_hidden, scratch.neurons
    for i in range(hidden):
        distance = 1.0 + SLOPE * abs(np.float64(room[PEAK, i]) - np.float64(state.neurons[THRESHOLD, i]))
        room[SENSITIVITY, i] = np.float32(1.0 / (distance * distance))
        room[CREDIT, i] = np.float32(0.0)
    spikes = scratch.spike_counts.copy()
    for _ in range(settings.n_perturbations):
        for layer in range(settings.n_layers):
            start, n_post = state.layout[3, layer], state.layout[1, layer]
            key = settings.seed_key + layer
            draw_noise(key, state.counts[ROUND], n_post, settings.cluster_size, settings.noise, room[NOISE, start:])
        state.counts[ROUND] += 1
        _perturb(settings, state, scratch, loss, 1.0)
        if settings.antithetic:
            _perturb(settings, state, scratch, loss, -1.0)
    scratch.spike_counts[:] = spikes
    if settings.learned_credit:
        n_classes = state.counts[N_CLASSES]
        credit_learned(scratch.error, n_classes, room[SENSITIVITY], state.feedback, hidden, room[CREDIT])


@njit(cache=True)
def _input_cluster(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Choose the sample's input cluster, founding it if need be; keep the Gram inverses fresh."""
    n_pre, rank = state.layout[0, 0], settings.rank
    trace = scratch.input_trace
    for j in range(n_pre):
        trace[j] = np.float32(0.0)
    _trace_spikes(
        scratch.in_times, scratch.in_lines, scratch.flags[N_IN], settings.window, settings.tau_trace, trace
    )
    if not settings.projects:
        return -1
    column = settings.n_hidden - settings.n_last
    used = state.counts[N_CLUSTERS]
    cluster = choose_cluster(trace, n_pre, column, state.directions, rank, used, settings.n_clusters)
    if cluster < 0:
        return -1
    if cluster == used:
        state.counts[N_CLUSTERS] += 1
        mean = state.directions[cluster * rank]
        mean[:column] = scratch.features[:column]
        mean[column : column + n_pre] = trace[:n_pre]
    state.cluster_counts[cluster] += 1.0
    if cluster == used or state.counts[N_SEEN] % REFRESH == 0:
        for layer in range(settings.n_layers):
            refresh_layer(settings, state, layer, column if layer == 0 else state.layout[3, layer - 1])
    return cluster


@njit(cache=True)
def _change_hidden(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Change every layer's weights; the order of the layers does not matter."""
    cluster = _input_cluster(settings, state, scratch)
    room = scratch.neurons
    for layer in range(settings.n_layers):
        start, n_post = state.layout[3, layer], state.layout[1, layer]
        if layer == 0:
            column, trace = settings.n_hidden - settings.n_last, scratch.input_trace
        else:
            column = state.layout[3, layer - 1]
            trace = scratch.features[column:]
        change_layer(
            settings, state, layer, column, trace, cluster, scratch.projected, scratch.coefficients,
            room[CREDIT, start : start + n_post], room[MEMBRANE, start : start + n_post],
            scratch.features[start : start + n_post],
        )  # fmt: skip


@njit(cache=True)
def _change_readout(settings, state, scratch):  # type: ignore[no-untyped-def]
    """Update every member of the readout, then the stack."""
    n_features, n_classes = state.counts[N_FEATURES], state.counts[N_CLASSES]
    first, n_inputs = _readout_span(settings, n_features)
    if not settings.recursive:
        readout.delta_update(state.readout, n_inputs, scratch.features, first, scratch.error, n_classes)
        return
    capacity, n_seen, open_ = state.classes.shape[1], state.counts[N_SEEN], scratch.open_classes
    for m in range(settings.n_trace + settings.n_linear):
        trace_member = m < settings.n_trace
        leak = state.members[0, m] if trace_member else LINEAR_LEAKS[m - settings.n_trace]
        for c in range(n_classes):
            absent = n_seen - state.classes[1, c]
            open_[c] = 1.0 if settings.regression or leak == 0.0 or absent < readout.RECENT_SAMPLES else 0.0
        q = scratch.shares[0, m]
        if trace_member:
            readout.recursive_update(
                state.projectors[m], state.readout, m * capacity, n_inputs, scratch.gains[m], q, leak,
                state.members[1, m], scratch.outputs, scratch.target, open_, n_classes,
            )  # fmt: skip
        else:
            b = m - settings.n_trace
            readout.recursive_update(
                state.linear_projectors[b], state.linear, b * capacity, n_features + 1, scratch.linear_gains[b], q,
                leak, LINEAR_PRIORS[b], scratch.linear_outputs, scratch.target, open_, n_classes,
            )  # fmt: skip
    readout.stack_update(
        scratch.outputs, scratch.linear_outputs, settings.n_trace, settings.n_linear, capacity, scratch.target,
        n_classes, state.stack, state.stack_projector, scratch.stack_gain, STACK_PRIOR,
    )  # fmt: skip


@njit(cache=True)
def _is_sound(settings, scratch, n_classes):  # type: ignore[no-untyped-def]
    """Return whether the numbers of this step may reach a weight."""
    for c in range(n_classes):
        if not math.isfinite(scratch.error[c]):
            return False
    if settings.recursive:
        for m in range(settings.n_trace + settings.n_linear):
            q = scratch.shares[0, m]
            if not math.isfinite(q) or q < 0.0:
                return False
    total = 0.0
    for i in range(settings.n_hidden):
        total += abs(np.float64(scratch.neurons[CREDIT, i]))
    return math.isfinite(total)


@njit(cache=True)
def learn(settings, state, scratch, x, label, value):  # type: ignore[no-untyped-def]
    """Learn one row: `label` is the class's slot (classification), `value` the target (regression)."""
    _clean_pass(settings, state, scratch, x)
    counts = state.counts
    if not settings.regression and label >= counts[N_CLASSES]:
        counts[N_CLASSES] = label + 1
    n_classes, n_seen = counts[N_CLASSES], counts[N_SEEN]
    _set_target(settings, state, scratch, label, value)
    if not settings.regression:
        gate.learn_classes(state.classes, n_classes, label, n_seen)
    _scores(settings, state, scratch)
    loss = _loss_and_error(settings, scratch.scores, scratch.target, n_classes, scratch.error)
    if settings.recursive:
        _gains(settings, state, scratch)
    if settings.learns:
        _assign_credit(settings, state, scratch, loss)
    if _is_sound(settings, scratch, n_classes):
        if settings.learns:
            _change_hidden(settings, state, scratch)
        _change_readout(settings, state, scratch)
        if settings.recursive:
            gate.learn_novelty(scratch.shares[1], state.novelty, settings.n_trace, n_seen)
        if settings.recursive and not settings.regression:
            sharpness = state.scalars[SHARPNESS]
            state.scalars[SHARPNESS] = gate.learn_sharpness(scratch.scores, n_classes, label, sharpness)
    else:
        counts[SKIPPED] += 1
    counts[MASKED] += update_statistics(x, counts[N_FEATURES], state.statistics, scratch.scaled)
    if settings.regression:
        _learn_target(state, scratch, value)
    counts[N_SEEN] += 1


@njit(cache=True)
def _learn_target(state, scratch, value):  # type: ignore[no-untyped-def]
    """Take a target into its own running statistics."""
    scratch.scaled_target[0] = np.float32(scratch.target[0])
    scratch.target[0] = value
    update_statistics(scratch.target, 1, state.target, scratch.scaled_target)


@njit(cache=True)
def learn_block(settings, state, scratch, rows, labels, values, predict_first, answers):  # type: ignore[no-untyped-def]
    """Learn rows in order, each predicted first into `answers` if asked: the same bytes as one by one."""
    for i in range(rows.shape[0]):
        if predict_first:
            answers[i] = predict(settings, state, scratch, rows[i])
        learn(settings, state, scratch, rows[i], labels[i], values[i])
