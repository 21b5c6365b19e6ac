"""The values of the stream's next row: mixtures of the ensemble's answers and of recent values.

Successive values of a sensor are often alike, whatever the features are. Experts are the ensemble's
answer, the last value known when the row was predicted, and two linear models of that answer and of
the last few values, fitted by recursive least squares, one of them with forgetting. They are
weighted by exp(-sum of squared errors / (2 * mean squared error of the best)), fading: the
likelihood of normal errors. For a row from anywhere in the stream the ensemble answers alone.

Several targets have a mixture each, and two joint linear models more, which see the ensemble's
answers to all of them and all last values. Both are inputs of every target alike, so that the
targets share their projectors. Only the first targets are inputs: the cost of a projector grows
with their square.

Of a late value, what counts is what was known when its row was predicted. The last values were
older then, so everything is learned anew once a value is late. Errors of rows that wait together
are alike, and so is their evidence for the weights: see `delayed_values`. A fifth of what is left
counts; that was chosen on the streams of `python -m benchmarks late`.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float64, Records
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, PerClass, Shapes, axes, diagonal, records
from loco_stream._learner.readout.delayed_values import evidence_share
from loco_stream._learner.readout.softmax import highest
from loco_stream._learner.target_units import clipped, deviation_of, in_deviations

FORGETTING = (0.0, 0.002)  # of the linear models, per row
PRIOR = 1.0  # inverse variance of their weights, in rows
DECAY = 0.998  # of the log-weights, per row
ERROR_RATE = 0.005  # of the mean squared errors
MAX_ERROR = 16.0  # squared error that counts
MIN_ERROR = 1e-4  # mean square of the best
MAX_STEP = 8.0  # that one row changes a log-weight by
MAX_OUTPUT = 10.0  # in standard deviations; the last value may lie beyond, see `_last_output`
HEAD_START = 2.0  # of the others before the models, in log-weight: of few rows these know least
LATE_SHARE = 0.2  # of the evidence of late values that counts
JOINT_TARGETS = 32  # whose values are inputs of the joint models at most
JOINT_BLOCKS = 2  # inputs of these for each such target: the ensemble's answer, the last value
ENSEMBLE = 0  # positions of the experts; the joint models come behind the others
LAST = 1
FIRST_MODEL = 2
FIRST_JOINT = FIRST_MODEL + len(FORGETTING)


def lengths(n_lags: int, n_targets: int) -> dict[str, int]:
    """Return the lengths of the axes of both groups for so many recent values and targets."""
    n_models = len(FORGETTING) if n_lags else 0
    is_joint = n_lags > 0 and n_targets > 1
    n_joint = n_models if is_joint else 0
    return {
        "lags": n_lags,
        "value_targets": n_targets if n_lags else 0,
        "value_models": n_models,
        "value_inputs": n_lags + 2 if n_lags else 0,
        "value_experts": FIRST_MODEL + n_models + n_joint if n_lags else 0,
        "joint_models": n_joint,
        "joint_blocks": JOINT_BLOCKS,
        "joint_targets": min(n_targets, JOINT_TARGETS) if is_joint else 0,
    }


def _only_ensemble(weights: Array, shapes: Shapes) -> None:
    weights[..., :1] = 1.0


_start_projectors = diagonal(1.0 / PRIOR)


class NextValueState(NamedTuple):
    """The experts of each target and their weights; empty for classes.

    known: recent values, the last one first; counters: how many there are, and rows scored
    weights, projectors: of the linear models, whose inputs are the ensemble's answer, the recent
    values and 1
    joint_weights, joint_projectors: of the joint models, whose inputs are the ensemble's answers
    and the last values of the first targets; they predict what the ensemble's answer lacks
    errors, log_weights: mean squared error of each expert, and its evidence
    """

    known: Annotated[Float64, axes("value_targets", "lags")]
    counters: Annotated[Records, records("value_targets", np.int64, n_known=0, n_scored=0)]
    weights: Annotated[
        Float64, axes("value_targets", "value_models", "value_inputs", start=_only_ensemble)
    ]
    projectors: Annotated[
        Float64,
        axes(
            "value_targets", "value_models", "value_inputs", "value_inputs", start=_start_projectors
        ),
    ]
    joint_weights: Annotated[
        Float64, axes("joint_models", "joint_blocks*joint_targets", "value_targets")
    ]
    joint_projectors: Annotated[
        Float64,
        axes(
            "joint_models",
            "joint_blocks*joint_targets",
            "joint_blocks*joint_targets",
            start=_start_projectors,
        ),
    ]
    errors: Annotated[
        Float64, axes("value_targets", "value_experts", start=1.0, within=NOT_NEGATIVE)
    ]
    log_weights: Annotated[Float64, axes("value_targets", "value_experts")]


class NextValueScratch(NamedTuple):
    """Working arrays.

    known: the recent values when the row in scratch was predicted, NaN where there was none
    inputs, joint_inputs: of the linear models
    gain, joint_gain: of the same
    outputs: of each expert
    mixed: the answers; expected: those by what is known now, where a value is late
    shares: of an observation that the row is for each target
    followed: values as they may be followed, in their units; NaN where missing
    targets: the same standardised; NaN: not learned
    buffer: working memory of the joint models, a number per target
    """

    known: Annotated[Float64, axes("value_targets", "lags")]
    inputs: Annotated[Float64, axes("value_targets", "value_inputs")]
    joint_inputs: Annotated[Float64, axes("joint_blocks*joint_targets")]
    gain: Annotated[Float64, axes("value_inputs")]
    joint_gain: Annotated[Float64, axes("joint_blocks*joint_targets")]
    outputs: Annotated[Float64, axes("value_targets", "value_experts")]
    mixed: PerClass
    expected: PerClass
    shares: Annotated[Float64, axes("classes", start=1.0)]
    followed: PerClass
    targets: PerClass
    buffer: PerClass


@kernel
def _bounded(output):
    """Return an output, float64, within the bounds of what is believed."""
    return min(max(output, -MAX_OUTPUT), MAX_OUTPUT)


@kernel
def _dot(weights, inputs):
    """Return the sum of products, float64."""
    total = 0.0
    for i in range(len(inputs)):
        total += weights[i] * inputs[i]
    return total


@kernel
def _last_output(known, statistics, j):
    """Return the last known value in standard deviations; 0 if there is none.

    It is within the bounds unless the value before it is beyond them too: an outlier is not
    repeated, a new level is.
    """
    if known[0] != known[0]:
        return 0.0
    last = in_deviations(statistics, j, known[0])
    bounds = MAX_OUTPUT
    if len(known) > 1 and known[1] == known[1]:
        before = in_deviations(statistics, j, known[1])
        if before * last > 0.0:
            bounds = max(bounds, abs(before))
    return min(max(last, -bounds), bounds)


@kernel
def _write_outputs(own, work, statistics, ensemble, j):
    """Write the inputs of the linear models of target `j`, and the output of each own expert.

    `ensemble` (float64) is the ensemble's answer, standardised.
    """
    inputs = work.inputs[j]
    outputs = work.outputs[j]
    known = work.known[j]
    n_lags = len(known)
    inputs[0] = ensemble
    for k in range(n_lags):
        is_known = known[k] == known[k]
        inputs[1 + k] = _bounded(in_deviations(statistics, j, known[k])) if is_known else 0.0
    inputs[1 + n_lags] = 1.0
    outputs[ENSEMBLE] = ensemble
    outputs[LAST] = _last_output(known, statistics, j)
    for m in range(own.weights.shape[1]):
        outputs[FIRST_MODEL + m] = _bounded(_dot(own.weights[j, m], inputs))


@kernel
def _write_joint_inputs(work, n):
    """Write the ensemble's answers and the last values; 0 for a target behind the first `n`."""
    inputs = work.joint_inputs
    n_joint = len(inputs) // JOINT_BLOCKS
    for j in range(n_joint):
        inputs[j] = work.inputs[j, 0] if j < n else 0.0
        inputs[n_joint + j] = work.inputs[j, 1] if j < n else 0.0


