"""Values that arrive late: a mixture of members, weighted by how well they predicted at the time.

With values at once one stack is the output. When they are late, what is best differs from stream to
stream: a single slow member where the target wanders on, the stack of what members predicted then
where they know little of the rows to come, the stack of what they predict by now where rows are
independent, the linear members where there is little to learn from. So the members, both stacks,
the mean of all without a memory and the mean of the linear ones are weighted by exp(-RATE * sum of
squared errors / (2 * error of the best)), fading: the aggregation of Vovk (1990).

Errors of rows that wait together are much alike, and so is their evidence for the weights. A row
counts as the share (1 - r) / (1 + r) of an observation, where r is the correlation of the mixture's
error with the one before (Bayley & Hammersley 1946).
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.spec import Record, axes, record
from loco_stream.learner.readout.mixture import DECAY, EARLY
from loco_stream.learner.readout.stacks import start_equal, start_prior

N_OTHERS = 4  # besides the members: two stacks, two means
THEN = 0  # positions of these behind the members: the stack of the outputs when predicted,
NOW = 1  # the stack of the outputs by now,
MEAN = 2  # the mean of all members without a memory,
LINEAR = 3  # and of the linear ones
RATE = 0.2
MAX_ERROR = 16.0  # squared error that is believed
MIN_ERROR = 1e-4  # mean square of the best
ERROR_RATE = 0.005  # of that mean
CORRELATION_RATE = 0.01
MAX_CORRELATION = 0.9
# Fields of the errors, and what each starts from.
ERRORS = {
    "n_scored": 0.0,
    "best_error": 1.0,
    "n_errors": 0.0,
    "power": 0.0,
    "product": 0.0,
    "last_error": 0.0,
}


class DelayedValueState(NamedTuple):
    """Weights of a regression whose values arrive late.

    errors: n_scored observations; best_error, mean square of the best expert; n_errors of the
    mixture, mean of their squares, of their products with the one before, and the last one
    log_weights: of each member, and of the others
    stack, projector: of what members predict by now
    """

    errors: Annotated[Record, record(np.float64, **ERRORS)]
    log_weights: Annotated[NDArray[np.float64], axes("late_experts")]
    stack: Annotated[NDArray[np.float64], axes("late_stacked", start=start_equal)]
    projector: Annotated[
        NDArray[np.float64], axes("late_stacked", "late_stacked", start=start_prior)
    ]


@kernel
def _first_memoryless(settings):
    """Return the position of the first member without a memory; the others follow it."""
    return settings.n_trace - settings.n_memoryless if settings.n_memoryless > 0 else 0


@kernel
def write_weights(settings, delayed, stack, weights):
    """Write the weight of each member in the mixture of all experts.

    Parameters
    ----------
    delayed
        `DelayedValueState`.
    stack
        (members,) float64: weights of the stack of the outputs when predicted.
    weights
        (members,) float64, written.
    """
    log_weights = delayed.log_weights
    n = stack.shape[0]
    top = -math.inf
    total = 0.0
    first = settings.n_trace
    n_linear = settings.n_linear
    without = _first_memoryless(settings)
    for e in range(log_weights.shape[0]):
        top = max(top, log_weights[e])
    for e in range(log_weights.shape[0]):
        total += math.exp(log_weights[e] - top)
    then = math.exp(log_weights[n + THEN] - top) / total
    now = math.exp(log_weights[n + NOW] - top) / total
    mean = math.exp(log_weights[n + MEAN] - top) / total
    linear = math.exp(log_weights[n + LINEAR] - top) / total
    for a in range(n):
        own = math.exp(log_weights[a] - top) / total
        weights[a] = own + then * stack[a] + now * delayed.stack[a]
        if a >= without:
            weights[a] += mean / (n - without)
        if n_linear == 0:
            weights[a] += linear / n
        elif first <= a < first + n_linear:
            weights[a] += linear / n_linear


@kernel
def independent_share(errors, error):
    """Return the share of an observation that a row is, by how alike successive errors are.

    `errors` is the record of `DelayedValueState`; `error` is a float64.
    """
    errors.n_errors += 1.0
    error = min(max(error, -math.sqrt(MAX_ERROR)), math.sqrt(MAX_ERROR))
    rate = max(CORRELATION_RATE, 1.0 / errors.n_errors)
    errors.power += rate * (error * error - errors.power)
    errors.product += rate * (error * errors.last_error - errors.product)
    errors.last_error = error
    r = errors.product / errors.power if errors.power > 0.0 else 0.0
    r = min(max(r, 0.0), MAX_CORRELATION)
    return (1.0 - r) / (1.0 + r)


@kernel
def _others(settings, delayed, stack, outputs, stride):
    """Return what both stacks, the mean and the mean of the linear members predicted."""
    then = 0.0
    now = 0.0
    mean = 0.0
    linear = 0.0
    n = stack.shape[0]
    first = settings.n_trace
    n_linear = settings.n_linear
    without = _first_memoryless(settings)
    for e in range(n):
        score = np.float64(outputs[e * stride])
        then += stack[e] * score
        now += delayed.stack[e] * score
        if e >= without:
            mean += score / (n - without)
        if n_linear == 0:
            linear += score / n
        elif first <= e < first + n_linear:
            linear += score / n_linear
    return then, now, mean, linear


@kernel
def learn_weights(settings, delayed, stack, outputs, stride, error, target, share):
    """Take `share` of each expert's squared error into its log-weight.

    Parameters
    ----------
    delayed
        `DelayedValueState`.
    stack
        (members,) float64.
    outputs, stride
        float32 outputs when the row was predicted; those of member a start at a * stride (int64).
    error, target
        float64: the error of the mixture, and the standardised target.
    share
        float64.
    """
    errors = delayed.errors
    log_weights = delayed.log_weights
    n = stack.shape[0]
    share *= independent_share(errors, error)
    errors.n_scored += share
    decay = min(DECAY, errors.n_scored / (errors.n_scored + EARLY))
    keep = 1.0 - share * (1.0 - decay)
    rate = 0.5 * share * RATE / max(errors.best_error, MIN_ERROR)
    others = _others(settings, delayed, stack, outputs, stride)
    best = 0
    least = 0.0
    for e in range(n + N_OTHERS):
        score = np.float64(outputs[e * stride]) if e < n else others[e - n]
        squared = min((score - target) * (score - target), MAX_ERROR)
        log_weights[e] = keep * log_weights[e] - rate * squared
        if e == 0 or log_weights[e] > log_weights[best]:
            best = e
            least = squared
    error_rate = max(ERROR_RATE, 1.0 / max(errors.n_scored, 1.0))
    errors.best_error += share * error_rate * (least - errors.best_error)
