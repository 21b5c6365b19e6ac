"""Values that arrive late: a mixture of members, weighted by how well they predicted at the time.

With values at once one stack is the output. When they are late, what is best differs from stream to
stream: a single slow member where the target wanders on, the stack of what members predicted then
where they know little of the rows to come, the stack of what they predict by now where rows are
independent, the linear members where there is little to learn from. So the members, both stacks,
the mean of all without a memory and the mean of the linear ones are weighted by exp(-RATE * sum of
squared errors / (2 * error of the best)), fading: the aggregation of Vovk (1990).

Each is scored by what it predicted at the time, within the range of the targets. The stacks have
learned the rows beside a row that waited, so by now they would find its value in hindsight.

A memory tells rows apart by their time, which often predicts the value of a row beside one that was
learned, and not that of a row a day later. The second stack and both means are of members without a
memory. With these members alone they make the mixture of a model without a memory, by whose error
the hidden layers learn. They learn values that come at once by the mean of both stacks.

Errors of rows that wait together are much alike, and so is their evidence for the weights. A row
counts as the share (1 - r) / (1 + r) of an observation, where r is the correlation of the mixture's
error with the one before (Bayley & Hammersley 1946).
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Record, axes, record
from loco_stream._learner.readout import stacks
from loco_stream._learner.readout.mixture import DECAY, EARLY
from loco_stream._learner.readout.softmax import highest
from loco_stream._learner.readout.stacks import start_equal, start_prior
from loco_stream._learner.readout.weighted_sum import weighted_sum
from loco_stream._learner.settings import Settings
from loco_stream._learner.target_units import output_bounds

N_OTHERS = 4  # besides the members: two stacks, two means
THEN = 0  # positions of these behind the members: the stack of the outputs when predicted,
NOW = 1  # the stack of the outputs by now, of members without a memory,
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
    stack, projector: of what members without a memory predict by now
    """

    errors: Annotated[Record, record(np.float64, **ERRORS)]
    log_weights: Annotated[Float64, axes("late_experts")]
    stack: Annotated[Float64, axes("late_stacked", start=start_equal)]
    projector: Annotated[Float64, axes("late_stacked", "late_stacked", start=start_prior)]


def first_memoryless(settings: Settings) -> int:
    """Return the position of the first member without a memory; the others follow it."""
    return settings.n_trace - settings.n_memoryless if settings.n_memoryless > 0 else 0


first_without_memory = kernel(first_memoryless)  # the same for compiled code


@kernel
def write_weights(settings, delayed, stack, first, weights):
    """Write the weight of each member in the mixture of experts.

    Parameters
    ----------
    delayed
        `DelayedValueState`.
    stack
        (members,) float64: weights of the stack of the outputs when predicted.
    first
        int64: 0 for the mixture of all experts. The position of the first member without a memory
        for the mixture of the experts that use such members alone.
    weights
        (members,) float64, written.
    """
    log_weights = delayed.log_weights
    n = len(stack)
    n_linear = settings.n_linear
    without = first_without_memory(settings)
    top = -math.inf
    total = 0.0
    for e in range(first, len(log_weights)):
        if first == 0 or e != n + THEN:
            top = max(top, log_weights[e])
    for e in range(first, len(log_weights)):
        if first == 0 or e != n + THEN:
            total += math.exp(log_weights[e] - top)
    then = math.exp(log_weights[n + THEN] - top) / total if first == 0 else 0.0
    now = math.exp(log_weights[n + NOW] - top) / total
    mean = math.exp(log_weights[n + MEAN] - top) / total
    linear = math.exp(log_weights[n + LINEAR] - top) / total
    for a in range(n):
        own = math.exp(log_weights[a] - top) / total if a >= first else 0.0
        weights[a] = own + then * stack[a]
        if a >= without:
            weights[a] += now * delayed.stack[a - without] + mean / (n - without)
        if n_linear == 0:
            weights[a] += linear / n
        elif settings.n_trace <= a < settings.n_trace + n_linear:
            weights[a] += linear / n_linear


