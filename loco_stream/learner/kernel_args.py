"""What the compiled step is handed: the neuron's parameters, and the model as words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import config, typeof
from numpy.typing import NDArray

from loco_stream._compiler.packing import PACKED, make_opener, pack
from loco_stream.learner.arrays.allocate import allocate
from loco_stream.learner.arrays.scratch import Scratch, allocate_scratch
from loco_stream.learner.arrays.spec import array_of, specs
from loco_stream.learner.arrays.state import State
from loco_stream.learner.settings import Settings, resolve
from loco_stream.learner.specialisation import SPECIALISATIONS, specialised
from loco_stream.neurons import model_of
from loco_stream.options import ModelOptions

__all__ = ["KernelArgs", "Model", "example_model", "opened"]


class Model(NamedTuple):
    """Everything that a step reads and writes."""

    settings: Settings
    state: State
    scratch: Scratch


class KernelArgs:
    """A model as arguments of `step.run`, valid as long as none of its arrays is replaced.

    Parameters
    ----------
    model
        Its arrays are kept alive as long as this object is.
    type_of
        Returns numba's type of such a model for a kind of neuron; None: that of a `Model`.

    Raises
    ------
    ValueError
        An array is not of the type that the compiled code was made for.
    """

    def __init__(self, model: Any, type_of: Any = None) -> None:
        self.model = model
        if not config.DISABLE_JIT and not _fits(model, type_of):
            raise ValueError(
                "a model's arrays must be C-contiguous and of the types that `allocate` gives them"
            )
        self.words: NDArray[np.int64] = pack(model)
        cell = specialised(model.settings) if PACKED else model.settings.cell
        # what `step.run` takes first: the neuron, and the words or the model itself
        self.args: tuple[Any, Any] = (cell, self.words if PACKED else model)


def _fits(model: Any, type_of: Any) -> bool:
    """Return whether a model's arrays are as `allocate` makes them.

    Numba's own inspection of each takes a hundred times longer.
    """
    for group in model[1:]:
        for spec, array in zip(specs(type(group)), _arrays(group), strict=True):
            sound = array.dtype == spec.dtype and array.ndim == len(spec.axes)
            if not sound or not array.flags.carray:
                return False
    cell = type(model.settings.cell)
    if type_of is None:
        type_of = _model_type
    return bool(typeof(model.settings) == type_of(cell).types[0])


def _arrays(group: Any) -> Iterator[NDArray[Any]]:
    """Yield the arrays of a group in the order of its specs."""
    for part in group:
        if isinstance(part, tuple):
            yield from _arrays(part)
        else:
            yield array_of(part)


@cache
def _model_type(kind: type[Any]) -> Any:
    """Return numba's type of a model; it is the same for all models of one kind of neuron."""
    return typeof(example_model(kind, regression=False))


def example_model(kind: type[Any], *, regression: bool) -> Model:
    """Return a small model with this kind of neuron, of which numba can tell the type."""
    options = ModelOptions(neuron=model_of(kind).name)
    layout = options.layout_for(1)
    settings = resolve(options, layout, regression=regression, seed_key=0)
    state = allocate(layout, settings, 1, 1)
    return Model(settings, state, allocate_scratch(layout, settings, state))


opened: Any = make_opener(_model_type, SPECIALISATIONS)