@kernel
def _write_joint_outputs(own, work, n):
    """Write the outputs of the joint models for the first `n` targets."""
    _write_joint_inputs(work, n)
    changes = work.buffer
    for m in range(len(own.joint_weights)):
        changes.fill(0.0)
        for i in range(len(work.joint_inputs)):
            for j in range(n):
                changes[j] += own.joint_weights[m, i, j] * work.joint_inputs[i]
        for j in range(n):
            work.outputs[j, FIRST_JOINT + m] = _bounded(work.inputs[j, 0] + changes[j])


@kernel
def _n_experts(own, n):
    """Return how many experts predict `n` targets (int64): a single one has no joint models."""
    return own.log_weights.shape[1] if n > 1 else FIRST_JOINT


@kernel
def _mix(log_weights, outputs, n_experts):
    """Return the weighted output of the first experts, float64."""
    top = highest(log_weights, n_experts)
    total = 0.0
    mixed = 0.0
    for e in range(n_experts):
        behind = HEAD_START if e >= FIRST_MODEL else 0.0
        weight = math.exp(log_weights[e] - behind - top)
        total += weight
        mixed += weight * outputs[e]
    return mixed / total


@kernel
def mix_values(own, work, statistics, scores, n):
    """Write the answers to the next row, standardised, into `work.mixed`.

    Parameters
    ----------
    own, work
        `NextValueState`, and `NextValueScratch` with the values known then.
    statistics
        Those of the targets.
    scores
        (n or more,) float64: the ensemble's answers, standardised.
    n
        int64: how many targets are known.
    """
    for j in range(n):
        _write_outputs(own, work, statistics, scores[j], j)
    if n > 1:
        _write_joint_outputs(own, work, n)
    for j in range(n):
        work.mixed[j] = scores[j]
        if work.known[j, 0] == work.known[j, 0]:
            work.mixed[j] = _mix(own.log_weights[j], work.outputs[j], _n_experts(own, n))