@kernel
def write_mean_weights(settings, delayed, stack, weights):
    """Write the weight of each member in the mean of both stacks.

    Where no member does without a memory, the second stack learns late values alone, and the mean
    is the first. Parameters are those of `write_weights`.
    """
    without = first_without_memory(settings)
    for a in range(len(stack)):
        weights[a] = stack[a]
        if without > 0:
            by_now = delayed.stack[a - without] if a >= without else 0.0
            weights[a] = 0.5 * (stack[a] + by_now)


@kernel
def memoryless_share(settings, delayed):
    """Return the share of the mixture, 0 to 1, that experts without a memory have.

    `delayed` is `DelayedValueState`. A mixture whose members all have a memory has none.
    """
    if settings.n_memoryless == 0:
        return 0.0
    log_weights = delayed.log_weights
    without = first_without_memory(settings)
    then = len(log_weights) - N_OTHERS + THEN
    top = highest(log_weights, len(log_weights))
    total = 0.0
    share = 0.0
    for e in range(len(log_weights)):
        weight = math.exp(log_weights[e] - top)
        total += weight
        if e >= without and e != then:
            share += weight
    return share / total


@kernel
def evidence_share(errors):
    """Return the share of an observation that a row is, by how alike successive errors were.

    `errors` is the record of `DelayedValueState`.
    """
    r = errors.product / errors.power if errors.power > 0.0 else 0.0
    r = min(max(r, 0.0), MAX_CORRELATION)
    return (1.0 - r) / (1.0 + r)


@kernel
def independent_share(errors, error):
    """Take in an error; return the share of an observation that its row is.

    `errors` is the record of `DelayedValueState`; `error` is a float64.
    """
    errors.n_errors += 1.0
    error = min(max(error, -math.sqrt(MAX_ERROR)), math.sqrt(MAX_ERROR))
    rate = max(CORRELATION_RATE, 1.0 / errors.n_errors)
    errors.power += rate * (error * error - errors.power)
    errors.product += rate * (error * errors.last_error - errors.product)
    errors.last_error = error
    return evidence_share(errors)


@kernel
def write_others(settings, delayed, stack, outputs, stride, others):
    """Write what both stacks, the mean and the mean of the linear members predict.

    Parameters
    ----------
    delayed, stack
        As in `write_weights`.
    outputs, stride
        float32 outputs; those of member a start at a * stride (int64).
    others
        float64, written in the same steps.
    """
    then = 0.0
    now = 0.0
    mean = 0.0
    linear = 0.0
    n = len(stack)
    n_linear = settings.n_linear
    without = first_without_memory(settings)
    for a in range(n):
        score = np.float64(outputs[a * stride])
        then += stack[a] * score
        if a >= without:
            now += delayed.stack[a - without] * score
            mean += score / (n - without)
        if n_linear == 0:
            linear += score / n
        elif settings.n_trace <= a < settings.n_trace + n_linear:
            linear += score / n_linear
    others[THEN * stride] = then
    others[NOW * stride] = now
    others[MEAN * stride] = mean
    others[LINEAR * stride] = linear


@kernel
def _output(predicted, n, e):
    """Return what an expert predicted, within the bounds; there are `n` members."""
    outputs, others, stride, lowest, highest = predicted
    output = np.float64(outputs[e * stride]) if e < n else others[(e - n) * stride]
    return min(max(output, lowest), highest)


@kernel
def mix(delayed, predicted):
    """Return the output of the mixture.

    Parameters
    ----------
    delayed
        `DelayedValueState`.
    predicted
        (outputs, others, stride, lowest, highest): as in `write_others`, and the bounds of an
        output (float64).
    """
    log_weights = delayed.log_weights
    top = highest(log_weights, len(log_weights))
    total = 0.0
    mixed = 0.0
    for e in range(len(log_weights)):
        weight = math.exp(log_weights[e] - top)
        total += weight
        mixed += weight * _output(predicted, len(log_weights) - N_OTHERS, e)
    return mixed / total


