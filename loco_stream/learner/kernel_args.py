"""How the compiled step is handed a model: as one array of 64-bit words.

To pass some 45 arrays one by one takes Python longer than a small step itself. The words are every
number of the settings and, for every array, its address and shape, in the order of the fields;
compiled code is handed a group as the address of its words, and reads a field where it is used. To
hand on the groups themselves, hundreds of values a call, would be most of what there is to compile.
Interpreted, and compiled by plain njit, the step takes them as they are.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, typeof, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numpy.typing import NDArray

from loco_stream._compiler.jit import PLAIN, kernel
from loco_stream.learner.arrays.allocate import allocate
from loco_stream.learner.arrays.scratch import Scratch, allocate_scratch
from loco_stream.learner.arrays.spec import specs
from loco_stream.learner.arrays.state import State
from loco_stream.learner.specialisation import KNOWN, told
from loco_stream.neurons import model_of
from loco_stream.options import DEFAULTS, Settings

__all__ = ["Handle", "Model", "opened"]

_PACKED = not (PLAIN or config.DISABLE_JIT)


class Model(NamedTuple):
    """All that a step reads and writes."""

    settings: Settings
    state: State
    scratch: Scratch


class Handle:
    """A model and its words, which are right as long as no array of it is replaced.

    Parameters
    ----------
    model
        Its arrays are kept alive as long as the handle is.

    Raises
    ------
    ValueError
        An array is not of the type the compiled code was made for.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        if not config.DISABLE_JIT and not _fits(model):
            raise ValueError(
                "a model's arrays must be C-contiguous and of the types that `allocate` gives them"
            )
        self.words: NDArray[np.int64] = np.fromiter(_words(model), np.int64)
        self._cell = told(model.settings) if _PACKED else model.settings.cell

    @property
    def door(self) -> tuple[Any, Any]:
        """What `step.run` takes first.

        The neuron, and the words, or the model itself where it is not packed.
        """
        return self._cell, self.words if _PACKED else self.model


def _fits(model: Model) -> bool:
    """Whether a model's arrays are as `allocate` makes them.

    Numba's own look at each takes a hundred times longer.
    """
    groups = (model.state, model.scratch)
    arrays = (
        (spec, array)
        for group in groups
        for spec, array in zip(specs(type(group)), _arrays(group), strict=True)
    )
    sound = all(
        a.dtype == spec.dtype and a.ndim == len(spec.axes) and a.flags.carray for spec, a in arrays
    )
    return sound and bool(typeof(model.settings) == _model_type(type(model.settings.cell)).types[0])


def _arrays(group: Any) -> Iterator[NDArray[Any]]:
    """Yield the arrays of a group in the order of its specs."""
    for part in group:
        if isinstance(part, np.ndarray):
            yield part
        else:
            yield from _arrays(part)


def _words(part: Any) -> Iterator[int]:
    """Yield the words of a number, an array or a group of both."""
    if isinstance(part, tuple):
        for inner in part:
            yield from _words(inner)
    elif isinstance(part, np.ndarray):
        yield part.ctypes.data
        yield from part.shape
    elif isinstance(part, float):
        yield struct.unpack("=q", struct.pack("=d", part))[0]
    else:
        yield int(part)


@cache
def _model_type(kind: type[Any]) -> Any:
    """Return numba's type of a model; it is the same for all of one kind of neuron."""
    config = replace(DEFAULTS, neuron=model_of(kind).name)
    layout = config.layout_for(1)
    settings = config.settings(layout, regression=False, seed_key=0)
    state = allocate(layout, settings, 1, 1)
    return typeof(Model(settings, state, allocate_scratch(layout, settings, state)))


class _Group(types.Type):
    """A group in the words, known by the address of its first: a field is read where it is used.

    `told` is the type that says what is known of the settings: the values of fields, by name.
    """

    def __init__(self, kind: Any, told: type | None) -> None:
        self.kind = kind
        self.told = told
        self.known = KNOWN[told] if told and kind.instance_class is Settings else {}
        super().__init__(f"{kind.instance_class.__name__}Words{told.__name__ if told else ''}")

    @property
    def key(self) -> tuple[str, type | None]:
        return self.kind.name, self.told


def _is_group(kind: Any, name: str) -> bool:
    """Return whether a field is a group too.

    The neuron's own numbers are a tuple, as for the simulator.
    """
    return isinstance(kind, types.NamedTuple) and name != "cell"


@register_model(_Group)
class _GroupModel(models.PrimitiveModel):
    def __init__(self, manager: Any, group: _Group) -> None:
        super().__init__(manager, group, ir.IntType(64).as_pointer())


@infer_getattr
class _GroupFields(AttributeTemplate):
    key = _Group

    def generic_resolve(self, group: _Group, name: str) -> Any:
        """Return the type of a field."""
        if name not in group.kind.fields:
            return None
        kind = group.kind[group.kind.fields.index(name)]
        if not _is_group(kind, name):
            return kind
        return _Group(kind, group.told if kind.instance_class is Settings else None)


@lower_getattr_generic(_Group)
def _read_field(context: Any, builder: Any, group: _Group, first: Any, name: str) -> Any:
    index = group.kind.fields.index(name)
    place = sum(_width(kind) for kind in group.kind.types[:index])
    field = builder.gep(first, [ir.Constant(ir.IntType(64), place)])
    if _is_group(group.kind[index], name):
        return field
    return _read(context, builder, group.kind[index], field)


def _width(kind: Any) -> int:
    """Return how many words a number, an array or a group takes."""
    if isinstance(kind, types.BaseTuple):
        return sum(_width(part) for part in kind.types)
    return 1 + kind.ndim if isinstance(kind, types.Array) else 1


def _read(context: Any, builder: Any, kind: Any, first: Any) -> Any:
    """Read a number, an array or a tuple of them from the words at `first`."""
    numbers = itertools.count()

    def word() -> Any:
        found = builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), next(numbers))]))
        found.set_metadata(
            "invariant.load", builder.module.add_metadata([])
        )  # no step changes a word
        return found

    def read(kind: Any) -> Any:
        if isinstance(kind, types.BaseTuple):
            return context.make_tuple(builder, kind, [read(part) for part in kind.types])
        if isinstance(kind, types.Array):
            return _view(context, builder, kind, word(), [word() for _ in range(kind.ndim)])
        if isinstance(kind, types.Float):
            return builder.bitcast(word(), ir.DoubleType())
        return context.cast(builder, word(), types.int64, kind)

    return read(kind)


@intrinsic
def _open(typing, cell, words):
    """Return the model of such cells that `words` describe; its arrays own nothing."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[1])(context, builder, args[1]).data

    told = cell.instance_class if cell.instance_class in KNOWN else None
    kind = cell.types[0] if told else cell
    return _Group(_model_type(kind.instance_class), told)(cell, words), generate


def _view(context: Any, builder: Any, kind: Any, address: Any, shape: list[Any]) -> Any:
    """Make a C-contiguous array at an address."""
    array = context.make_array(kind)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    strides = [ir.Constant(ir.IntType(64), itemsize)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    pointer = builder.inttoptr(address, array.data.type)
    from numba.np import (
        arrayobj,
    )  # no public part of numba: named where it is needed, which plain njit does not

    arrayobj.populate_array(
        array, data=pointer, shape=shape, strides=strides, itemsize=itemsize, meminfo=None
    )
    return array._getvalue()


def _itself(cell: Any, model: Any) -> Any:
    return model


# What a step does first with what it is handed.
opened: Any = _open if _PACKED else kernel(_itself)
