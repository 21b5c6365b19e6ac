"""The arrays of a model as a whole: made, grown and restored from a file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import lru_cache

from loco_stream._arrays import Array
from loco_stream._learner.arrays.shapes import shapes_of
from loco_stream._learner.arrays.spec import (
    Shapes,
    copies,
    flatten,
    grown,
    make_group,
    restored,
    shape_table,
    specs,
)
from loco_stream._learner.arrays.state import State
from loco_stream._learner.settings import Settings
from loco_stream._learner.texts import TextState
from loco_stream._options import Layout
from loco_stream.errors import ConfigError

_TEXTS = "texts."  # begins the names of their arrays
MAX_BYTES = 2**31  # of a model's arrays; LOCO_STREAM_STATE_BYTES sets another bound


def allocate(layout: Layout, settings: Settings, n_features: int, n_classes: int) -> State:
    """Make the state of a fresh model with room for so many features and outputs."""
    return make_group(State, _within_bounds(shapes_of(layout, settings, n_features, n_classes)))


def class_capacity(n_classes: int) -> int:
    """Return the power of two that holds so many classes.

    It is the same whether they came at once or one by one.
    """
    return max(2, 1 << (n_classes - 1).bit_length()) if n_classes > 0 else 2


def grow(
    layout: Layout,
    settings: Settings,
    state: State,
    n_features: int,
    n_classes: int,
    n_texts: int = 0,
) -> State:
    """Return a state with more room, every learned number in its place and new input rows drawn.

    Of the features, `n_texts` are texts with one channel.
    Arrays that need no more room are shared with `state`, which must not be used any more.
    """
    before = shapes_for(layout, settings, state)
    shapes = _within_bounds(shapes_of(layout, settings, n_features, n_classes, n_texts))
    return grown(state, before, shapes)


def _within_bounds(shapes: Shapes) -> Shapes:
    """Return the shapes unless their arrays would exceed the bound, as with very many new names."""
    given = os.environ.get("LOCO_STREAM_STATE_BYTES", str(MAX_BYTES))
    most = int(given) if given.isdecimal() else 0
    if most < 1:
        raise ConfigError(
            f"`LOCO_STREAM_STATE_BYTES` must be a number of bytes of at least 1, got {given!r}"
        )
    needed = _n_bytes(shapes)
    if needed > most:
        raise MemoryError(
            f"its state would take {needed / 2**20:,.0f} MiB of the {most / 2**20:,.0f} allowed by "
            "LOCO_STREAM_STATE_BYTES"
        )
    return shapes


@lru_cache(256)
def _n_bytes(shapes: Shapes) -> int:
    own = zip(specs(State), shape_table(State, shapes), strict=True)
    return sum(math.prod(shape) * spec.dtype.itemsize for spec, shape in own)


def unflatten(layout: Layout, settings: Settings, arrays: Mapping[str, Array]) -> State:
    """Return the state whose arrays `flatten` named.

    Raises `KeyError` if an array is missing, except for those of texts. Raises `ValueError` if an
    array is not what these settings give, or no spec has its name.
    """
    lengths = len(arrays["statistics.n_values"]), len(arrays["classes.n_rows"])
    n_texts = len(arrays.get(f"{_TEXTS}weights", ()))
    shapes = shapes_of(layout, settings, *lengths, n_texts)
    if not n_texts:
        none = flatten(make_group(TextState, shapes))
        arrays = {**arrays, **{f"{_TEXTS}{name}": array for name, array in none.items()}}
    return restored(State, arrays, shapes)


def to_save(state: State | None) -> dict[str, Array]:
    """Return a copy of every array that `unflatten` reads: those of texts if there are any."""
    arrays = copies(state)
    if state is not None and not state.texts.n[0]:
        return {name: array for name, array in arrays.items() if not name.startswith(_TEXTS)}
    return arrays


def shapes_for(layout: Layout, settings: Settings, state: State) -> Shapes:
    """Return the length of every axis of a state."""
    return shapes_of(layout, settings, *lengths_of(state), len(state.texts.weights))


def lengths_of(state: State) -> tuple[int, int]:
    """Return for how many features and outputs there is room."""
    return len(state.statistics.n_values), len(state.classes.n_rows)
