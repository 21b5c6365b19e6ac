"""Recursive members that forget at different speeds, each with two losses.

Recursive least squares on traces is orthogonal weight modification on the last layer (Zeng et al.
2019). A member with leak g lets its projector P drift back to the prior: P <- (1 - g)(P - k k' / (1
+ q)) + g p0 I; unlike a forgetting factor this cannot wind up. A member without leak never forgets.
A second set of weights, for the log-loss, takes the same step k / (1 + q) along the error of its
softmax and needs no matrix of its own.

A projector is P = a (B - sum of u u'), with the last few changes u kept beside the matrix B and
taken into it together: a matrix that passes through the processor once for `RANK` rows costs much
less than one that passes for each. The factor a is what the leak has left since then. Features that
came late have blocks of their own, see `loco_stream._learner.readout.blocks`. Without receptive
fields rows also wait for each other, see `loco_stream._learner.readout.waiting_rows`.

Members on the traces come first, then linear ones on the scaled features. A regression with a
memory has its members on traces twice. The second ones see what the spikes of the present row leave
in the first layer, without what earlier rows left there, as in a model without a memory.
Outputs stand in blocks of `class capacity` columns, one per member and loss: least squares, then
log-loss. With ``readout="delta"`` there is one member on the traces, which learns by a normalised
delta rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int64
from loco_stream._compiler.jit import inlined, kernel
from loco_stream._compiler.simd.ops import nonzero, weigh_rows
from loco_stream._compiler.simd.sizes import RANK, whole_vectors
from loco_stream._learner.arrays.spec import Record, Shapes, axes, record
from loco_stream._learner.readout.blocks import (
    BLOCK,
    change_block_weights,
    change_blocks,
    find_reached,
    late_inputs,
    start_blocks,
    write_block_gains,
)
from loco_stream._learner.readout.experts._definition import Contribution, Expert, Merge, Weighting
from loco_stream._learner.readout.inputs import input_span
from loco_stream._learner.readout.recursive_steps import (
    LASTING_LEAK,
    change_projector,
    change_weights,
    gain_of,
    mirror,
    mirror_member,
    write_residual,
)
from loco_stream._learner.readout.softmax import softmax
from loco_stream._learner.readout.symmetric import check_pending
from loco_stream._learner.readout.waiting_rows import learn_or_wait
from loco_stream._learner.readout.weighted_sum import weighted_sum

PRIORS = (0.01, 0.1)  # of a projector on traces: leaky, lasting
# What it begins with, for classes and for values, where a feature has one channel: rows are wide,
# and in the first thousand their noise alone fits hundreds of weights. A leaky member drifts back
# to the weaker prior: it has to follow when labels change.
WIDE_PRIORS = (0.0025, 0.005)
WIDE_VALUE_PRIORS = (0.01, 0.02)
LINEAR_LEAKS = (1e-4, 1e-2)
LINEAR_PRIORS = (0.1, 0.01)
DELTA_RATE = 0.5  # of the normalised delta rule


def _set_diagonals(projectors: Array, priors: Iterable[float]) -> None:
    for projector, prior in zip(projectors, priors, strict=False):
        np.fill_diagonal(projector, prior)


def _all_leaks(shapes: Shapes) -> tuple[float, ...]:
    """Return the leak of every member on traces, those without a memory last."""
    leaks = shapes.layout.leaks
    return leaks + leaks[: shapes.settings.n_memoryless]


def _first_priors(shapes: Shapes) -> list[float]:
    settings = shapes.settings
    priors = PRIORS
    if settings.n_fields == 1:
        priors = WIDE_VALUE_PRIORS if settings.regression else WIDE_PRIORS
    return [priors[leak < LASTING_LEAK] for leak in _all_leaks(shapes)]


def _leaks(leaks: Array, shapes: Shapes) -> None:
    if shapes.settings.recursive:
        leaks[:] = _all_leaks(shapes)


def _priors(priors: Array, shapes: Shapes) -> None:
    if shapes.settings.recursive:
        firsts = zip(_first_priors(shapes), _all_leaks(shapes), strict=True)
        priors[:] = [first if leak < LASTING_LEAK else PRIORS[0] for first, leak in firsts]


def _start_projectors(projectors: Array, shapes: Shapes) -> None:
    if shapes.settings.recursive:
        _set_diagonals(projectors, _first_priors(shapes))


def _start_linear_projectors(projectors: Array, shapes: Shapes) -> None:
    _set_diagonals(projectors, LINEAR_PRIORS)


def _start_blocks(blocks: Array, shapes: Shapes) -> None:
    if blocks.shape[1] > 0:
        for own, prior in zip(blocks, _first_priors(shapes), strict=True):
            start_blocks(own, prior)


def _start_linear_blocks(blocks: Array, shapes: Shapes) -> None:
    for own, prior in zip(blocks, LINEAR_PRIORS, strict=False):
        start_blocks(own, prior)


class State(NamedTuple):
    """Members.

    counters: n_pending changes of every projector
    leaks, priors: of the members on traces; a projector drifts back to its prior. A saved model
    keeps those that it has
    weights, projectors, pending, blocks: of the members on traces
    linear_weights, linear_projectors, linear_pending, linear_blocks: of the members on (1, scaled
    features)
    projectors end in whole vectors of columns, of which those beyond the inputs stay 0
    waiting, waiting_outputs, n_waiting: inputs of rows that no member has learned yet, what the
    members predicted for them, and how many wait
    waiting_classes: 1 for the class of each, 0 for others
    """

    counters: Annotated[Record, record(np.int64, n_pending=0)]

    leaks: Annotated[Float64, axes("trace_members", start=_leaks, derived=True)]
    priors: Annotated[Float64, axes("trace_members", start=_priors, within=(0.0, 1.0))]
    weights: Annotated[Float32, axes("inputs", "trace_members*losses*classes")]
    projectors: Annotated[
        Float32,
        axes("trace_members", "projected_inputs", "projector_columns", start=_start_projectors),
    ]
    pending: Annotated[Float32, axes("trace_members", "pending_rows", "projected_inputs")]
    blocks: Annotated[
        Float32,
        axes("trace_members", "late_inputs", "late_block", start=_start_blocks),
    ]
    linear_weights: Annotated[Float32, axes("linear_inputs", "linear_members*losses*classes")]
    linear_projectors: Annotated[
        Float32,
        axes(
            "linear_members",
            "linear_projected",
            "linear_columns",
            start=_start_linear_projectors,
        ),
    ]
    linear_pending: Annotated[Float32, axes("linear_members", RANK, "linear_projected")]
    linear_blocks: Annotated[
        Float32,
        axes("linear_members", "late_linear_inputs", "late_block", start=_start_linear_blocks),
    ]
    waiting: Annotated[Float32, axes("waiting_rows", "inputs")]
    waiting_outputs: Annotated[Float32, axes("waiting_rows", "trace_members*losses*classes")]
    waiting_classes: Annotated[Float32, axes("waiting_rows", "classes")]
    n_waiting: Annotated[Int64, axes(1)]


class Scratch(NamedTuple):
    """Working arrays.

    gains, linear_gains: k = P x of each member
    energies: x'Px of each member, those on traces first
    residual: what the outputs of the member at hand lack
    increment: what a row of the combined readout receives
    change: of the outputs, under a perturbation
    present: inputs of the members without a memory
    products, residuals: of the rows that waited, P x of the member at hand, and what its outputs
    lacked, times the root of the step
    """

    gains: Annotated[Float32, axes("trace_members", "inputs")]
    linear_gains: Annotated[Float32, axes("linear_members", "linear_inputs")]
    energies: Annotated[Float64, axes("members")]
    residual: Annotated[Float32, axes("losses*classes")]
    increment: Annotated[Float32, axes("classes")]
    change: Annotated[Float32, axes("members*losses*classes")]
    present: Annotated[Float32, axes("present_inputs")]
    products: Annotated[Float32, axes("waiting_rows", "inputs")]
    residuals: Annotated[Float32, axes("waiting_rows", "losses*classes")]


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axes of the members."""
    n_late = max(n_features - layout.n_joint, 0)
    n_late_inputs = 0
    if settings.last_layer:
        inputs = settings.n_last + 1
    else:
        inputs = settings.n_hidden + 1 + (n_features if settings.raw_inputs else 0)
        n_late_inputs = n_late if settings.raw_inputs and settings.recursive else 0
    projected = inputs - n_late_inputs if settings.recursive else 1
    linear_projected = n_features - n_late + 1 if settings.n_linear else 1
    return {
        "trace_members": settings.n_trace,
        "linear_members": settings.n_linear,
        "waiting_rows": settings.batch if settings.waits else 0,
        "pending_rows": settings.batch if settings.waits else RANK,
        "losses": settings.n_losses,
        "inputs": inputs,
        "present_inputs": inputs if settings.n_memoryless else 0,
        "projected_inputs": projected,
        "projector_columns": whole_vectors(projected),
        "late_inputs": n_late_inputs,
        "linear_inputs": n_features + 1 if settings.n_linear else 1,
        "linear_projected": linear_projected,
        "linear_columns": whole_vectors(linear_projected),
        "late_linear_inputs": n_late if settings.n_linear else 0,
    }


