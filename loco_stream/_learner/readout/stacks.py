"""Stacks: the outputs of all experts combined linearly, by weights that are learned on the stream.

The log-loss stack weighs every block of outputs by online gradient steps on the log-loss. The
least-squares stack is one small recursive regression of the target on the least-squares outputs;
in regression it is the combined output.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, Shapes, axes, diagonal
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.softmax import SHARPNESS

FIRST_STACK_PRIOR = 0.1  # few rows say little about weights, which begin equal
# What the projector drifts back to. Were it as small as the first one, a stack would follow three
# times more slowly after many rows.
STACK_PRIOR = 1.0
STACK_LEAK = 1e-4
LOG_STACK_RATE = 1e-3
LOG_STACK_POWER = 1e-2  # mean square of the gradients at the start
POWER_RATE = 1e-3  # of the mean squared gradient of each weight, whose root divides its steps
MIN_POWER = 1e-12  # a stream of one class has no gradient


def start_equal(weights: Array, shapes: Shapes) -> None:
    """Give every weight of a stack, the last axis, the same value; they sum to 1."""
    weights.fill(1.0 / max(weights.shape[-1], 1))


start_prior = diagonal(FIRST_STACK_PRIOR)


def _start_log_weights(weights: Array, shapes: Shapes) -> None:
    start_equal(weights, shapes)
    first = 0
    for expert in EXPERTS:
        n = expert.n_outputs(shapes.settings)
        if expert.stack_weight is not None:
            weights[first : first + n] = expert.stack_weight
        first += n


class StackState(NamedTuple):
    """The stacks.

    weights, projector: of the least-squares outputs
    log_weights, log_powers: of all blocks of outputs, and mean squares of their gradients
    """

    weights: Annotated[Float64, axes("stacked", start=start_equal)]
    projector: Annotated[Float64, axes("stacked", "stacked", start=start_prior)]
    log_weights: Annotated[Float64, axes("outputs", start=_start_log_weights)]
    log_powers: Annotated[Float64, axes("outputs", start=LOG_STACK_POWER, within=NOT_NEGATIVE)]


@kernel
def _sharpness(b, n_paired):
    """Return what turns block `b` into log-odds; the first `n_paired` alternate both losses."""
    return SHARPNESS if b < n_paired and b % 2 == 0 else 1.0


@kernel
def log_stack_weights(stacks, weights):
    """Write the weight of each block of outputs in the log-odds of the log-loss stack.

    Parameters
    ----------
    stacks
        `StackState`.
    weights
        (outputs,) float64, written.
    """
    n_paired = 2 * len(stacks.weights)
    for b in range(len(weights)):
        weights[b] = stacks.log_weights[b] * _sharpness(b, n_paired)


@kernel
def mean_weights(stacks, weights):
    """Write the weight of each block of outputs in the mean of all, in log-odds.

    Parameters as in `log_stack_weights`.
    """
    n_paired = 2 * len(stacks.weights)
    for b in range(len(weights)):
        weights[b] = _sharpness(b, n_paired) / len(weights)


@kernel
def learn_log_stack(stacks, outputs, error, capacity, n_classes, share):
    """Make `share` of a gradient step of the log-loss stack.

    Parameters
    ----------
    stacks
        `StackState`.
    outputs
        (outputs * capacity,) float32.
    error
        (n_classes or more,) float64: the stack's probabilities minus the target.
    capacity, n_classes
        int64.
    share
        float64: share of an observation that the row is.
    """
    n_paired = 2 * len(stacks.weights)
    for b in range(len(stacks.log_weights)):
        slope = 0.0
        for c in range(n_classes):
            slope += error[c] * outputs[b * capacity + c]
        slope *= _sharpness(b, n_paired)
        power = stacks.log_powers[b]
        power += share * POWER_RATE * (slope * slope - power)
        stacks.log_powers[b] = power
        stacks.log_weights[b] -= share * LOG_STACK_RATE * slope / math.sqrt(power + MIN_POWER)


@kernel
def learn_stack(weights, projector, outputs, stride, target, n_classes, buffers, share):
    """Recursive least squares of the target on the outputs.

    Each class is `share` of an observation.

    Parameters
    ----------
    weights, projector
        (members,) and (members, members) float64 of the stack.
    outputs, stride
        float32 vector; the outputs of member a start at a * stride (int64).
    target
        (n_classes or more,) float64.
    n_classes
        int64.
    buffers
        (2, members) float64 working memory.
    share
        float64.
    """
    n = len(weights)
    k = buffers[0]
    values = buffers[1]
    for c in range(n_classes):
        lack = target[c]
        for a in range(n):
            values[a] = outputs[a * stride + c]
            lack -= weights[a] * values[a]
        q = 0.0
        for a in range(n):
            k[a] = 0.0
            for b in range(n):
                k[a] += projector[a, b] * values[b]
            q += k[a] * values[a]
        if not q >= 0.0 or not math.isfinite(q) or not math.isfinite(lack):
            return
        _step(weights, projector, k, lack, 1.0 / (1.0 / share + q))
    leak = share * STACK_LEAK
    for a in range(n):
        for b in range(n):
            projector[a, b] *= 1.0 - leak
        projector[a, a] += leak * STACK_PRIOR


@kernel
def _step(weights, projector, k, lack, scale):
    """Move the weights along the gain `k` (members,) by `lack` times `scale` (float64)."""
    n = len(weights)
    for a in range(n):
        coefficient = k[a] * scale
        weights[a] += coefficient * lack
        for b in range(n):
            projector[a, b] -= coefficient * k[b]