@kernel
def _predicted(state, statistics, computed, j):
    """Return what experts predicted for target `j` (int64), and its bounds; see `mix`."""
    lowest, highest = output_bounds(statistics, j)
    capacity = len(state.classes.n_rows)
    return computed.outputs[j:], computed.others[j:], capacity, lowest, highest


@kernel
def combine(settings, state, delayed, stack, statistics, computed, j, weights):
    """Write the combined output of a target, and the weights of the members in it.

    Parameters
    ----------
    delayed, stack, weights
        As in `write_weights`.
    statistics, j
        As in `value_of`.
    computed
        `ReadoutPass` with the outputs of the members; `combined` is written.
    """
    if state.delayed.is_delayed > 0.0:
        write_weights(settings, delayed, stack, 0, weights)
        computed.combined[j] = mix(delayed, _predicted(state, statistics, computed, j))
        return
    for a in range(len(stack)):
        weights[a] = stack[a]
    capacity = len(state.classes.n_rows)
    weighted_sum(computed.outputs[j:], stack, capacity, 1, computed.combined[j:])


@kernel
def write_credit_weights(settings, state, delayed, stack, weights):
    """Write the weight of each member in the output that the hidden layers learn from.

    Parameters are those of `write_weights`.
    """
    if state.delayed.is_delayed > 0.0:
        write_weights(settings, delayed, stack, first_without_memory(settings), weights)
    else:
        write_mean_weights(settings, delayed, stack, weights)


@kernel
def learn(settings, state, scratch, delayed, statistics, computed, j, share):
    """Update the weights for late values of a target, and its second stack, where they are in use.

    Parameters
    ----------
    delayed, statistics, j
        As in `combine`.
    computed
        `ReadoutPass` of the time when the row was predicted.
    share
        float64: share of an observation that the row is.
    """
    is_delayed = state.delayed.is_delayed > 0.0
    if not is_delayed and settings.n_memoryless == 0:
        return
    target = scratch.target[j:]
    if is_delayed:
        predicted = _predicted(state, statistics, computed, j)
        error = computed.combined[j] - target[0]
        learn_weights(delayed, predicted, error, target[0], share)
    now = scratch.now
    capacity = len(state.classes.n_rows)
    learn_stack(settings, delayed, now.outputs[j:], capacity, target, now.stack_buffers, share)


@kernel
def learn_stack(settings, delayed, outputs, stride, target, buffers, share):
    """Let the second stack learn a target from what members without a memory predict by now.

    Parameters
    ----------
    delayed
        `DelayedValueState`.
    outputs, stride
        As in `write_others`.
    target, buffers, share
        As in `stacks.learn_stack`.
    """
    outputs = outputs[first_without_memory(settings) * stride :]
    stacks.learn_stack(delayed.stack, delayed.projector, outputs, stride, target, 1, buffers, share)


@kernel
def learn_weights(delayed, predicted, error, target, share):
    """Take `share` of each expert's squared error into its log-weight.

    Parameters
    ----------
    delayed
        `DelayedValueState`.
    predicted
        As in `mix`, of the time when the row was predicted.
    error, target
        float64: the error of the mixture, and the standardised target.
    share
        float64.
    """
    errors = delayed.errors
    log_weights = delayed.log_weights
    n_experts = len(log_weights)
    share *= independent_share(errors, error)
    errors.n_scored += share
    decay = min(DECAY, errors.n_scored / (errors.n_scored + EARLY))
    keep = 1.0 - share * (1.0 - decay)
    rate = 0.5 * share * RATE / max(errors.best_error, MIN_ERROR)
    best = 0
    least = 0.0
    for e in range(n_experts):
        lack = _output(predicted, n_experts - N_OTHERS, e) - target
        squared = min(lack * lack, MAX_ERROR)
        log_weights[e] = keep * log_weights[e] - rate * squared
        if e == 0 or log_weights[e] > log_weights[best]:
            best = e
            least = squared
    error_rate = max(ERROR_RATE, 1.0 / max(errors.n_scored, 1.0))
    errors.best_error += share * error_rate * (least - errors.best_error)