@kernel
def _predict_present(settings, state, scratch, outputs):
    """Write the outputs of the members without a memory, the last ones on traces."""
    weights = state.experts.least_squares.weights
    vector = scratch.clean.traces
    present = scratch.experts.least_squares.present
    rows = scratch.inputs.present_rows
    n_first = state.net.n_post[0]
    _, n_inputs = input_span(settings, state.counts.n_features)
    for i in range(n_first):
        present[i] = scratch.clean.fresh[i]
    for i in range(n_first, settings.n_hidden):  # deeper layers see traces of earlier rows
        present[i] = 0.0
    for i in range(settings.n_hidden, n_inputs):
        present[i] = vector[i]
    n_rows = nonzero(present, 0, n_inputs, rows)
    scratch.cache.n_present_rows = n_rows
    n_columns = weights.shape[1]
    first = n_columns - n_columns // settings.n_trace * settings.n_memoryless
    for c in range(first, n_columns):
        outputs[c] = 0.0
    for r in range(n_rows):
        value = present[rows[r]]
        for c in range(first, n_columns):
            outputs[c] += value * weights[rows[r], c]


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write the outputs of every member, and which inputs are not 0."""
    own = state.experts.least_squares
    cache = scratch.cache
    vector = scratch.clean.traces
    inputs = scratch.inputs
    n_features = state.counts.n_features
    first, n_inputs = input_span(settings, n_features)
    cache.n_rows = nonzero(vector, first, n_inputs, inputs.rows)
    find_reached(settings, state, scratch)
    n_columns = own.weights.shape[1]
    weigh_rows(outputs, own.weights, n_columns, vector, first, inputs.rows, cache.n_rows)
    if settings.n_memoryless > 0:
        _predict_present(settings, state, scratch, outputs)
    if settings.n_linear == 0:
        return
    hidden = settings.n_hidden
    rows = inputs.linear_rows
    cache.n_linear_rows = nonzero(vector, hidden, n_features + 1, rows)
    linear = outputs[n_columns:]
    n_linear = own.linear_weights.shape[1]
    weigh_rows(linear, own.linear_weights, n_linear, vector, hidden, rows, cache.n_linear_rows)


@kernel
def opine(settings, state, outputs, scores, opinions):
    """Write the probabilities of each member: the softmax of its log-loss outputs."""
    capacity = len(state.classes.n_rows)
    for a in range(len(opinions)):
        softmax(outputs, (2 * a + 1) * capacity, state.counts.n_classes, 1.0, opinions[a])


class Member(NamedTuple):
    """A member as kernels work on it; members on traces come first, then linear ones.

    index: which one it is
    weights, column: of all members of its kind, and where its own columns begin
    projector, pending, blocks, leak, prior: as in `State`
    inputs, first: vector that holds its inputs, and where they begin there
    n_joint: how many of them share the projector
    nonzeros: which of these are not 0, and how many
    gain: k = P x, of the joint inputs and then of late ones
    """

    index: Any
    weights: Any
    column: Any
    projector: Any
    pending: Any
    blocks: Any
    leak: Any
    prior: Any
    inputs: Any
    first: Any
    n_joint: Any
    nonzeros: Any
    gain: Any


@inlined
def member_of(settings, state, scratch, m):
    """Return member `m` (int64) with its inputs in scratch."""
    own = state.experts.least_squares
    work = scratch.experts.least_squares
    cache = scratch.cache
    n_late = cache.n_late_rows
    n_columns = settings.n_losses * len(state.classes.n_rows)
    n_features = state.counts.n_features
    if m >= settings.n_trace:
        k = m - settings.n_trace
        return Member(
            m,
            own.linear_weights,
            k * n_columns,
            own.linear_projectors[k],
            own.linear_pending[k],
            own.linear_blocks[k],
            LINEAR_LEAKS[k],
            LINEAR_PRIORS[k],
            scratch.clean.traces,
            settings.n_hidden,
            min(n_features + 1, own.linear_pending.shape[2]),
            (scratch.inputs.linear_rows, cache.n_linear_rows - n_late),
            work.linear_gains[k],
        )
    first, n_inputs = input_span(settings, n_features)
    if own.blocks.shape[1] == 0:
        n_late = 0
    vector = scratch.clean.traces
    nonzeros = (scratch.inputs.rows, cache.n_rows - n_late)
    if m >= settings.n_trace - settings.n_memoryless:
        vector = work.present
        nonzeros = (scratch.inputs.present_rows, cache.n_present_rows - n_late)
    return Member(
        m,
        own.weights,
        m * n_columns,
        own.projectors[m],
        own.pending[m],
        own.blocks[m],
        own.leaks[m],
        own.priors[m],
        vector,
        first,
        min(n_inputs, own.pending.shape[2]),
        nonzeros,
        work.gains[m],
    )


@kernel
def _write_gains(settings, state, scratch):
    """Write the gain of every member for the row in scratch."""
    own = state.experts.least_squares
    energies = scratch.experts.least_squares.energies
    n_pending = own.counters.n_pending
    turn = state.counts.n_seen
    late, reached = late_inputs(settings, state, scratch)
    for m in range(len(energies)):
        member = member_of(settings, state, scratch, m)
        projector = (member.projector, member.pending, n_pending, member.leak)
        k = member.gain
        energies[m] = gain_of(
            projector, member.inputs, member.first, member.n_joint, member.nonzeros, k, turn
        )
        late_gain = k[member.pending.shape[1] :]
        energies[m] += write_block_gains(member.blocks, late, reached, late_gain)
    own.counters.n_pending = n_pending % RANK


@kernel
def prepare(settings, state, scratch):
    """Compute the gains of all members; return whether they are finite and not negative."""
    if not settings.recursive or settings.waits:
        return True
    _write_gains(settings, state, scratch)
    energies = scratch.experts.least_squares.energies
    for m in range(len(energies)):
        if energies[m] < 0.0 or not math.isfinite(energies[m]):
            return False
    return True


@kernel
def change_projectors(settings, state, scratch):
    """Take the row in scratch into the projector of every member."""
    own = state.experts.least_squares
    energies = scratch.experts.least_squares.energies
    n_pending = own.counters.n_pending
    turn = state.counts.n_seen
    _, reached = late_inputs(settings, state, scratch)
    for m in range(len(energies)):
        member = member_of(settings, state, scratch, m)
        projector = (member.projector, member.pending, n_pending, member.leak)
        k = member.gain
        change_projector(projector, member.n_joint, k, energies[m], member.prior)
        late_gain = k[member.pending.shape[1] :]
        scale = 1.0 / (1.0 + energies[m])
        change_blocks(member.blocks, reached, late_gain, scale, member.leak, member.prior, turn)
    own.counters.n_pending = n_pending + 1


@kernel
def change_member(settings, state, scratch, member):
    """Make the recursive step of a `Member` along the residual in scratch."""
    work = scratch.experts.least_squares
    residual = work.residual
    q = work.energies[member.index]
    k = member.gain
    n_joint = member.n_joint
    columns = (member.column, settings.n_losses * len(state.classes.n_rows))
    change_weights(member.weights, columns, n_joint, k, q, residual)
    _, reached = late_inputs(settings, state, scratch)
    late = member.weights[n_joint:]
    scale = np.float32(1.0 / (1.0 + q))
    change_block_weights(late, columns, member.blocks, reached, k[n_joint:], scale, residual)


@kernel
def delta_update(settings, state, scratch):
    """Make a step of the normalised delta rule; return its rate over 1 + |inputs|^2."""
    weights = state.experts.least_squares.weights
    vector = scratch.clean.traces
    error = scratch.now.error
    first, n_inputs = input_span(settings, state.counts.n_features)
    square = 1.0
    for j in range(n_inputs):
        square += np.float64(vector[first + j]) * vector[first + j]
    for j in range(n_inputs):
        value = vector[first + j]
        if value != 0.0:
            coefficient = np.float32(DELTA_RATE * np.float64(value) / square)
            row = weights[j]
            for c in range(state.counts.n_classes):
                row[c] -= coefficient * np.float32(error[c])
    return DELTA_RATE / square


@kernel
def _learn_delta(settings, state, scratch):
    """Learn by the delta rule."""
    step = delta_update(settings, state, scratch)
    if settings.learns and settings.mirrors:
        increment = scratch.experts.least_squares.increment
        first, _ = input_span(settings, 0)
        for c in range(state.counts.n_classes):
            increment[c] = -scratch.now.error[c]
        mirror(settings, state, scratch.clean.traces[first:], np.float32(step), increment)


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Learn the row in scratch."""
    if not settings.recursive:
        _learn_delta(settings, state, scratch)
        return
    if settings.waits:
        learn_or_wait(settings, state, scratch, label)
        return
    outputs = scratch.now.outputs
    proba = scratch.now.buffer  # unread in a regression, which has no probabilities
    n_columns = settings.n_losses * len(state.classes.n_rows)
    for m in range(settings.n_trace + settings.n_linear):
        member = member_of(settings, state, scratch, m)
        if not settings.regression:
            proba = opinions[m]
        write_residual(settings, state, scratch, outputs[m * n_columns :], proba, member.leak)
        if settings.learns and settings.mirrors and m < settings.n_trace:
            mirror_member(settings, state, scratch, m)
        change_member(settings, state, scratch, member)
    change_projectors(settings, state, scratch)