@kernel
def answer(settings, state, work, statistics, scores):
    """Write the answers to the stream's next row, standardised, into `work.mixed`.

    Parameters are those of `mix_values`.
    """
    n = state.counts.n_classes
    if settings.n_lags > 0:
        mix_values(state.next_value, work, statistics, scores, n)
        return
    for j in range(n):
        work.mixed[j] = scores[j]


@kernel
def _write_gain(projector, inputs, gain, keep):
    """Write the gain of a row over the root of its scale, and return that root; 0: no gain.

    The scale is `keep` (float64) and the energy of the inputs. A projector is symmetric: its
    columns are its rows, which are read in order.
    """
    n = len(inputs)
    scale = keep
    gain.fill(0.0)
    for j in range(n):
        for i in range(n):
            gain[i] += projector[j, i] * inputs[j]
    for i in range(n):
        scale += inputs[i] * gain[i]
    if not (scale > 0.0 and math.isfinite(scale)):
        return 0.0
    root = math.sqrt(scale)
    for i in range(n):
        gain[i] /= root
    return root


@kernel
def _change_projector(projector, gain, keep):
    """Take a row into a projector; `gain` and `keep` are those of `_write_gain`."""
    n = len(gain)
    trace = 0.0
    factor = 1.0 / keep
    for i in range(n):
        for j in range(n):
            projector[i, j] = (projector[i, j] - gain[i] * gain[j]) * factor
        trace += projector[i, i]
    most = 4.0 * n / PRIOR
    if trace > most:  # what no row shows any more is not forgotten without end
        for i in range(n):
            for j in range(n):
                projector[i, j] *= most / trace


@kernel
def _squared_error(output, target):
    """Return the squared error of an output, as far as it counts."""
    error = output - target
    return min(error * error, MAX_ERROR)


@kernel
def observation_share(errors, is_delayed):
    """Return the share of an observation that a row is (float64), once values are late (bool).

    `errors` is the record of `DelayedValueState`.
    """
    return LATE_SHARE * evidence_share(errors) if is_delayed else 1.0


@kernel
def _weigh(own, outputs, observed, j, n_experts):
    """Compare the experts of target `j` by its (standardised value, share of an observation).

    The deviation of the first few values is often far too small, and their errors in it far too
    large. So the mean squared errors start at 1, that of the mean value, as if a row had shown it.
    At first log-weights fade faster, in proportion to the rows so far: which expert was ahead on
    the first few rows must not count for hundreds.
    """
    target, share = observed
    best = math.inf
    errors = own.errors[j]
    log_weights = own.log_weights[j]
    own.counters[j].n_scored += 1
    newest = 1.0 / (own.counters[j].n_scored + 1.0)
    rate = max(ERROR_RATE, newest)
    keep = 1.0 - share * max(1.0 - DECAY, newest)
    for e in range(n_experts):
        errors[e] += rate * (_squared_error(outputs[e], target) - errors[e])
        best = min(best, errors[e])
    scale = 2.0 * max(best, MIN_ERROR)
    for e in range(n_experts):
        loss = min(_squared_error(outputs[e], target) / scale, MAX_STEP)
        log_weights[e] = keep * log_weights[e] - share * loss


@kernel
def _is_learned(work, statistics, j):
    """Return whether target `j` has a value now, had one before, and varies."""
    is_known = work.followed[j] == work.followed[j] and work.known[j, 0] == work.known[j, 0]
    return is_known and deviation_of(statistics, j) > 0.0


