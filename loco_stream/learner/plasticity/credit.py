"""Credit: what each hidden neuron did to the outcome, from forward passes only.

A neuron is sensitive where it fired at this row, else not: its trace is graded in its drive, and
flat below its first spike; what the rows before left of it no longer depends on a weight.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream.learner.arrays.scratch import (
    CHANGE,
    CREDIT,
    ERROR,
    FRESH,
    N_IN,
    NOISE,
    ROOM,
    SCORES,
    TARGET,
)
from loco_stream.learner.arrays.state import BASELINE, N_CLASSES, N_POST, N_SEEN, ROUND, START
from loco_stream.learner.hidden import run_hidden
from loco_stream.learner.plasticity.noise import draw_noise
from loco_stream.learner.readout.ensemble import span
from loco_stream.learner.readout.log_loss import loss_of, weighted
from loco_stream.options import LEARNED, NEURON_CLUSTER, PERTURBATION, TRIAL

__all__ = ["assign_credit", "broadcast_error", "credit_change", "learn_feedback", "learn_from_loss"]

FEEDBACK_RATE = 0.03  # of the regression of output changes on noise
ALWAYS_UNTIL = 500  # rows; learned feedback is good enough then to perturb
EVERY = 4  # only one row in so many
LEAST_ERROR = (
    0.05  # added to the squared error that a step is divided by: rows that were right say little
)
BASELINE_FADE = 0.01  # of the mean change of the loss, which is no neuron's doing


@kernel
def credit_change(loss_change, noise, size, traces, n_neurons, credit):
    """Add the one-sample estimate of dLoss/d(drive).

    The loss change times the noise over its variance.
    """
    factor = np.float32(loss_change / (size * size))
    for i in range(n_neurons):
        if traces[i] > np.float32(0.0):
            credit[i] += factor * noise[i]


@kernel
def learn_feedback(
    change, n_classes, sign, noise, traces, size, n_neurons, n_learned, rate, feedback
):
    """Regress the change of the outputs on the noise, one normalised least-mean-squares step for the first `n_learned`.

    The feedback of a neuron that fires estimates d(output)/d(drive). What the estimate already
    predicts of the change is subtracted first, so that the noise of all other neurons, which grows
    with their number, fades as the estimate improves. (Lansdell, Prakash & Kording 2020 average
    noise times change without that; here it is one more broadcast sum.) `change` is overwritten by
    the rest; `sign` is -1 for the second pass of an antithetic pair.
    """
    n_firing = 0
    for i in range(n_neurons):
        if traces[i] > np.float32(0.0):
            n_firing += 1
            row = feedback[i]
            coefficient = sign * np.float64(noise[i])
            for c in range(n_classes):
                change[c] -= coefficient * np.float64(row[c])
    for c in range(n_classes):
        if not math.isfinite(change[c]):
            return  # a pass that overflowed teaches nothing
    step = rate / (size * size * (1.0 + rate * n_firing))
    for i in range(n_learned):
        if traces[i] > np.float32(0.0):
            row = feedback[i]
            coefficient = np.float32(step * sign * np.float64(noise[i]))
            for c in range(n_classes):
                row[c] += coefficient * np.float32(change[c])


@kernel
def learn_from_loss(rise, error, n_classes, sign, noise, traces, size, n_neurons, rate, feedback):
    """Regress the change of the loss on noise times error, one normalised least-mean-squares step.

    What noise does to the outputs does to the loss as much as the error says, so the loss alone,
    one number, teaches the same feedback as in `learn_feedback`: that is the paper's product of
    loss change and noise, averaged over rows.
    """
    predicted = 0.0
    n_firing = 0
    square = LEAST_ERROR
    for c in range(n_classes):
        square += error[c] * error[c]
    for i in range(n_neurons):
        if traces[i] > np.float32(0.0):
            n_firing += 1
            row = feedback[i]
            coefficient = sign * np.float64(noise[i])
            for c in range(n_classes):
                predicted += coefficient * np.float64(row[c]) * error[c]
    rest = rise - predicted
    if not math.isfinite(rest):
        return  # a pass that overflowed teaches nothing
    step = sign * rate * rest / (size * size * square * (1.0 + rate * n_firing))
    for i in range(n_neurons):
        if traces[i] > np.float32(0.0):
            row = feedback[i]
            coefficient = step * np.float64(noise[i])
            for c in range(n_classes):
                row[c] += np.float32(coefficient * error[c])


@kernel
def broadcast_error(error, n_classes, feedback, traces, n_neurons, credit):
    """Write feedback .

    error where a neuron fired: one broadcast vector reaches every neuron at once.
    """
    for i in range(n_neurons):
        total = np.float32(0.0)
        if traces[i] > np.float32(0.0):
            row = feedback[i]
            for c in range(n_classes):
                total += row[c] * np.float32(error[c])
        credit[i] = total


@kernel
def _output_change(settings, bank, noisy, clean, answers, n_classes, capacity, rows, change):
    """Write what the perturbation changed in the combined output.

    `noisy` is overwritten by the traces' change.
    """
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
    run = scratch.run
    net = state.net
    capacity = state.classes.shape[1]
    run_hidden(
        settings,
        net.sizes,
        net.weights,
        net.deep_weights,
        net.gains,
        scratch.code,
        scratch.flags[N_IN],
        state.memory.targets,
        scratch.lagged,
        run.neurons[NOISE],
        np.float32(sign),
        run,
        run.drives[1],
        run.noisy,
        run.noisy,
        run.spikes[1],
    )
    _output_change(
        settings,
        state.bank,
        run.noisy,
        scratch.features,
        scratch.answers,
        state.counts[N_CLASSES],
        capacity,
        run.rows,
        scratch.vectors[CHANGE],
    )


@kernel
def _rise(settings, state, scratch):
    """Return what a pass changed in the loss, beyond the average change."""
    vectors = scratch.vectors
    n_classes = state.counts[N_CLASSES]
    before = loss_of(settings.regression, vectors[SCORES], vectors[TARGET], n_classes)
    for c in range(n_classes):
        vectors[ROOM, c] = vectors[SCORES, c] + vectors[CHANGE, c]
    rise = loss_of(settings.regression, vectors[ROOM], vectors[TARGET], n_classes) - before
    baseline = state.net.gains[BASELINE, 0]
    if math.isfinite(rise):  # else the step is refused, and must not harm those to come
        state.net.gains[BASELINE, 0] += BASELINE_FADE * (rise - baseline)
    return rise - baseline


@kernel
def _draw(settings, net, round_, noise):
    """Draw one perturbation of every layer."""
    for layer in range(settings.n_layers):
        start = net.sizes[START, layer]
        n_post = net.sizes[N_POST, layer]
        key = settings.seed_key + layer
        draw_noise(
            key, round_, n_post, NEURON_CLUSTER, settings.noise, noise[start : start + n_post]
        )


@kernel
def _learn_pass(settings, state, scratch, sign, passes, n_learned):
    """Turn a perturbed pass into better feedback of the first neurons, or a trial into credit of its own."""
    neurons = scratch.run.neurons
    vectors = scratch.vectors
    n_classes = state.counts[N_CLASSES]
    noise = neurons[NOISE]
    fresh = neurons[FRESH]
    feedback = state.net.feedback
    hidden = settings.n_hidden
    if settings.credit == TRIAL:
        rise = _rise(settings, state, scratch)
        credit_change(sign * rise / passes, noise, settings.noise, fresh, hidden, neurons[CREDIT])
    elif settings.credit == PERTURBATION:
        rise = _rise(settings, state, scratch)
        learn_from_loss(
            rise,
            vectors[ERROR],
            n_classes,
            sign,
            noise,
            fresh,
            settings.noise,
            hidden,
            FEEDBACK_RATE,
            feedback,
        )
    else:
        learn_feedback(
            vectors[CHANGE],
            n_classes,
            sign,
            noise,
            fresh,
            settings.noise,
            hidden,
            n_learned,
            FEEDBACK_RATE,
            feedback,
        )


@kernel
def _perturb_all(settings, state, scratch, n_learned):
    """Run the perturbed passes of a row, and learn from each."""
    counts = state.counts
    n_signs = 2 if settings.antithetic else 1
    passes = settings.n_perturbations * n_signs
    for _ in range(settings.n_perturbations):
        _draw(settings, state.net, counts[ROUND], scratch.run.neurons[NOISE])
        counts[ROUND] += 1
        sign = 1.0
        for _ in range(n_signs):
            _perturb(settings, state, scratch, sign)
            _learn_pass(settings, state, scratch, sign, passes, n_learned)
            sign = -sign


@kernel
def _n_learned(settings):
    """Return how many neurons learn their feedback by perturbation.

    With mirrored credit those that are not read.
    """
    first, _ = span(settings, 0)
    return settings.n_hidden if settings.credit == LEARNED else first


@kernel
def assign_credit(settings, state, scratch):
    """Write the credit of every hidden neuron, after the perturbed passes that its credit rule needs."""
    neurons = scratch.run.neurons
    n_seen = state.counts[N_SEEN]
    hidden = settings.n_hidden
    for i in range(hidden):
        neurons[CREDIT, i] = np.float32(0.0)
    if settings.credit == TRIAL or settings.credit == PERTURBATION:
        _perturb_all(settings, state, scratch, hidden)
        if settings.credit == TRIAL:
            return
    elif (
        settings.credit == LEARNED or settings.last_layer
    ):  # else all neurons are read, and mirrored
        n_learned = _n_learned(settings)
        if n_learned > 0 and (n_seen < ALWAYS_UNTIL or n_seen % EVERY == 0):
            _perturb_all(settings, state, scratch, n_learned)
    broadcast_error(
        scratch.vectors[ERROR],
        state.counts[N_CLASSES],
        state.net.feedback,
        neurons[FRESH],
        hidden,
        neurons[CREDIT],
    )