@kernel
def write_output_change(settings, state, scratch):
    """Write what the perturbed pass changed in the combined output.

    `scratch.perturbed.traces` is overwritten by the change of the traces.
    """
    own = state.experts.least_squares
    change = scratch.experts.least_squares.change
    noisy = scratch.perturbed.traces
    clean = scratch.clean.traces
    rows = scratch.layer.rows
    first, _ = input_span(settings, 0)
    for i in range(first, settings.n_hidden):
        noisy[i] -= clean[i]
    n_rows = nonzero(noisy, first, settings.n_hidden - first, rows)
    n_columns = own.weights.shape[1]
    capacity = len(state.classes.n_rows)
    weigh_rows(change, own.weights, n_columns, noisy, first, rows, n_rows)
    weights = scratch.now.credit_weights[: n_columns // capacity]
    weighted_sum(change, weights, capacity, state.counts.n_classes, scratch.output_change)


def n_outputs(settings: Any) -> int:
    """Return one block per member and loss."""
    n_blocks: int = (settings.n_trace + settings.n_linear) * settings.n_losses
    return n_blocks


def n_opinions(settings: Any) -> int:
    """Return one opinion per member, in classification."""
    if settings.regression or not settings.recursive:
        return 0
    n_members: int = settings.n_trace + settings.n_linear
    return n_members


def names(layout: Any, settings: Any) -> list[str]:
    """Return a name per member."""
    on_traces = [f"leak {leak:g}" for leak in layout.leaks]
    memoryless = [f"no memory, leak {leak:g}" for leak in layout.leaks[: settings.n_memoryless]]
    linear = [f"linear, leak {leak:g}" for leak in LINEAR_LEAKS[: settings.n_linear]]
    return on_traces + memoryless + linear


def contribution(
    settings: Any, state: Any, scratch: Any, weighting: Weighting, n_classes: int
) -> Contribution:
    """Return what each input adds by the weights of the members."""
    own = state.experts.least_squares
    hidden = settings.n_hidden
    capacity = len(state.classes.n_rows)
    n_slots = int(state.counts.n_features)
    vector = scratch.clean.traces[: hidden + 1 + n_slots].astype(np.float64)
    present = vector.copy()
    present[:hidden] = 0.0
    n_present = int(state.net.n_post[0])
    present[:n_present] = scratch.clean.fresh[:n_present]
    weights = np.zeros((len(vector), n_classes))
    present_weights = np.zeros_like(weights)
    first = hidden - settings.n_last if settings.last_layer else 0
    n_inputs = min(len(own.weights), len(vector) - first)
    n_trace = settings.n_trace * settings.n_losses
    n_with_memory = n_trace - settings.n_memoryless * settings.n_losses
    for block, weight in enumerate(weighting.outputs):
        if block < n_trace:
            table = own.weights
            rows = slice(first, first + n_inputs)
            start = block * capacity
        else:
            table = own.linear_weights
            rows = slice(hidden, None)
            start = (block - n_trace) * capacity
        part = table[: len(weights[rows]), start : start + n_classes]
        own_weights = present_weights if n_with_memory <= block < n_trace else weights
        own_weights[rows] += weight * part
    return Contribution(
        inputs=vector[:, None] * weights, present=present[:, None] * present_weights
    )


def merge(parts: Merge) -> None:
    """Add up the information of the member without leak; its least-squares columns come first.

    Recursive least squares without leak is a sum over rows. With P the projector, W the weights and
    p the prior, the information is A = P^-1 = I / p + sum x x' and b = A W = sum x y'. Over several
    models it is the sum of theirs, less what all but one of them began with. Where hidden layers
    learn, the inputs differ from model to model and nothing adds up: the member stays that of the
    largest. Rows that wait are added too; all other weights go on without those of the largest, a
    few at most.
    """
    if not parts.same_traces:
        return
    arrays = parts.arrays
    n = len(arrays["classes.n_rows"])
    information = [_information(part, n) for part in parts.parts]
    base = None if parts.base is None else _information(parts.base, n)
    starts = [base or _start_information(part, n) for part in parts.parts]
    projectors = []
    weights = []
    for b, (total_a, total_b) in enumerate(base or _start_information(arrays, n)):
        for learned, start in zip(information, starts, strict=True):
            total_a = total_a + (learned[b][0] - start[b][0])
            total_b = total_b + (learned[b][1] - start[b][1])
        projector = np.linalg.inv(total_a)
        projectors.append(0.5 * (projector + projector.T))
        weights.append(projector @ total_b)
    prefix = "experts.least_squares."
    arrays[f"{prefix}projectors"][0, :, : len(projectors[0])] = projectors[0]
    arrays[f"{prefix}pending"][0] = 0.0
    arrays[f"{prefix}n_waiting"][0] = 0
    arrays[f"{prefix}weights"][:, :n] = np.concatenate(weights)
    for i, block in enumerate(projectors[1:]):
        own = arrays[f"{prefix}blocks"][0, i * BLOCK : (i + 1) * BLOCK]
        own[:, : len(block)] = block


_Information = list[tuple[Float64, Float64]]


def _start_information(arrays: Mapping[str, Array], n: int) -> _Information:
    """Return the information that a model without base began with: joint inputs and each block."""
    prior = arrays["experts.least_squares.priors"][0]
    sizes = [len(projector) for projector in _projectors(arrays)]
    return [(np.eye(size) / prior, np.zeros((size, n))) for size in sizes]


def _information(arrays: Mapping[str, Array], n: int) -> _Information:
    """Return what a model has learned, of the joint inputs and each block of late ones."""
    weights = arrays["experts.least_squares.weights"][:, :n].astype(np.float64)
    parts = []
    first = 0
    for projector in _projectors(arrays):
        information = np.linalg.inv(projector).astype(np.float64)
        own = weights[first : first + len(projector)]
        parts.append((information, information @ own))
        first += len(projector)
    rows, targets = _waiting_rows(arrays, n)
    if len(rows):
        information, of_targets = parts[0]
        parts[0] = (information + rows.T @ rows, of_targets + rows.T @ targets)
    return parts


def _waiting_rows(arrays: Mapping[str, Array], n: int) -> tuple[Float64, Float64]:
    """Return the inputs of the rows that wait, and which of the first `n` classes each has."""
    n_waiting = int(arrays["experts.least_squares.n_waiting"][0])
    rows = arrays["experts.least_squares.waiting"][:n_waiting].astype(np.float64)
    classes = arrays["experts.least_squares.waiting_classes"][:n_waiting, :n]
    return rows, classes.astype(np.float64)


def _projectors(arrays: Mapping[str, Array]) -> list[Float64]:
    """Return the projectors of the member without leak: of the joint inputs, and of each block."""
    pending = arrays["experts.least_squares.pending"][0].astype(np.float64)
    changes = pending[: int(arrays["experts.least_squares.counters"][0])]
    projector = arrays["experts.least_squares.projectors"][0, :, : pending.shape[1]]
    projector = projector.astype(np.float64)
    projector = np.triu(projector) + np.triu(projector, 1).T
    projectors = [projector - changes.T @ changes]
    blocks = arrays["experts.least_squares.blocks"][0].astype(np.float64)
    for begin in range(0, len(blocks), BLOCK):
        own = blocks[begin : begin + BLOCK]
        projectors.append(own[:, : len(own)])
    return projectors


def check(settings: Any, state: Any, n_classes: int) -> None:
    """Raise ValueError if a prior or count is out of bounds, or a waiting row has not one class."""
    own = state.experts.least_squares
    if settings.recursive and not (own.priors > 0.0).all():
        raise ValueError(f"`priors` of 'least_squares' must be positive, got {own.priors.min():g}")
    most = settings.batch if settings.waits else RANK
    check_pending("least_squares", own, own.counters.n_pending, most, state.classes.n_rows)


EXPERT = Expert(
    name="least_squares",
    state=State,
    scratch=Scratch,
    lengths=lengths,
    n_outputs=n_outputs,
    n_opinions=n_opinions,
    predict=predict,
    opine=opine,
    prepare=prepare,
    learn=learn,
    names=names,
    contribution=contribution,
    check=check,
    merge=merge,
)
