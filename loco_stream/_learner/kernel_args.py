"""What the compiled step is handed: the neuron's parameters, and the model as words."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from numba import config, typeof

from loco_stream._arrays import Array, Int64
from loco_stream._compiler.packing import PACKED, Words, make_opener, parts_of
from loco_stream._learner.arrays.allocate import allocate
from loco_stream._learner.arrays.scratch import Scratch, allocate_scratch
from loco_stream._learner.arrays.spec import ArraySpec, array_of, leaves, specs
from loco_stream._learner.arrays.state import State
from loco_stream._learner.settings import Settings, resolve
from loco_stream._learner.specialisation import SPECIALISATIONS, specialised
from loco_stream._options import ModelOptions
from loco_stream.neurons import model_of


class Model(NamedTuple):
    """Everything that a step reads and writes."""

    settings: Settings
    state: State
    scratch: Scratch


class KernelArgs:
    """A model as arguments of `step.run`, valid as long as none of its arrays is replaced.

    Raises `ValueError` if an array is not of the type that the compiled code was made for.

    Parameters
    ----------
    model
        Its arrays are kept alive as long as this object is.
    before
        The arguments of a model of the same type. Parts that both have are neither checked nor
        packed again, which is most of the time that a model needs to grow.
    """

    def __init__(self, model: Any, before: KernelArgs | None = None) -> None:
        self.model = model
        parts = parts_of(model.settings)
        for group in model[1:]:
            parts += leaves(group)
        self._words: Words = Words(parts, None if before is None else before._words)
        if not config.DISABLE_JIT and not _fits(model, self._words):
            raise ValueError(
                "a model's arrays must be C-contiguous and of the types that `allocate` gives them"
            )
        self.words: Int64 = self._words.array
        cell = specialised(model.settings) if PACKED else model.settings.cell
        # what `step.run` takes first: the neuron, and the words or the model itself
        self.args: tuple[Any, Any] = (cell, self.words if PACKED else model)


def _fits(model: Any, words: Words) -> bool:
    """Return whether a model's arrays are as `allocate` makes them.

    Of a model with arrays that were checked before, only the others are. Numba's own inspection of
    each takes a hundred times longer.
    """
    own = [spec for group in model[1:] for spec in specs(type(group))]
    n_settings = len(words.parts) - len(own)
    positions = range(len(words.parts)) if words.new is None else words.new
    for i in positions:
        if i >= n_settings and not _is_sound(own[i - n_settings], array_of(words.parts[i])):
            return False
    if positions and positions[0] >= n_settings:
        return True
    kind: Any = type(model.settings.cell)
    return bool(typeof(model.settings) == _model_type(kind).types[0])


def _is_sound(spec: ArraySpec, array: Array) -> bool:
    sound = array.dtype == spec.dtype and array.ndim == len(spec.axes)
    return sound and bool(array.flags.carray)


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
