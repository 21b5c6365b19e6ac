"""The answer to a sequence: a mixture of its rows' answers, their evidence, and its summary's.

The geometric mean of the answers to the rows is what the stream's next row knows, whatever their
number. The mean of the discriminant's scores is more certain the more rows there are, as far as
they are independent; a few temperatures are compared for that. Both are averages over rows.
Two of `SequenceReadout` see the sequence as a whole: how traces of the hidden layers, and fading
traces of the fixed layer, are distributed over its rows. Each of these answers counts by the
probability that it gave to the labels of recent sequences.
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
N_READOUT_ANSWERS = 2 * len(SHARPNESSES)  # of whole sequences
DOUBT = -3.0  # log-likelihood of a readout that has learned nothing
KEEP = 0.98  # of the log-likelihoods, from sequence to sequence
MIN_PROBABILITY = 1e-6  # that each row grants to every class, and each candidate
MOST_NEURONS = 128  # that are summarised: a projector has (1 + 3 * neurons)^2 items
LONGEST = 50.0  # rows that a fading trace averages
GOLDEN = 0.6180339887498949  # multiples of it, less their integer part, lie evenly on (0, 1)


def n_summarised(settings: Any) -> dict[str, int]:
    """Return how many neurons of each layer are summarised."""
    return {
        "hidden": min(settings.n_hidden, MOST_NEURONS),
        "fixed": min(settings.n_fixed, MOST_NEURONS),
    }


def _spread_rates(rates: Array, shapes: Shapes) -> None:
    """Spread every other rate from 1 to 1 / `LONGEST`, evenly in the logarithm."""
    rates.fill(1.0)
    rates[1::2] = [LONGEST ** -(i * GOLDEN % 1.0) for i in range(1, len(rates), 2)]


def _doubt_readouts(log_likelihoods: Array, shapes: Shapes) -> None:
    log_likelihoods[1 : 1 + N_READOUT_ANSWERS] = DOUBT


class SequenceState(NamedTuple):
    """Fading log-likelihoods of the labels of sequences by each candidate."""

    log_likelihoods: Annotated[
        Float64, axes(1 + N_READOUT_ANSWERS + len(TEMPERATURES), start=_doubt_readouts)
    ]


class SequenceScratch(NamedTuple):
    """The rows that were predicted in one call.

    scores: of the discriminant, summed
    rates: at which the fading trace of each neuron of the fixed layer follows its trace; 1: at once
    fading: these traces
    hidden, fixed: of each trace of the hidden and of the fixed layer that is summarised the sum,
    the sum of squares, and the highest
    """

    scores: Annotated[Float64, axes("classes")]
    rates: Annotated[Float32, axes("summarised_fixed", start=_spread_rates)]
    fading: Annotated[Float32, axes("summarised_fixed")]
    hidden: Annotated[Float64, axes(3, "summarised_hidden")]
    fixed: Annotated[Float64, axes(3, "summarised_fixed")]


@kernel
def add_scores(scores, total):
    """Add the scores of a row, (classes,) float32, to `total`, (classes,) float64."""
    for c in range(len(total)):
        total[c] += np.float64(scores[c])


@kernel
def forget(sequence):
    """Begin a sequence; `sequence` is `SequenceScratch`."""
    sequence.scores.fill(0.0)
    sequence.fading.fill(0.0)
    sequence.hidden.fill(0.0)
    sequence.fixed.fill(0.0)


@kernel
def _add_trace(trace, total, i):
    """Take a trace, float32, into the sums of neuron `i`."""
    value = np.float64(trace)
    total[0, i] += value
    total[1, i] += value * value
    total[2, i] = max(total[2, i], value)


@kernel
def add_hidden(traces, n_hidden, sequence):
    """Take the traces of a row into the sums of the hidden layers.

    Neurons are taken at even distances.

    Parameters
    ----------
    traces
        (n_hidden or more,) float32.
    n_hidden
        int64.
    sequence
        `SequenceScratch`, changed.
    """
    n = sequence.hidden.shape[1]
    for i in range(n):
        _add_trace(traces[i * n_hidden // n], sequence.hidden, i)


@kernel
def add_fixed(traces, n_fixed, sequence):
    """Take the traces of a row into those that fade, and these into the sums of the fixed layer.

    Parameters
    ----------
    traces, n_fixed, sequence
        As in `add_hidden`.
    """
    fading = sequence.fading
    n = len(fading)
    for i in range(n):
        fading[i] += sequence.rates[i] * (traces[i * n_fixed // n] - fading[i])
    drop_tiny_items(fading, n)
    for i in range(n):
        _add_trace(fading[i], sequence.fixed, i)


def candidates(
    proba: Float64, outputs: Float64, scores: Float64, weights: Float64, balance: Float64
) -> Float64:
    """Return what each candidate makes of the rows of a sequence, (candidates, classes).

    First the rows' answers, then those of the readouts by sharpness and of the discriminant by
    temperature.

    Parameters
    ----------
    proba
        (rows, classes): the answers.
    outputs
        (2, classes): of the readouts.
    scores
        (classes,): sum of the discriminant's scores over the rows.
    weights
        (classes,): how much each class counts in the answers of the readouts and of the scores.
    balance
        (classes,): the same in those of the readouts alone, which know how often each class came.
    """
    pooled = np.log(np.maximum(proba, MIN_PROBABILITY)).mean(axis=0)
    mean = scores / len(proba)
    read = [sharpness * each for each in outputs for sharpness in SHARPNESSES]
    logs = np.array([pooled, *read, *(factor * (mean - mean.max()) for factor in TEMPERATURES)])
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares[1:] *= weights
    shares[1 : 1 + N_READOUT_ANSWERS] *= balance
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def mix(log_likelihoods: Float64, shares: Float64) -> Float64:
    """Return the probability of each class, (classes,)."""
    weights = np.exp(log_likelihoods - log_likelihoods.max())
    return np.asarray((weights[:, None] * shares).sum(axis=0) / weights.sum())


def learn_label(log_likelihoods: Float64, shares: Float64, label: int) -> None:
    """Take the probability that each candidate gave to a label into its log-likelihood."""
    log_likelihoods *= KEEP
    log_likelihoods += np.log(np.maximum(shares[:, label], MIN_PROBABILITY))
