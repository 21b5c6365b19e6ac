"""Texts as inputs of the first hidden layer: one channel each, silent unless the row has the text.

A number needs several receptive fields, a text is there or not. So a text has one row of weights,
and its channel is 1 where the row has the text. Texts that the row does not have cost nothing: no
weight of theirs is read or changed.

The projector of the texts is diagonal. Texts of one feature never come together, so there is
little between them to take out; see `projections.recursive`.

Texts are features with several receptive fields instead where all features have one channel, where
synapses have delays, and with the projection by clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from loco_stream import _rng as rng
from loco_stream._arrays import Array, Float32, Float64, Int32, Int64
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import Shapes, axes
from loco_stream._learner.plasticity.plastic_part import n_frozen, plastic_span
from loco_stream._learner.plasticity.projections import RECURSIVE
from loco_stream._learner.plasticity.weight_bounds import MAX_NORM
from loco_stream._numbers import LARGEST

if TYPE_CHECKING:
    from loco_stream._learner.settings import Settings

WEIGHT_KEY = 4  # number of the random stream
# The first weights of text k are 1 / (1 + k / FIRST_TEXTS) as large as those of a number: what a
# row's known texts say would otherwise drown in the random weights of a text that is new or rare.
FIRST_TEXTS = 4.0


def start_weights(settings: Settings, n_channels: int, n_texts: int, n_post: int) -> Float64:
    """Draw weights that are smaller from text to text, (n_texts, n_post).

    Those of each text come from its own place, so that room for more changes none.
    """
    key = rng.derive_key(settings.seed_key, WEIGHT_KEY)
    draws = rng.kept_draws(_drawn, key, n_post, n_texts, n_post)
    shrinking = 1.0 + np.arange(n_texts)[:, None] / FIRST_TEXTS
    return np.asarray(draws / (shrinking * np.sqrt(n_channels)))


def _drawn(key: int, stride: int, n_texts: int, n_post: int) -> Float64:
    return rng.normals_at(key, np.arange(n_texts) * stride, n_post)


def _start_weights(weights: Array, shapes: Shapes) -> None:
    if weights.size:
        n_channels = shapes.lengths["channels"]
        weights[:] = start_weights(shapes.settings, n_channels, *weights.shape)


class TextState(NamedTuple):
    """Features that are texts with one channel, in the order of their slots.

    n: their number
    is_text: whether a feature is one of them
    weights: of each, to the first hidden layer
    projector: of each, what is still free to learn
    snapshots: the weights in each snapshot
    """

    n: Annotated[Int64, axes(1)]
    is_text: Annotated[Int64, axes("features", within=(0, 1))]
    weights: Annotated[Float32, axes("texts", "first_layer", start=_start_weights)]
    projector: Annotated[Float32, axes("texts", start=1.0, within=(0.0, 1.0))]
    snapshots: Annotated[Float32, axes("snapshots", "texts", "first_layer")]


class TextCode(NamedTuple):
    """The texts of a row: how many, and which of all, ascending."""

    n: Annotated[Int64, axes(1)]
    rows: Annotated[Int32, axes("texts")]


def have_one_channel(settings: Any) -> bool:
    """Return whether a text that comes new is one channel."""
    is_plain = settings.max_delay == 0 and settings.n_clusters == 0
    return bool(settings.n_fields > 1 and is_plain)


def check(texts: TextState, n_features: int) -> None:
    """Raise ValueError if the texts do not fit the features or the room for either."""
    n = int(texts.n[0])
    room = len(texts.weights)
    n_marked = int(texts.is_text[:n_features].sum())
    is_beyond = texts.is_text[n_features:].any()
    if n != n_marked or is_beyond or n > room or n_features - n > len(texts.is_text) - room:
        raise ValueError(
            f"'texts.n' must be the number of texts in 'texts.is_text', {n_marked}, and they must "
            f"fit the room for {room} of {len(texts.is_text)} features, got {n}"
        )


@kernel
def find_texts(x, n_features, is_text, code):
    """Write which texts a row has.

    Parameters
    ----------
    x
        (n_features or more,) float64, NaN where masked.
    n_features
        int64.
    is_text
        (n_features or more,) int64.
    code
        `TextCode`, written.
    """
    n = np.int64(0)
    text = np.int64(0)
    for f in range(n_features):
        if is_text[f] != 0:
            if abs(x[f]) <= LARGEST and x[f] != 0.0:
                code.rows[n] = text
                n += 1
            text += 1
    code.n[0] = n


@kernel
def add_texts(weights, code, n_post, weighted):
    """Add the weights of the texts in a row, `TextCode`, to the drives of `n_post` neurons."""
    for r in range(code.n[0]):
        own = weights[code.rows[r]]
        for i in range(n_post):
            weighted[i] += own[i]


@kernel
def project_texts(settings, state, code):
    """Return (x'x, x'P x) of the texts in a row, `TextCode`."""
    square = np.float64(code.n[0])
    if settings.projection != RECURSIVE:
        return square, square
    energy = 0.0
    for r in range(code.n[0]):
        energy += np.float64(state.texts.projector[code.rows[r]])
    return square, energy


@kernel
def change_texts(settings, state, scratch, step, power):
    """Change the weights of the texts in the row, and take its texts out of their projector.

    Parameters are those of `projections.recursive.change_blocks`.
    """
    code = scratch.texts
    texts = state.texts
    frozen = n_frozen(settings, state.net.n_post[0])
    begin, end = plastic_span(settings, state.net, 0)
    credit = scratch.neurons.credit[begin:end]
    most = np.float32(MAX_NORM)
    for r in range(code.n[0]):
        text = code.rows[r]
        free = np.float64(texts.projector[text])
        own = texts.weights[text, frozen:]
        change = np.float32(-step * free)
        for i in range(len(credit)):
            own[i] = min(max(own[i] + change * credit[i], -most), most)
        if settings.projection == RECURSIVE and power + free > 0.0:
            free -= settings.orthogonality / (power + free) * free * free
            leak = settings.projector_leak
            texts.projector[text] = (1.0 - leak) * free + leak
