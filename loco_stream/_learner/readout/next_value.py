"""The value of the stream's next row: a mixture of the ensemble's answer and of recent values.

Successive values of a sensor are often alike, whatever the features are. Experts are the ensemble's
answer, the last value known when the row was predicted, and two linear models of that answer and of
the last few values, fitted by recursive least squares, one of them with forgetting. They are
weighted by exp(-RATE * sum of squared errors / (2 * mean squared error of the best)), fading: the
aggregation of Vovk (1990). For a row from anywhere in the stream the ensemble answers alone.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Record, Shapes, axes, record

FORGETTING = (0.0, 0.002)  # of the linear models, per row
PRIOR = 1.0  # inverse variance of their weights, in rows
RATE = 0.2
DECAY = 0.998  # of the log-weights, per row
ERROR_RATE = 0.005  # of the mean squared errors
MAX_ERROR = 16.0  # squared error that counts
MIN_ERROR = 1e-4  # mean square of the best
MAX_STEP = 8.0  # that one row changes a log-weight by
MAX_OUTPUT = 10.0  # in standard deviations
HEAD_START = 2.0  # of the ensemble, in log-weight: in random order recent values say nothing
ENSEMBLE = 0  # positions of the experts
LAST = 1
FIRST_MODEL = 2


def _only_ensemble(weights: Array, shapes: Shapes) -> None:
    weights[:, :1] = 1.0


def _start_log_weights(weights: Array, shapes: Shapes) -> None:
    weights[1:] = -HEAD_START


def _start_projectors(projectors: Array, shapes: Shapes) -> None:
    for projector in projectors:
        np.fill_diagonal(projector, 1.0 / PRIOR)


class NextValueState(NamedTuple):
    """The experts and their weights; empty for classes.

    known: recent values, the last one first; counters: how many there are, and rows scored
    weights, projectors: of the linear models, whose inputs are the ensemble's answer, the recent
    values and 1
    errors, log_weights: mean squared error and weight of each expert
    """

    known: Annotated[Float64, axes("lags")]
    counters: Annotated[Record, record(np.int64, n_known=0, n_scored=0)]
    weights: Annotated[Float64, axes("value_models", "value_inputs", start=_only_ensemble)]
    projectors: Annotated[
        Float64,
        axes("value_models", "value_inputs", "value_inputs", start=_start_projectors),
    ]
    errors: Annotated[Float64, axes("value_experts", start=1.0)]
    log_weights: Annotated[Float64, axes("value_experts", start=_start_log_weights)]


class NextValueScratch(NamedTuple):
    """Working arrays.

    known: the recent values when the row in scratch was predicted, NaN where there was none
    inputs, gain: of the linear models
    outputs: of each expert
    """

    known: Annotated[Float64, axes("lags")]
    inputs: Annotated[Float64, axes("value_inputs")]
    gain: Annotated[Float64, axes("value_inputs")]
    outputs: Annotated[Float64, axes("value_experts")]


@kernel
def _write_outputs(own, work, ensemble, mean, deviation):
    """Write the inputs of the linear models and the output of each expert, standardised."""
    n_lags = work.known.shape[0]
    work.inputs[0] = ensemble
    for k in range(n_lags):
        value = work.known[k]
        is_known = value == value and deviation > 0.0
        z = (value - mean) / deviation if is_known else 0.0
        work.inputs[1 + k] = min(max(z, -MAX_OUTPUT), MAX_OUTPUT)
    work.inputs[1 + n_lags] = 1.0
    work.outputs[ENSEMBLE] = ensemble
    work.outputs[LAST] = work.inputs[1] if n_lags > 0 else 0.0
    for m in range(own.weights.shape[0]):
        total = 0.0
        for i in range(work.inputs.shape[0]):
            total += own.weights[m, i] * work.inputs[i]
        work.outputs[FIRST_MODEL + m] = min(max(total, -MAX_OUTPUT), MAX_OUTPUT)


@kernel
def mix_values(own, work, ensemble, mean, deviation):
    """Return the answer to the next row, standardised.

    Parameters
    ----------
    own, work
        `NextValueState`, and `NextValueScratch` with the values known then.
    ensemble
        float64: the ensemble's answer, standardised.
    mean, deviation
        float64: of the targets.
    """
    if work.known[0] != work.known[0]:
        return ensemble
    _write_outputs(own, work, ensemble, mean, deviation)
    top = -math.inf
    total = 0.0
    mixed = 0.0
    for e in range(own.log_weights.shape[0]):
        top = max(top, own.log_weights[e])
    for e in range(own.log_weights.shape[0]):
        weight = math.exp(own.log_weights[e] - top)
        total += weight
        mixed += weight * work.outputs[e]
    return mixed / total


@kernel
def _fit(weights, projector, inputs, gain, forgetting, error):
    """Make a step of recursive least squares with forgetting.

    Parameters
    ----------
    weights, inputs, gain
        (inputs,) float64; the first is updated, the last is working memory.
    projector
        (inputs, inputs) float64, updated.
    forgetting, error
        float64: the share forgotten, and output less target.
    """
    n = inputs.shape[0]
    keep = 1.0 - forgetting
    scale = keep
    for i in range(n):
        gain[i] = 0.0
        for j in range(n):
            gain[i] += projector[i, j] * inputs[j]
        scale += inputs[i] * gain[i]
    trace = 0.0
    for i in range(n):
        weights[i] -= gain[i] / scale * error
        for j in range(n):
            projector[i, j] = (projector[i, j] - gain[i] * gain[j] / scale) / keep
        trace += projector[i, i]
    most = 4.0 * n / PRIOR
    if trace > most:  # what no row shows any more is not forgotten without end
        for i in range(n):
            for j in range(n):
                projector[i, j] *= most / trace


@kernel
def learn_value(own, work, ensemble, target, mean, deviation):
    """Compare the experts by a target (float64, standardised), and fit the linear models.

    Parameters are those of `mix_values`.
    """
    if work.known[0] != work.known[0]:
        return
    _write_outputs(own, work, ensemble, mean, deviation)
    n_experts = own.log_weights.shape[0]
    best = math.inf
    own.counters.n_scored += 1
    rate = max(ERROR_RATE, 1.0 / own.counters.n_scored)
    for e in range(n_experts):
        error = work.outputs[e] - target
        own.errors[e] += rate * (min(error * error, MAX_ERROR) - own.errors[e])
        best = min(best, own.errors[e])
    for e in range(n_experts):
        error = work.outputs[e] - target
        loss = RATE * min(error * error, MAX_ERROR) / (2.0 * max(best, MIN_ERROR))
        own.log_weights[e] = DECAY * own.log_weights[e] - min(loss, MAX_STEP)
    for m in range(own.weights.shape[0]):
        error = work.outputs[FIRST_MODEL + m] - target
        _fit(own.weights[m], own.projectors[m], work.inputs, work.gain, FORGETTING[m], error)


@kernel
def keep_value(own, value):
    """Keep a value that was learned, in the target's units, as the last one."""
    known = own.known
    if known.shape[0] == 0:
        return
    for k in range(known.shape[0] - 1, 0, -1):
        known[k] = known[k - 1]
    known[0] = value
    own.counters.n_known = min(own.counters.n_known + 1, known.shape[0])


@kernel
def recall_values(own, known):
    """Write the values known now to `known`, (lags,) float64; NaN where there is none."""
    for k in range(known.shape[0]):
        known[k] = own.known[k] if k < own.counters.n_known else math.nan
