"""The answer to the stream's next row: a log-linear stack of the ensemble's answer and of context.

The log-probabilities of the ensemble's answer, and the log-odds of experts that know something else
(a discriminant that forgets nothing, recent labels, what followed the last label, class sizes), are
added up by weights that are learned by damped Newton steps on the log-loss. It starts from the
ensemble's answer alone. For a row from anywhere in the stream what comes from the rows before is
left out.

A Bayesian mixture joins the stack's answer and that of each expert that needs no context. A stack
whose weights move slowly does not know yet how much better a discriminant is than hidden layers
that have seen a few hundred wide rows; the mixture knows after tens.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, Shapes, axes
from loco_stream._learner.readout.mixture import retained
from loco_stream._learner.readout.softmax import log_total, softmax

CURVED_ROWS = 20.0  # a step counts the second derivative of the row at hand as that of so many
# Of a step, beside the second derivative; it grows with every row seen, up to the last.
FIRST_DAMPING = 4.0
DAMPING_GROWTH = 0.2
DAMPING = 200.0
CONTEXT_RATE = 1e-2  # of the weights of context
FIRST_POWER = 1e-2  # mean square of the gradients at the start
POWER_RATE = 1e-3
MIN_POWER = 1e-12  # a stream of one class has no gradient
LEAST = 1e-6  # probability granted to every class
# In log-weight. An expert this far behind decides nothing. When the stream changes it can be ahead
# within a few rows, however long another was.
LARGEST_LEAD = 10.0
HEAD_START = 3.0  # of the stack, in log-weight: where both know all, an expert decides nothing
ENSEMBLE = 0  # position of the ensemble's answer
STACK = 0  # position of the stack's answer in the mixture


def _only_ensemble(weights: Array, shapes: Shapes) -> None:
    weights[:1] = 1.0


def _contexts(contexts: Array, shapes: Shapes) -> None:
    from loco_stream._learner.readout.experts import EXPERTS

    first = 1
    for expert in EXPERTS:
        n = expert.n_log_odds(shapes.settings)
        contexts[first : first + n] = float(expert.knows_context)
        first += n


class NextRowState(NamedTuple):
    """The stack; empty without a fixed layer.

    weights: of the ensemble's answer and of each expert's log-odds
    powers: mean squares of the gradients of context's weights; the others stay as they are
    contexts: 1 where they come from the rows before
    log_weights: of the stack's answer in the mixture, and of each expert's; 0 where it has context
    """

    weights: Annotated[Float64, axes("log_odds", start=_only_ensemble)]
    powers: Annotated[Float64, axes("log_odds", start=FIRST_POWER, within=NOT_NEGATIVE)]
    contexts: Annotated[Float64, axes("log_odds", start=_contexts, derived=True)]
    log_weights: Annotated[Float64, axes("log_odds")]


@kernel
def write_log_probabilities(proba, n_classes, log_odds):
    """Write the logarithms of the ensemble's probabilities, (n_classes or more,) float64."""
    for c in range(n_classes):
        log_odds[ENSEMBLE, c] = math.log(max(proba[c], LEAST))


@kernel
def combine(stack, log_odds, n_classes, in_stream, proba):
    """Write the softmax of the weighted sum of log-odds.

    Parameters
    ----------
    stack
        `NextRowState`.
    log_odds
        (rows, n_classes or more) float64.
    n_classes
        int64.
    in_stream
        bool: with what comes from the rows before.
    proba
        (n_classes or more,) float64, written.
    """
    for c in range(n_classes):
        proba[c] = 0.0
    for k in range(len(stack.weights)):
        if in_stream or stack.contexts[k] == 0.0:
            for c in range(n_classes):
                proba[c] += stack.weights[k] * log_odds[k, c]
    softmax(proba, 0, n_classes, 1.0, proba)


