"""A step of a recursive least-squares member: its gain, residual, projector and weights."""

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, dot, subtract_squares, weigh_rows
from loco_stream._compiler.simd.sizes import RANK, ROWS
from loco_stream._learner.readout.inputs import input_span
from loco_stream._learner.readout.symmetric import multiply_one
from loco_stream._learner.tiny import drop_tiny, drop_tiny_items

NARROW = 256  # inputs of a projector that fits into the second cache
LASTING_LEAK = 1e-6  # a member that leaks less goes on with classes that do not come
RECENT_ROWS = 30  # a leaky member leaves classes alone that were absent for so long
LOG_LOSS_STEP = 5.0  # of the log-loss weights: their outputs are log-odds, not shares of one


@kernel
def gain(projector, inputs, first, n_inputs, nonzeros, k):
    """Write k = P x and return x'Px.

    Parameters
    ----------
    projector
        (n_inputs or more, n_inputs or more) float32.
    inputs, first, n_inputs
        x is the part of a float32 vector that begins at `first`, of that length.
    nonzeros
        (rows, n_rows): which elements of x are not 0, int32 and int64.
    k
        (n_inputs or more,) float32, written.
    """
    rows, n_rows = nonzeros
    weigh_rows(k, projector, n_inputs, inputs, first, rows, n_rows)
    return _energy(inputs, first, n_inputs, nonzeros, k)


@kernel
def _energy(inputs, first, n_inputs, nonzeros, k):
    """Return x'k, and set items of k to 0 that are next to nothing; parameters as in `gain`."""
    rows, n_rows = nonzeros
    q = 0.0
    for r in range(n_rows):
        q += np.float64(inputs[first + rows[r]]) * k[rows[r]]
    drop_tiny_items(k, n_inputs)
    return q


@kernel
def kept(leak, n_pending):
    """Return the factor of a projector whose leak acted on it since it last took in its changes."""
    factor = 1.0
    for _ in range(n_pending):
        factor *= 1.0 - leak
    return factor


@kernel
def _take_in(member, n_inputs, turn):
    """Take `RANK` pending changes into a projector; parameters as in `gain_of`."""
    projector, pending, _, leak = member
    if pending.shape[1] <= NARROW:  # others take them in while they are multiplied
        keep = np.float32(kept(leak, RANK))
        for first in range(0, n_inputs, ROWS):
            subtract_squares(projector, first, 0, n_inputs, pending, keep)
    if leak > 0.0:
        drop_tiny(projector, n_inputs, n_inputs, turn // RANK)


@kernel
def gain_of(member, inputs, first, n_inputs, nonzeros, k, turn):
    """Write k = P x of a member and return x'Px.

    Parameters
    ----------
    member
        (projector, pending changes, their number, leak): (inputs, inputs or more), (RANK, inputs)
        float32, int64, and float64. The projector takes in `RANK` changes. If it has more than
        `NARROW` inputs only its upper triangle is read and written.
    inputs, first, n_inputs, nonzeros, k
        As in `gain`.
    turn
        int64: number of rows before.
    """
    projector, pending, n_pending, leak = member
    rows, n_rows = nonzeros
    width = pending.shape[1]
    n_full = n_pending // RANK * RANK
    n_pending -= n_full
    if n_full > 0:
        _take_in(member, n_inputs, turn)
    if width > NARROW:
        keep = np.float32(kept(leak, RANK))
        multiply_one(projector, n_inputs, inputs[first:], k, pending[:n_full], keep)
    else:
        weigh_rows(k, projector, n_inputs, inputs, first, rows, n_rows)
    for i in range(n_pending):
        share = dot(pending, i * width, inputs, first, n_inputs)
        for j in range(n_inputs):
            k[j] -= share * pending[i, j]
    factor = np.float32(kept(leak, n_pending))
    if factor < np.float32(1.0):
        for j in range(n_inputs):
            k[j] *= factor
    return _energy(inputs, first, n_inputs, nonzeros, k)


@kernel
def write_residual(settings, state, scratch, outputs, proba, leak):
    """Write what a member's outputs lack of the target, for each of its losses.

    A leaky member leaves a class alone that was long absent: nothing is lacking there.

    Parameters
    ----------
    outputs
        (n_classes or more,) float32: its least-squares outputs.
    proba
        (n_classes or more,) float64: softmax of its log-loss outputs; not read in a regression.
    leak
        float64.
    """
    residual = scratch.experts.least_squares.residual
    target = scratch.target
    capacity = len(state.classes.n_rows)
    for c in range(state.counts.n_classes):
        learns = settings.regression or leak < LASTING_LEAK
        learns = learns or state.counts.n_seen - state.classes.last_seen[c] < RECENT_ROWS
        lack = np.float32(target[c] - outputs[c])
        residual[c] = lack if learns else np.float32(0.0)
        if settings.n_losses > 1:
            lack = np.float32(LOG_LOSS_STEP * (target[c] - proba[c]))
            residual[capacity + c] = lack if learns else np.float32(0.0)


@kernel
def change_projector(member, n_inputs, k, q, prior):
    """Take a row into the pending changes of a projector, and let it drift back to the prior.

    Parameters
    ----------
    member
        As in `gain_of`, with fewer than `RANK` changes.
    n_inputs
        int64.
    k, q
        Gain, (n_inputs or more,) float32, and x'Px, float64.
    prior
        float64.
    """
    projector, pending, n_pending, leak = member
    before = kept(leak, n_pending)
    root = np.float32(math.sqrt(1.0 / (before * (1.0 + q))))
    for j in range(n_inputs):
        pending[n_pending, j] = root * k[j]
    if leak > 0.0:
        back = np.float32(leak * prior / (before * (1.0 - leak)))
        for j in range(n_inputs):
            projector[j, j] += back


@kernel
def change_weights(weights, columns, n_inputs, k, q, residual):
    """Make one recursive step of a member.

    Parameters
    ----------
    weights
        (n_inputs or more, columns of all members) float32.
    columns
        (first, number) of the member's columns, int64.
    n_inputs
        int64.
    k, q
        Gain, (n_inputs or more,) float32, and x'Px, float64.
    residual
        (number of columns or more,) float32: what the outputs lack.
    """
    column, n_columns = columns
    scale = np.float32(1.0 / (1.0 + q))
    add_outer(weights, n_inputs, column, n_columns, k, scale, residual, np.float32(1.0))


@kernel
def mirror(settings, state, k, scale, increment):
    """Add what the readout's weights receive to the feedback of the neurons that it sees.

    `k` are the gains from the first neuron seen on, float32; `increment`, (n_classes or more,)
    float32, is what the outputs of one unit receive; `scale` is float32.
    """
    first, _ = input_span(settings, 0)
    n_neurons = settings.n_hidden - first
    n_classes = state.counts.n_classes
    feedback = state.net.feedback
    add_outer(feedback, n_classes, first, n_neurons, increment, scale, k, np.float32(1.0))


@kernel
def mirror_member(settings, state, scratch, m):
    """Add what the update of member `m` (int64) adds to its rows of the combined readout."""
    work = scratch.experts.least_squares
    weights = scratch.now.credit_weights
    capacity = len(state.classes.n_rows)
    losses = settings.n_losses
    for c in range(state.counts.n_classes):
        total = 0.0
        for b in range(losses):
            total += weights[m * losses + b] * work.residual[b * capacity + c]
        work.increment[c] = total
    scale = np.float32(1.0 / (1.0 + work.energies[m]))
    mirror(settings, state, work.gains[m], scale, work.increment)
