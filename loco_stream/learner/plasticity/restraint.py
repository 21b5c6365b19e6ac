"""What keeps the neurons of a hidden layer within bounds, however long a stream is.

Credit moves weights for ever. Without restraint they grow until nearly all neurons fire at every row, which costs time
and tells less; and a step turns a long weight vector less than a short one, so that an old model learns more slowly
than a young one. So at each row one neuron of every layer has its turn, of those that learn:

- The part of its weights that is the same for all inputs is lowered to `STEADY` where it is above. Inputs are never
  negative and about equally many at each row, so this is what a neuron gets whatever the row is. (A mean that fades
  would keep fewer neurons firing, but rows of few features need some that always do.)
- A weight vector that is then longer than `LONGEST` is scaled back to that (max-norm regularisation, Srebro and
  Shraibman 2005).
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream.jit import kernel

__all__ = ["LONGEST", "STEADY", "restrain"]

LONGEST = 6.0  # norm of a neuron's weights; they start from 1
STEADY = 1.0  # norm of the vector that holds their mean at each input


@kernel
def restrain(weights, n_inputs, first, n_post, n_seen):
    """Bound the weights of the neuron whose turn it is, of those from `first` on; weights are (n_inputs, n_post)."""
    n_plastic = n_post - first
    if n_plastic == 0 or n_inputs == 0:
        return
    neuron, mean, square = first + n_seen % n_plastic, 0.0, 0.0
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