@kernel
def mix_experts(stack, log_odds, n_classes, proba):
    """Mix the answer of every expert without context into that of the stack, in place.

    Parameters
    ----------
    stack, log_odds, n_classes
        As in `combine`.
    proba
        (n_classes or more,) float64: the stack's answer.
    """
    log_weights = stack.log_weights
    stack_weight = log_weights[STACK] + HEAD_START
    top = stack_weight
    for k in range(STACK + 1, len(log_weights)):
        if stack.contexts[k] == 0.0:
            top = max(top, log_weights[k])
    total = math.exp(stack_weight - top)
    for c in range(n_classes):
        proba[c] *= total
    for k in range(STACK + 1, len(log_weights)):
        if stack.contexts[k] == 0.0:
            weight = math.exp(log_weights[k] - top)
            total += weight
            total_odds = log_total(log_odds[k], n_classes)
            for c in range(n_classes):
                proba[c] += weight * math.exp(log_odds[k, c] - total_odds)
    for c in range(n_classes):
        proba[c] /= total


@kernel
def _bound_leads(stack):
    """Keep the log-weights within `LARGEST_LEAD` of the best one."""
    log_weights = stack.log_weights
    top = -math.inf
    for k in range(len(log_weights)):
        if stack.contexts[k] == 0.0:
            top = max(top, log_weights[k])
    for k in range(len(log_weights)):
        if stack.contexts[k] == 0.0:
            log_weights[k] = max(log_weights[k], top - LARGEST_LEAD)


@kernel
def learn_mixture(stack, predicted, n_classes, label, n_observations, share):
    """Take what the stack and each expert gave to `share` of a label into their log-weights.

    Parameters
    ----------
    stack, n_classes, label, share
        As in `learn_weights`.
    predicted
        Log-odds as in `learn_weights`, and the stack's answer in the stream, (n_classes or more,)
        float64.
    n_observations
        int64: observations so far, see `delayed_labels.weights`.
    """
    log_odds, proba = predicted
    keep = retained(n_observations, share)
    log_weights = stack.log_weights
    gained = share * math.log(max(proba[label], LEAST))
    log_weights[STACK] = keep * log_weights[STACK] + gained
    for k in range(STACK + 1, len(log_weights)):
        if stack.contexts[k] == 0.0:
            log_proba = log_odds[k, label] - log_total(log_odds[k], n_classes)
            gained = share * max(log_proba, math.log(LEAST))
            log_weights[k] = keep * log_weights[k] + gained
    _bound_leads(stack)


@kernel
def learn_weights(stack, log_odds, proba, n_classes, label, n_observations, share):
    """Make `share` of a damped Newton step on the log-loss, for each weight on its own.

    The second derivative along a weight is the variance of its log-odds under the answer. A row
    where the answer is certain has almost none. If the answer is wrong as well, the gradient is
    large: its square is part of the damping, or one such row would reverse a weight. Where
    errors are rare, so are gradients of context: its damping is in proportion to their root mean
    square, or it would hardly learn.

    Parameters
    ----------
    stack
        `NextRowState`.
    log_odds
        (rows, n_classes or more) float64.
    proba
        (n_classes or more,) float64: what `combine` made of them in the stream.
    n_classes, label, n_observations
        int64; the last: observations so far.
    share
        float64.
    """
    least = min(DAMPING, FIRST_DAMPING + DAMPING_GROWTH * n_observations)
    for k in range(len(stack.weights)):
        mean = 0.0
        square = 0.0
        for c in range(n_classes):
            mean += proba[c] * log_odds[k, c]
            square += proba[c] * log_odds[k, c] * log_odds[k, c]
        slope = mean - log_odds[k, label]
        curvature = max(0.0, square - mean * mean)
        damping = least + slope * slope
        if stack.contexts[k] != 0.0:
            power = stack.powers[k]
            power += share * POWER_RATE * (slope * slope - power)
            stack.powers[k] = power
            damping = math.sqrt(power + MIN_POWER) / CONTEXT_RATE
        stack.weights[k] -= share * slope / (CURVED_ROWS * curvature + damping)
