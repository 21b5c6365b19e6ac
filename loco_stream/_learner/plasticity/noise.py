"""Perturbations: one signed value per neuron and row, orthogonal inside each neuron cluster.

Within a cluster of 2^b neurons successive rows of the stream use the rows of a Hadamard matrix of
twice that size, in an order and with column signs drawn anew each round. The cluster has the
columns from the second on; the first is constant, and its neuron would be blamed for everything
that does not change during a round. A round of 2^(b + 1) rows makes the signs of the neurons
uncorrelated and the mean of each zero, while different clusters stay independent.
"""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._rng import draw_bits

_ONE = np.uint64(1)
_WORD_BITS = 64


@kernel
def _parity(word):
    """Return the parity of the set bits of an int64 below 2^32."""
    word ^= word >> 16
    word ^= word >> 8
    word ^= word >> 4
    word ^= word >> 2
    word ^= word >> 1
    return word & 1


@kernel
def draw_noise(key, round_, n_neurons, cluster_size, size, noise):
    """Write +-`size` into `noise[:n_neurons]`.

    The position in the round walks the Hadamard rows as (odd * position + start) mod their number,
    a bijection for any odd multiplier. A cluster of one neuron draws each sign by itself.

    Parameters
    ----------
    key
        uint64 key of the random stream.
    round_
        int64: the number of this perturbation.
    n_neurons, cluster_size
        int64.
    size
        float64: magnitude.
    noise
        (n_neurons or more,) float32, written.
    """
    n_rows = 2 * cluster_size if cluster_size > 1 else 1
    epoch = round_ // n_rows
    position = round_ % n_rows
    plus = np.float32(size)
    minus = np.float32(-size)
    words = cluster_size // _WORD_BITS + 1
    for first in range(0, n_neurons, cluster_size):
        cluster = first // cluster_size
        counter = (epoch * 65536 + cluster) * (words + 1)
        order = draw_bits(key, counter)
        odd = np.int64(order & np.uint64(0xFFFF)) | 1
        start = np.int64((order >> np.uint64(16)) & np.uint64(0xFFFF))
        row = (odd * position + start) % n_rows
        signs = order
        for i in range(min(cluster_size, n_neurons - first)):
            if i % _WORD_BITS == 0:
                signs = draw_bits(key, counter + 1 + i // _WORD_BITS)
            drawn = np.int64((signs >> np.uint64(i % _WORD_BITS)) & _ONE)
            noise[first + i] = plus if (_parity(row & (i + 1)) ^ drawn) == 0 else minus
