"""The answer to a sequence: a mixture of its rows' answers, their evidence, and its summary's.

The geometric mean of the answers to the rows is what the stream's next row knows, whatever their
number. The mean of the discriminant's scores is more certain the more rows there are, as far as
they are independent; a few temperatures are compared for that. Both are averages over rows.
A `SequenceReadout` sees the sequence as a whole: how the fading traces of neurons that never learn
are distributed over its rows. Each of these answers counts by the probability that it gave to the
labels of recent sequences.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Shapes, axes
from loco_stream._learner.tiny import drop_tiny_items

TEMPERATURES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # factors of the mean score
SHARPNESSES = (3.0, 6.0, 12.0)  # factors of the readout's outputs, which are shares of one
KEEP = 0.98  # of the log-likelihoods, from sequence to sequence
MIN_PROBABILITY = 1e-6  # that each row grants to every class, and each candidate
MOST_NEURONS = 128  # that are summarised: the projector has (1 + 3 * neurons)^2 items
LONGEST = 20.0  # time constant, in rows, of their traces; the shortest is one row


GOLDEN = 0.6180339887498949  # multiples of it, less their integer part, lie evenly on (0, 1)


def lengths(settings: Any) -> dict[str, int]:
    """Return the lengths of axes of the arrays here."""
    return {"summarised": min(settings.n_fixed, MOST_NEURONS)}


def _spread_shares(shares: Array, shapes: Shapes) -> None:
    """Spread the shares from 1 to 1 / `LONGEST`, evenly in the logarithm."""
    shares[:] = [LONGEST ** -(i * GOLDEN % 1.0) for i in range(len(shares))]


class SequenceState(NamedTuple):
    """Fading log-likelihoods of the labels of sequences by each candidate."""

    log_likelihoods: Annotated[Float64, axes(1 + len(SHARPNESSES) + len(TEMPERATURES))]


class SequenceScratch(NamedTuple):
    """The rows that were predicted in one call.

    scores: of the discriminant, summed
    shares: of the present row in the fading trace of each neuron of the fixed layer that counts
    fading: these traces
    traces: the sum of each of them, of its squares, and the highest
    """

    scores: Annotated[Float64, axes("classes")]
    shares: Annotated[Float32, axes("summarised", start=_spread_shares)]
    fading: Annotated[Float32, axes("summarised")]
    traces: Annotated[Float64, axes(3, "summarised")]


@kernel
def add_scores(scores, total):
    """Add the scores of a row, (classes,) float32, to `total`, (classes,) float64."""
    for c in range(total.shape[0]):
        total[c] += np.float64(scores[c])


@kernel
def forget_traces(sequence):
    """Begin a sequence; `sequence` is `SequenceScratch`."""
    sequence.fading.fill(0.0)
    sequence.traces.fill(0.0)


@kernel
def add_traces(traces, n_fixed, sequence):
    """Take a row into the fading traces and their sums.

    Neurons are taken at even distances, since neighbours may see the same features.

    Parameters
    ----------
    traces
        (n_fixed or more,) float32: of the fixed layer.
    n_fixed
        int64.
    sequence
        `SequenceScratch`, changed.
    """
    fading = sequence.fading
    total = sequence.traces
    n = fading.shape[0]
    for i in range(n):
        fading[i] += sequence.shares[i] * (traces[i * n_fixed // n] - fading[i])
    drop_tiny_items(fading, n)
    for i in range(n):
        trace = np.float64(fading[i])
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
