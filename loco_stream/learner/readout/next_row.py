"""The answer to the stream's next row: a log-linear stack of the ensemble's answer and of context.

The log-probabilities of the ensemble's answer, and the log-odds of experts that know something else
(a discriminant that forgets nothing, recent labels, what followed the last label), are added up by
weights that are learned by gradient steps on the log-loss, each divided by the root of its mean
square. It starts from the ensemble's answer alone. For a row from anywhere in the stream what
comes from the rows before is left out.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.spec import Array, Shapes, axes

__all__ = ["NextRowState", "combine", "learn_weights", "write_log_probabilities"]

RATE = 3e-3
FIRST_POWER = 1e-2  # mean square of the gradients at the start
POWER_RATE = 1e-3
MIN_POWER = 1e-12  # a stream of one class has no gradient
LEAST = 1e-6  # probability granted to every class
ENSEMBLE = 0  # position of the ensemble's answer


def _only_ensemble(weights: Array, shapes: Shapes) -> None:
    weights[:1] = 1.0


def _contexts(contexts: Array, shapes: Shapes) -> None:
    from loco_stream.learner.readout.experts import EXPERTS

    first = 1
    for expert in EXPERTS:
        n = expert.n_log_odds(shapes.settings)
        contexts[first : first + n] = float(expert.knows_context)
        first += n


class NextRowState(NamedTuple):
    """The stack; empty without a fixed layer.

    weights, powers: of the ensemble's answer and of each expert's log-odds, and mean squares of
    their gradients
    contexts: 1 where they come from the rows before
    """

    weights: Annotated[NDArray[np.float64], axes("log_odds", start=_only_ensemble)]
    powers: Annotated[NDArray[np.float64], axes("log_odds", start=FIRST_POWER)]
    contexts: Annotated[NDArray[np.float64], axes("log_odds", start=_contexts, derived=True)]


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
    top = -math.inf
    total = 0.0
    for c in range(n_classes):
        proba[c] = 0.0
    for k in range(stack.weights.shape[0]):
        if in_stream or stack.contexts[k] == 0.0:
            for c in range(n_classes):
                proba[c] += stack.weights[k] * log_odds[k, c]
    for c in range(n_classes):
        top = max(top, proba[c])
    for c in range(n_classes):
        proba[c] = math.exp(proba[c] - top)
        total += proba[c]
    for c in range(n_classes):
        proba[c] /= total


@kernel
def learn_weights(stack, log_odds, proba, n_classes, label, share):
    """Make `share` of a gradient step on the log-loss.

    Parameters
    ----------
    stack
        `NextRowState`.
    log_odds
        (rows, n_classes or more) float64.
    proba
        (n_classes or more,) float64: what `combine` made of them in the stream.
    n_classes, label
        int64.
    share
        float64.
    """
    for k in range(stack.weights.shape[0]):
        slope = -log_odds[k, label]
        for c in range(n_classes):
            slope += proba[c] * log_odds[k, c]
        power = stack.powers[k]
        power += share * POWER_RATE * (slope * slope - power)
        stack.powers[k] = power
        stack.weights[k] -= share * RATE * slope / math.sqrt(power + MIN_POWER)
