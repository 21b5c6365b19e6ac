"""The Bayesian mixture of opinions, each weighted by how probable it found recent labels.

The log-weight of an opinion is the fading sum of the log-probabilities that it gave to the labels.
Where classes are rare or a stream is short a single well-calibrated expert outweighs the stacks;
elsewhere the stacks outweigh all. An expert with a `log_prior` has a head start that does not fade:
where a class is rare, recent rows tell too little about which expert knows it best.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Shapes, axes
from loco_stream._learner.readout.softmax import normalise, softmax

DECAY = 0.9995  # of the log-likelihoods, per row: about 2,000 rows count
EARLY = 2.0  # of the first n rows the last n / EARLY count
MIN_PROBABILITY = 1e-9  # granted to every label
N_STACKS = 2  # opinions of the stacks, which come first


def _log_priors(priors: Array, shapes: Shapes) -> None:
    from loco_stream._learner.readout.experts import EXPERTS

    first = N_STACKS
    for expert in EXPERTS:
        n = expert.n_opinions(shapes.settings)
        priors[first : first + n] = expert.log_prior
        first += n


class MixtureState(NamedTuple):
    """The mixture.

    log_weights: of each opinion
    log_priors: what they fade to
    """

    log_weights: Annotated[Float64, axes("opinions", start=_log_priors)]
    log_priors: Annotated[Float64, axes("opinions", start=_log_priors, derived=True)]


@kernel
def mix(log_weights, opinions, n_classes, weights, proba):
    """Write the weight of each opinion, and the mixture of their probabilities.

    Parameters
    ----------
    log_weights
        (opinions,) float64.
    opinions
        (opinions, n_classes or more) float64 probabilities.
    n_classes
        int64.
    weights
        (opinions,) float64, written.
    proba
        (n_classes or more,) float64, written.
    """
    softmax(log_weights, 0, len(log_weights), 1.0, weights)
    for c in range(n_classes):
        proba[c] = 0.0
    for e in range(len(log_weights)):
        for c in range(n_classes):
            proba[c] += weights[e] * opinions[e, c]
    normalise(proba, n_classes)  # by 1 but for rounding: no probability may be above 1


@kernel
def retained(n_observations, share):
    """Return the share of a log-weight that is left after `share` (float64) of a label.

    At first it fades faster, in proportion to `n_observations` (int64): which expert was ahead on
    the first few rows, where most are hardly trained, must not count for hundreds.
    """
    decay = min(DECAY, (n_observations + 1.0) / (n_observations + 1.0 + EARLY))
    return decay if share == 1.0 else 1.0 - share * (1.0 - decay)


@kernel
def learn_mixture(mixture, opinions, label, n_observations, share):
    """Take what each opinion gave to `share` of a label into its log-weight.

    Parameters
    ----------
    mixture
        `MixtureState`.
    opinions
        (opinions, classes) float64 probabilities.
    label, n_observations
        int64.
    share
        float64.
    """
    keep = retained(n_observations, share)
    log_weights = mixture.log_weights
    for e in range(len(log_weights)):
        gained = share * math.log(max(opinions[e, label], MIN_PROBABILITY))
        log_weights[e] = keep * log_weights[e] + gained
    for e in range(len(log_weights)):
        if mixture.log_priors[e] != 0.0:
            log_weights[e] += (1.0 - keep) * mixture.log_priors[e]
