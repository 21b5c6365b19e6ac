"""The weights that the hidden layers start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loco_stream import _rng as rng
from loco_stream._arrays import Float64, Int64

if TYPE_CHECKING:
    from loco_stream._learner.settings import Settings

WEIGHT_KEY = 1  # number of the random stream; the layers take 1, 9, 17 and so on
DELAY_KEY = 5
NEURON_CLUSTER = 32  # neurons whose weights are orthogonal at the start, and their perturbations
UNDELAYED_EVERY = 4  # with a memory and delays, every fourth neuron has no delays
SMOOTHING = 0.7  # of the start weights along a feature: standard deviation in fields


def start_weights(settings: Settings, layer: int, n_pre: int, n_post: int) -> Float64:
    """Draw weights, (n_pre, n_post): columns of norm 1, orthogonal inside each cluster of neurons.

    Where features have several receptive fields the columns are smoothed along them: the function
    that a neuron computes of a feature should be smooth.
    """
    key = rng.derive_key(settings.seed_key, WEIGHT_KEY + 8 * layer)
    n_fields = settings.n_fields if layer == 0 else 1
    return rng.kept_draws(_drawn, key, n_fields, n_pre, n_post).copy()


def _drawn(key: int, n_fields: int, n_pre: int, n_post: int) -> Float64:
    block = rng.normals(key, 0, n_pre * n_post).reshape(n_pre, n_post)
    size = min(NEURON_CLUSTER, n_pre)
    for first in range(0, n_post, size):
        block[:, first : first + size] = _orthonormal(block[:, first : first + size])
    if n_fields > 2:
        block = _smooth(block, n_fields)
    return np.asarray(block / np.sqrt((block * block).sum(axis=0)))


def delay_targets(settings: Settings, n_channels: int, n_post: int) -> Int64:
    """Draw an order of all neurons for each channel, (n_channels, n_post).

    Their lags follow from it. With a memory, neurons without lags stand first.
    """
    draws = rng.uniforms(rng.derive_key(settings.seed_key, DELAY_KEY), 0, n_channels * n_post)
    order = draws.reshape(n_channels, n_post)
    if settings.longest > 0.0:
        order[:, 1::UNDELAYED_EVERY] -= 1.0
    return np.argsort(order, axis=1, kind="stable")


def _orthonormal(block: Float64) -> Float64:
    """Return the columns made orthonormal one after the other (modified Gram-Schmidt).

    LAPACK's threads would wait for each other longer than so small a block takes.
    """
    rows = block.T.copy()
    for j, row in enumerate(rows):
        row /= np.sqrt((row * row).sum())
        rest = rows[j + 1 :]
        rest -= np.einsum("kn,n->k", rest, row)[:, None] * row
    return rows.T


def _smooth(block: Float64, n_fields: int) -> Float64:
    place = np.arange(n_fields)
    kernel = np.exp(-0.5 * ((place[:, None] - place) / SMOOTHING) ** 2)
    shaped = block.reshape(-1, n_fields, block.shape[1])
    smooth = sum(kernel[:, m, None] * shaped[:, None, m] for m in range(n_fields))
    return np.asarray(smooth).reshape(block.shape)
