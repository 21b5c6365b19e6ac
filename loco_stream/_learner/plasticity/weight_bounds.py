"""Bounds that keep the neurons of a hidden layer useful, in each step and over a long stream.

A step moves the drive of a neuron on this row by at most `MAX_MOVE`. While a stream is young the
projector passes everything and the error of a value may be many deviations: without this bound rows
of few features, which resemble each other, can silence most neurons for good within a hundred rows.
Wide rows resemble each other less, and a first layer has to move further when all its pixels are
permuted.

Credit moves weights for ever. Without a bound they grow until nearly all neurons fire on every row,
which costs time and carries less information, and a step turns a long weight vector less than a
short one, so that an old model learns more slowly. On each row one neuron of every layer, of those
that learn, is bounded; of a layer with more than `MAX_INPUTS` inputs, on one row in several:

- The part of its weights that is the same for all inputs is lowered to `MAX_CONSTANT`. Inputs are
  never negative and about equally many on each row, so this part is what a neuron gets on any row.
  (A mean that fades would keep fewer neurons firing, but rows of few features need some that always
  do.)
- A weight vector longer than `MAX_NORM` is scaled back to that length (max-norm regularisation,
  Srebro & Shraibman 2005).
"""

import math

import numpy as np

from loco_stream._compiler.jit import kernel

MAX_MOVE = 3.0  # of a drive, in thresholds
MAX_MOVE_WIDE = 12.0  # the same in a first layer without receptive fields
MAX_NORM = 6.0  # of a neuron's weights, which start from 1
MAX_INPUTS = 4096  # weights that a row pays for: of more inputs, a neuron is bounded less often
MAX_CONSTANT = 1.0  # norm of the vector that holds the mean weight at each input


@kernel
def bounded_step(step, gain, energy, credit, wide):
    """Return the length of a step along the credit.

    `step`, or less where a drive would move too far.

    A neuron's drive moves by gain * step * energy * credit.

    Parameters
    ----------
    step, gain, energy
        float64; `energy` is x'h.
    credit
        (plastic neurons,) float32.
    wide
        bool: these are the weights of a row without receptive fields.
    """
    largest = 0.0
    most = MAX_MOVE_WIDE if wide else MAX_MOVE
    for i in range(len(credit)):
        largest = max(largest, abs(np.float64(credit[i])))
    move = gain * step * energy * largest
    return step * most / move if move > most else step


@kernel
def apply_max_norm(weights, n_inputs, first, n_post, n_seen):
    """Bound the weights of one neuron, another one on each row that has a turn.

    Parameters
    ----------
    weights
        (n_inputs or more, n_post or more) float32.
    n_inputs, first, n_post
        int64: inputs, the first neuron that learns, and neurons of the layer.
    n_seen
        int64: rows learned so far.
    """
    n_plastic = n_post - first
    every = (n_inputs - 1) // MAX_INPUTS + 1
    if n_plastic == 0 or n_inputs == 0 or n_seen % every != 0:
        return
    neuron = first + n_seen // every % n_plastic
    mean = 0.0
    square = 0.0
    for j in range(n_inputs):
        mean += np.float64(weights[j, neuron])
    excess = np.float32(max(mean / n_inputs - MAX_CONSTANT / math.sqrt(n_inputs), 0.0))
    for j in range(n_inputs):
        weights[j, neuron] -= excess
        square += np.float64(weights[j, neuron]) ** 2
    if square > MAX_NORM * MAX_NORM:
        scale = np.float32(MAX_NORM / math.sqrt(square))
        for j in range(n_inputs):
            weights[j, neuron] *= scale
