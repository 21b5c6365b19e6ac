"""The answer to a sequence: a mixture of its rows' answers, their evidence, and its summary's.

The geometric mean of the answers to the rows is what the stream's next row knows, whatever their
number. The mean of the discriminant's scores is more certain the more rows there are, as far as
they are independent; a few temperatures are compared for that. Both are averages over rows.
A `SequenceReadout` sees the sequence as a whole: how its hidden traces are distributed over the
rows. Each of these answers counts by the probability that it gave to the labels of recent
sequences.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import axes

TEMPERATURES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # factors of the mean score
SHARPNESSES = (3.0, 6.0, 12.0)  # factors of the readout's outputs, which are shares of one
KEEP = 0.98  # of the log-likelihoods, from sequence to sequence
MIN_PROBABILITY = 1e-6  # that each row grants to every class, and each candidate


class SequenceState(NamedTuple):
    """Fading log-likelihoods of the labels of sequences by each candidate."""

    log_likelihoods: Annotated[Float64, axes(1 + len(SHARPNESSES) + len(TEMPERATURES))]


class SequenceScratch(NamedTuple):
    """The rows that were predicted in one call.

    scores: of the discriminant, summed
    traces: of each hidden neuron the sum of its traces, of their squares, and the highest
    """

    scores: Annotated[Float64, axes("classes")]
    traces: Annotated[Float64, axes(3, "hidden")]


@kernel
def add_scores(scores, total):
    """Add the scores of a row, (classes,) float32, to `total`, (classes,) float64."""
    for c in range(total.shape[0]):
        total[c] += np.float64(scores[c])


@kernel
def add_traces(traces, total):
    """Take the traces of a row, (hidden or more,) float32, into `total`, (3, hidden) float64."""
    for i in range(total.shape[1]):
        trace = np.float64(traces[i])
        total[0, i] += trace
        total[1, i] += trace * trace
        total[2, i] = max(total[2, i], trace)


def candidates(
    proba: Float64, outputs: Float64, scores: Float64, weights: Float64, balance: Float64
) -> Float64:
    """Return what each candidate makes of the rows of a sequence, (candidates, classes).

    First the rows' answers, then those of the readout by sharpness and of the discriminant by
    temperature.

    Parameters
    ----------
    proba
        (rows, classes): the answers.
    outputs
        (classes,): of the readout.
    scores
        (classes,): sum of the discriminant's scores over the rows.
    weights
        (classes,): how much each class counts in the answers of the readout and of the scores.
    balance
        (classes,): the same in those of the readout alone, which knows how often each class came.
    """
    pooled = np.log(np.maximum(proba, MIN_PROBABILITY)).mean(axis=0)
    mean = scores / len(proba)
    read = [sharpness * outputs for sharpness in SHARPNESSES]
    logs = np.array([pooled, *read, *(factor * (mean - mean.max()) for factor in TEMPERATURES)])
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares[1:] *= weights
    shares[1 : 1 + len(SHARPNESSES)] *= balance
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def mix(log_likelihoods: Float64, shares: Float64) -> Float64:
    """Return the probability of each class, (classes,)."""
    weights = np.exp(log_likelihoods - log_likelihoods.max())
    return np.asarray((weights[:, None] * shares).sum(axis=0) / weights.sum())


def learn_label(log_likelihoods: Float64, shares: Float64, label: int) -> None:
    """Take the probability that each candidate gave to a label into its log-likelihood."""
    log_likelihoods *= KEEP
    log_likelihoods += np.log(np.maximum(shares[:, label], MIN_PROBABILITY))
