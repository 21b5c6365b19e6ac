"""What defines a projection, and the layer that it works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from loco_stream._compiler.jit import Kernel, kernel
from loco_stream._learner.arrays.spec import Nothing


class LayerInput(NamedTuple):
    """A hidden layer with its input on this row.

    index: int64 number of the layer
    weights: (size or more, neurons) float32
    values: float32; the input is ``values[first : first + size]``
    first, size: int64
    rows: int32: which inputs are not zero, counted from `first`, ascending
    n_rows: int64: how many
    """

    index: Any
    weights: Any
    values: Any
    first: Any
    size: Any
    rows: Any
    n_rows: Any


@kernel
def _prepare_nothing(settings, state, scratch):
    """Do nothing."""


class Projection(NamedTuple):
    """How the weight change of a layer is kept orthogonal to its earlier inputs.

    Parameters
    ----------
    name
        Value of the option `projection`.
    state, scratch
        Groups of arrays that it learns, and that it works in.
    lengths
        ``(layout, settings, n_features, n_classes) -> {axis: length}`` of axes that only these
        groups have; `n_features` are those with receptive fields.
    prepare
        Kernel ``(settings, state, scratch) -> None``, once per row before any layer changes.
    project
        Kernel ``(settings, state, scratch, layer) -> (x'x, x'h)``: writes the projected input h
        into `scratch.layer.projected`.
    change
        Kernel ``(settings, state, scratch, layer, step, power) -> None``: subtracts step * h
        credit' from the weights of the plastic neurons, and learns the input. `power` is the mean
        square of the layer's input.
    """

    name: str
    project: Kernel
    change: Kernel
    prepare: Kernel = _prepare_nothing
    state: type[Any] = Nothing
    scratch: type[Any] = Nothing
    lengths: Callable[[Any, Any, int, int], Mapping[str, int]] = lambda *_: {}
