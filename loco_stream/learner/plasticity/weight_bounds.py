"""What keeps the neurons of a hidden layer within bounds, at each step and however long a stream is.

A step goes no further than moving the drive that a neuron has at this row by `FARTHEST`. While a
stream is young the projector lets everything through, and the error of a value may be many
deviations: without this bound rows of few features, which are alike, can silence most neurons for
good within a hundred rows. Wide rows are less alike, and a first layer has to go further where all
their pixels change places.

Credit moves weights for ever. Without restraint they grow until nearly all neurons fire at every
row, which costs time and tells less; and a step turns a long weight vector less than a short one,
so that an old model learns more slowly than a young one. So at each row one neuron of every layer
has its turn, of those that learn:

- The part of its weights that is the same for all inputs is lowered to `STEADY` where it is above.
Inputs are never
  negative and about equally many at each row, so this is what a neuron gets whatever the row is. (A
  mean that fades would keep fewer neurons firing, but rows of few features need some that always
  do.)
- A weight vector that is then longer than `LONGEST` is scaled back to that (max-norm
regularisation, Srebro and
  Shraibman 2005).
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import kernel

__all__ = ["FARTHEST", "FARTHEST_WIDE", "LONGEST", "STEADY", "bounded_step", "restrain"]

# thresholds; of a first layer without receptive fields
FARTHEST = 3.0
FARTHEST_WIDE = 12.0
LONGEST = 6.0  # norm of a neuron's weights; they start from 1
STEADY = 1.0  # norm of the vector that holds their mean at each input


@kernel
def bounded_step(step, gain, energy, credit, wide):
    """Return how far to go along the credit: `step`, or less where it would move a drive too far.

    `energy` is x' h, so that a neuron's drive moves by gain * step * energy * credit. `wide` says
    that these are the weights of a row without receptive fields.
    """
    largest = 0.0
    farthest = FARTHEST_WIDE if wide else FARTHEST
    for i in range(credit.shape[0]):
        largest = max(largest, abs(np.float64(credit[i])))
    move = gain * step * energy * largest
    return step * farthest / move if move > farthest else step


@kernel
def restrain(weights, n_inputs, first, n_post, n_seen):
    """Bound the weights of the neuron whose turn it is, of those from `first` on.

    Weights are (n_inputs, n_post).
    """
    n_plastic = n_post - first
    if n_plastic == 0 or n_inputs == 0:
        return
    neuron = first + n_seen % n_plastic
    mean = 0.0
    square = 0.0
    for j in range(n_inputs):
        mean += np.float64(weights[j, neuron])
    excess = np.float32(max(mean / n_inputs - STEADY / math.sqrt(n_inputs), 0.0))
    for j in range(n_inputs):
        weights[j, neuron] -= excess
        square += np.float64(weights[j, neuron]) ** 2
    if square > LONGEST * LONGEST:
        scale = np.float32(LONGEST / math.sqrt(square))
        for j in range(n_inputs):
            weights[j, neuron] *= scale