@kernel
def _fit_own(own, work, j, target):
    """Fit the linear models of target `j` to its standardised value."""
    gain = work.gain
    for m in range(own.weights.shape[1]):
        keep = 1.0 - FORGETTING[m]
        root = _write_gain(own.projectors[j, m], work.inputs[j], gain, keep)
        if root > 0.0:
            step = (work.outputs[j, FIRST_MODEL + m] - target) / root
            for i in range(len(gain)):
                own.weights[j, m, i] -= gain[i] * step
            _change_projector(own.projectors[j, m], gain, keep)


@kernel
def _fit_joint(own, work, m, n):
    """Fit joint model `m` (int64) to the targets that are learned."""
    keep = 1.0 - FORGETTING[m]
    gain = work.joint_gain
    root = _write_gain(own.joint_projectors[m], work.joint_inputs, gain, keep)
    if not root > 0.0:
        return
    for j in range(n):
        error = (work.outputs[j, FIRST_JOINT + m] - work.targets[j]) / root
        work.buffer[j] = error if error == error else 0.0  # NaN: not learned
    for i in range(len(gain)):
        for j in range(n):
            own.joint_weights[m, i, j] -= gain[i] * work.buffer[j]
    _change_projector(own.joint_projectors[m], gain, keep)


@kernel
def learn_values(own, work, statistics, n):
    """Compare the experts of each target, and fit the linear models.

    `mix_values` has written the outputs of the row; `work.shares` are those of an observation, and
    `work.followed` the values in their units, NaN where missing. The other parameters are those of
    `mix_values`.
    """
    is_any = False
    for j in range(n):
        if not _is_learned(work, statistics, j):
            work.targets[j] = math.nan
            continue
        z = in_deviations(statistics, j, work.followed[j])
        _weigh(own, work.outputs[j], (z, work.shares[j]), j, _n_experts(own, n))
        work.targets[j] = clipped(z)
        _fit_own(own, work, j, work.targets[j])
        is_any = True
    if n > 1 and is_any:
        for m in range(len(own.joint_weights)):
            _fit_joint(own, work, m, n)


@kernel
def admit_joint_models(own, n_before, n):
    """Give the joint models the lowest weight for a target that was alone before `n` were known.

    It has compared its experts without them.
    """
    if n_before != 1 or n == 1 or len(own.log_weights) == 0:
        return
    lowest = math.inf
    for e in range(FIRST_JOINT):
        lowest = min(lowest, own.log_weights[0, e])
    for e in range(FIRST_JOINT, own.log_weights.shape[1]):
        own.log_weights[0, e] = lowest


@kernel
def _restart(projector):
    """Make a projector that of a fresh model."""
    projector.fill(0.0)
    for i in range(len(projector)):
        projector[i, i] = 1.0 / PRIOR


@kernel
def learn_anew(own):
    """Forget the experts' weights and the linear models, once a value is late."""
    own.errors.fill(1.0)
    own.log_weights.fill(-HEAD_START)  # old values say little: the ensemble is ahead at first
    own.weights.fill(0.0)
    own.joint_weights.fill(0.0)
    for j in range(len(own.log_weights)):
        own.counters[j].n_scored = 0
        own.log_weights[j, ENSEMBLE] = 0.0
        for m in range(own.weights.shape[1]):
            own.weights[j, m, 0] = 1.0
            _restart(own.projectors[j, m])
    for projector in own.joint_projectors:
        _restart(projector)


@kernel
def keep_value(own, j, value):
    """Keep a value of target `j` that was learned, in its units, as the last one."""
    if len(own.known) == 0:
        return
    known = own.known[j]
    for k in range(len(known) - 1, 0, -1):
        known[k] = known[k - 1]
    known[0] = value
    own.counters[j].n_known = min(own.counters[j].n_known + 1, len(known))


@kernel
def last_value(own, j):
    """Return the last known value of target `j`, float64; NaN for none."""
    is_known = len(own.known) > 0 and own.counters[j].n_known > 0
    return own.known[j, 0] if is_known else math.nan


@kernel
def recall_values(own, j, known):
    """Write the values of target `j` known now to `known`, (lags,) float64; NaN for none."""
    for k in range(len(known)):
        known[k] = own.known[j, k] if k < own.counters[j].n_known else math.nan


@kernel
def recall_all(own, known):
    """Write the values of all targets known now to `known`, (targets, lags) float64."""
    for j in range(len(known)):
        recall_values(own, j, known[j])
