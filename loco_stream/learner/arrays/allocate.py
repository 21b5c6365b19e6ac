"""The arrays of a model as a whole: made, grown, copied, and taken from a file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from loco_stream.errors import ConfigError
from loco_stream.learner.arrays.shapes import plan_of
from loco_stream.learner.arrays.spec import Array, Plan, build, flatten, specs
from loco_stream.learner.arrays.state import State
from loco_stream.options import Layout, Settings

__all__ = ["allocate", "class_room", "copied", "grow", "room_of", "unflatten"]

MAX_BYTES = 2**31  # of a model's arrays; LOCO_STREAM_STATE_BYTES sets another bound


def allocate(layout: Layout, settings: Settings, n_features: int, n_classes: int) -> State:
    """Make the state of a fresh model with room for `n_features` features and `n_classes` outputs."""
    plan = _within_bounds(plan_of(layout, settings, n_features, n_classes))
    return build(State, lambda spec: spec.make(plan))


def class_room(n_classes: int) -> int:
    """Return the power of two that holds so many classes.

    The same whether they came at once or one by one.
    """
    return max(2, 1 << (n_classes - 1).bit_length()) if n_classes > 0 else 2


def grow(
    layout: Layout, settings: Settings, state: State, n_features: int, n_classes: int
) -> State:
    """Return a state with more room, every learned number in its place and new input rows drawn.

    Arrays that need no more room are shared with `state`, which is not to be used any more.
    """
    before = plan_of(layout, settings, *room_of(state))
    plan = _within_bounds(plan_of(layout, settings, n_features, n_classes))
    old = flatten(state)
    return build(State, lambda spec: spec.grow(old[spec.name], before.capacities, plan))


def _within_bounds(plan: Plan) -> Plan:
    """Return a plan unless its arrays would take more than the bound.

    Those of a row with very many new names do.
    """
    given = os.environ.get("LOCO_STREAM_STATE_BYTES", str(MAX_BYTES))
    if not given.isdecimal():
        raise ConfigError(
            f"LOCO_STREAM_STATE_BYTES is {given!r}; allowed is a whole number of bytes"
        )
    most = int(given)
    asked = sum(
        math.prod(spec.shape(plan.capacities)) * spec.dtype.itemsize for spec in specs(State)
    )
    if asked > most:
        raise MemoryError(
            f"its state would take {asked / 2**20:,.0f} MiB of the {most / 2**20:,.0f} allowed"
        )
    return plan


def copied(state: State) -> State:
    """Return a copy of every array."""
    arrays = flatten(state)
    return build(State, lambda spec: arrays[spec.name].copy())


def unflatten(layout: Layout, settings: Settings, arrays: Mapping[str, Array]) -> State:
    """Undo `flatten`.

    Raises
    ------
    KeyError
        An array is missing.
    ValueError
        One is not as those settings make it, or of a name that no spec has.
    """
    state = build(State, lambda spec: np.ascontiguousarray(arrays[spec.name]))
    if unknown := arrays.keys() - flatten(state).keys():
        raise ValueError(f"array {min(unknown)!r} is none of a model's")
    plan = plan_of(layout, settings, *room_of(state))
    for spec in specs(State):
        spec.check(arrays[spec.name], plan)
    return state


def room_of(state: State) -> tuple[int, int]:
    """Return for how many features and outputs there is room."""
    return state.statistics.shape[1], state.classes.shape[1]
