"""Rows that wait for each other before the least-squares members learn them.

Where features have no receptive fields there are hundreds of neurons, and the projectors of the
members are larger than the processor's caches. Several rows are learned in one pass over each, in
their order. What each changes in the prediction of the next ones is taken into account, so the
result is that of one row after the other, with two exceptions: the weights follow some rows later,
and the leak of several rows acts at once. A row of a class of few rows does not wait.
"""

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import dot
from loco_stream._learner.readout.inputs import input_span
from loco_stream._learner.readout.recursive_steps import kept, mirror_member, write_residual
from loco_stream._learner.readout.softmax import softmax
from loco_stream._learner.readout.symmetric import YOUNG, add_steps, let_wait, multiply_together
from loco_stream._learner.tiny import drop_tiny, drop_tiny_items


@kernel
def _drift(leak, prior, n_rows):
    """Return what a projector is scaled by for `n_rows` rows, and what its diagonal gets then."""
    keep = kept(leak, n_rows)
    return np.float32(keep), np.float32((1.0 - keep) * prior)


@kernel
def _follow_earlier(settings, state, scratch, m, k, first):
    """Change the gain and the outputs of waiting row `k` by what member `m` learned before it.

    `first` (int64) is the place of the first waiting row among the pending changes.
    """
    own = state.experts.least_squares
    work = scratch.experts.least_squares
    inputs = own.waiting[k]
    gain = work.products[k]
    n = len(inputs)
    n_columns = work.residuals.shape[1]
    outputs = own.waiting_outputs[k, m * n_columns : (m + 1) * n_columns]
    changes = own.pending[m]
    for i in range(k):
        share = dot(changes, (first + i) * n, inputs, 0, n)
        for j in range(n):
            gain[j] -= share * changes[first + i, j]
        for c in range(n_columns):
            outputs[c] += share * work.residuals[i, c]


@kernel
def _learn_waiting_row(settings, state, scratch, m, k, change):
    """Learn waiting row `k` by member `m`; return whether its energy is finite and not negative.

    `change` is the (inputs,) float32 change of the projector, written.
    """
    own = state.experts.least_squares
    work = scratch.experts.least_squares
    inputs = own.waiting[k]
    gain = work.gains[m]
    n = len(inputs)
    n_columns = work.residuals.shape[1]
    for c in range(state.counts.n_classes):
        scratch.target[c] = own.waiting_classes[k, c]
    for j in range(n):
        gain[j] = work.products[k, j]
    drop_tiny_items(gain, n)
    energy = np.float64(dot(gain, 0, inputs, 0, n))
    if not energy >= 0.0 or not math.isfinite(energy):
        for j in range(n):
            change[j] = 0.0
        for c in range(n_columns):
            work.residuals[k, c] = 0.0
        return False
    work.energies[m] = energy
    outputs = own.waiting_outputs[k, m * n_columns :]
    proba = scratch.now.buffer
    softmax(outputs, n_columns // settings.n_losses, state.counts.n_classes, 1.0, proba)
    write_residual(settings, state, scratch, outputs, proba, own.leaks[m])
    if settings.learns and settings.mirrors:
        mirror_member(settings, state, scratch, m)
    root = np.float32(math.sqrt(1.0 / (1.0 + energy)))
    for j in range(n):
        change[j] = root * gain[j]
    for c in range(n_columns):
        work.residuals[k, c] = root * work.residual[c]
    return True


@kernel
def _learn_waiting(settings, state, scratch):
    """Let every member learn the rows that wait, in order; the last one is the row in scratch."""
    own = state.experts.least_squares
    work = scratch.experts.least_squares
    n_inputs = own.waiting.shape[1]
    n_columns = work.residuals.shape[1]
    n_waiting = own.n_waiting[0]
    n_pending = own.counters.n_pending
    has_room = n_pending + n_waiting <= own.pending.shape[1]
    n_skipped = 0
    first = 0
    for m in range(settings.n_trace):
        symmetric = (own.projectors[m], own.pending[m], n_pending)
        drift = _drift(own.leaks[m], own.priors[m], n_pending)
        products = work.products
        first = multiply_together(
            scratch.jobs, m, symmetric, own.waiting, n_waiting, products, has_room, drift
        )
        n_sound = 0
        for k in range(n_waiting):
            _follow_earlier(settings, state, scratch, m, k, first)
            change = own.pending[m, first + k]
            n_sound += _learn_waiting_row(settings, state, scratch, m, k, change)
        columns = (m * n_columns, n_columns)
        changes = own.pending[m, first:]
        add_steps(own.weights, n_inputs, columns, changes, work.residuals, n_waiting)
        n_skipped = max(n_skipped, n_waiting - n_sound)
        if not has_room and drift[0] < np.float32(1.0):
            turn = state.counts.n_seen // settings.batch
            drop_tiny(own.projectors[m], n_inputs, n_inputs, turn)
    own.counters.n_pending = first + n_waiting
    own.n_waiting[0] = 0
    state.counts.n_skipped += n_skipped


@kernel
def learn_or_wait(settings, state, scratch, label):
    """Let the row in scratch wait, or learn it with those that wait; `label` is an int64 slot."""
    own = state.experts.least_squares
    outputs = own.waiting_outputs[own.n_waiting[0]]
    for c in range(len(outputs)):
        outputs[c] = scratch.now.outputs[c]
    first, _ = input_span(settings, 0)
    is_full = let_wait(own, scratch.clean.traces[first:], label)
    if is_full or state.classes.n_rows[label] <= YOUNG:
        _learn_waiting(settings, state, scratch)
